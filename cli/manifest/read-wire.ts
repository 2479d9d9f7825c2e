// SPDX-License-Identifier: MIT
// [option], [request] and [directions] of extension.toml: what travels, and whose connections it is for.

import type { TcpxError } from "../base/errors.ts";
import { FIRST_SLOT, slotProblem } from "../extensions/slots.ts";
import type { Kind } from "../policy/rule.ts";
import { problem } from "../toml/problem.ts";
import type { Fields } from "./fields.ts";
import { type Manifest, type OptionSpec, type RequestSpec, type ValueSpec, WORD_MOST } from "./types.ts";

const BITS_16 = 0xffff;
export const OPTION_KEYS = ["kind", "exid", "length", "syn-ack", "value"];
export const REQUEST_KEYS = ["ask", "answer", "refused", "any-time", "value"];
export const DIRECTION_KEYS = ["ask", "local", "accept"] as const;
/** undefined: some are wrong. */
type Values = readonly ValueSpec[] | undefined;

const SYN_ACK = ["reply", "always"] as const;

/** The name of a value, such as what a request carries. */
function carried(fields: Fields, values: Values, most: number): string | undefined {
  if (!values || !fields.has("value")) return undefined;
  const names = values.filter(({ type }) => type !== "switch").map(({ name }) => name);
  const name = fields.oneOf("value", names);
  const value = values.find((one) => one.name === name)!;
  if (value.least <= most) return name;
  throw fields.wrong("value", `a value that ${most} is enough for`, `${name} begins with ${value.least}`);
}

function lengthOf(fields: Fields): Pick<OptionSpec, "least" | "most"> {
  const accepted = "a number of bytes, or [LEAST, MOST]";
  const given = fields.get("length");
  if (given === undefined) throw fields.missing("length", accepted);
  const [least, most = least, ...more] = Array.isArray(given) ? given : [given];
  if (typeof least !== "number" || typeof most !== "number" || more.length > 0)
    throw fields.wrong("length", accepted);
  return { least, most };
}

export function readOption(fields: Fields, values: Values): OptionSpec {
  const number = (key: "kind" | "exid") => (fields.has(key) ? fields.integer(key, 0, BITS_16) : undefined);
  const [kind, exid] = [number("kind"), number("exid")];
  const onSynAck = fields.has("syn-ack") ? fields.oneOf("syn-ack", SYN_ACK) : undefined;
  const option: OptionSpec = {
    ...(kind !== undefined && { kind }),
    ...(exid !== undefined && { exid }),
    ...lengthOf(fields),
    ...(onSynAck !== undefined && { onSynAck }),
  };
  const value = carried(fields, values, WORD_MOST);
  const wrong = slotProblem({ id: FIRST_SLOT, name: "x", option });
  if (wrong !== undefined) throw problem(fields.source, fields.path, wrong);
  return value === undefined ? option : { ...option, value };
}

export function readRequest(fields: Fields, values: Values): RequestSpec {
  const value = carried(fields, values, BITS_16);
  return {
    askExid: fields.integer("ask", 1, BITS_16),
    answerExid: fields.integer("answer", 1, BITS_16),
    refused: fields.integer("refused", 0, BITS_16),
    ...(fields.flag("any-time") && { anyTime: true }),
    ...(value !== undefined && { value }),
  };
}

/**
 * Where rules stand that say nothing else: who asks opens the connection, and who grants has accepted it. "both" is what
 * kinds without an entry are for.
 * @param kinds of the verbs; undefined: some are wrong
 */
export function readDirections(
  fields: Fields | undefined,
  kinds: readonly Kind[] | undefined,
  speaks: boolean,
): Manifest["directions"] {
  const found: { -readonly [K in Kind]?: "to" | "from" } = speaks ? { ask: "to", accept: "from" } : {};
  for (const kind of Object.keys(found) as Kind[]) if (kinds && !kinds.includes(kind)) delete found[kind];
  for (const kind of DIRECTION_KEYS) {
    if (!fields?.has(kind)) continue;
    const direction = fields.oneOf(kind, ["to", "from", "both"]);
    if (kinds && !kinds.includes(kind))
      throw fields.wrong(kind, kinds.join(", "), `no verb has rules of kind ${kind}`);
    if (direction === "both") delete found[kind];
    else found[kind] = direction;
  }
  return found;
}

/** A SYN-ACK is of a connection that was accepted: there has to be an ask rule for it. */
export function synAckProblem(fields: Fields, { option, directions }: Manifest): TcpxError | undefined {
  if (option?.onSynAck !== "always" || directions.ask !== "to") return undefined;
  const what = '"always" is said by ask rules, and these are for connections that are opened';
  return problem(
    fields.source,
    ["option", "syn-ack"],
    what,
    'accepted is it with [directions] ask = "both", or "from"',
  );
}

/** A request travels in 16 bits, and what it asks for is the first word of the rule. */
export function requestProblem(fields: Fields, { values, verbs, request }: Manifest): TcpxError | undefined {
  const asks = verbs.find(({ kind }) => kind === "ask");
  if (!request || !asks) return undefined;
  const path = ["verbs", asks.name];
  const used = values.filter(({ name }) => name === asks.word || asks.flags.includes(name));
  const first = used.find(({ word }) => word === 0);
  if (!first) return problem(fields.source, path, "has no value in word 0, which is what a request asks for");
  if (first.most <= BITS_16) return undefined;
  const what = `${first.name} is up to ${first.most}, and a request has 16 bits`;
  return problem(fields.source, ["values", first.name], what, `accepted is a range up to ${BITS_16}`);
}

export function unusedProblem(
  fields: Fields,
  { values, verbs, request, option }: Manifest,
): TcpxError | undefined {
  const used = [request?.value, option?.value, ...verbs.flatMap(({ word, flags }) => [word, ...flags])];
  const unused = values.find(({ name }) => !used.includes(name));
  const hint = "name it in `word` or `flags` of a verb, or leave it out";
  return unused && problem(fields.source, ["values", unused.name], "is used by no verb", hint);
}
