// SPDX-License-Identifier: MIT
// [values.NAME] of extension.toml.

import type { TomlValue } from "smol-toml";
import { globalArgs, liveArgs, placeArgs, rootArgs } from "../base/args.ts";
import { VALUE_WORDS } from "../policy/rule.ts";
import { problem } from "../toml/problem.ts";
import { isTable } from "../toml/toml.ts";
import type { Fields, TextRule } from "./fields.ts";
import { type ValueSpec, type ValueType, WORD_MOST } from "./types.ts";
import { acceptedOf, memberOf, parseValue, textOf, wordOf } from "./values.ts";

export const VALUE_KEYS = ["type", "text", "range", "unit", "choices", "hint", "default", "word"];
const TYPES: readonly ValueType[] = ["integer", "duration", "rate", "bytes", "choice", "switch"];
const CHOICES_MOST = 64;

const TEXT: TextRule = { most: 160 };
const UNIT: TextRule = { most: 24, pattern: /^[a-z][a-z -]*$/, accepted: 'a word such as "segments"' };
const HINT: TextRule = {
  most: 16,
  pattern: /^[A-Z][A-Z0-9-]*$/,
  accepted: 'capital letters, such as "N" or "RATE"',
};
const NAME = /^[a-z][a-z0-9-]{0,30}[a-z0-9]$/;
const CHOICE = /^[a-z0-9][a-z0-9._-]{0,30}$/;

/** Flags of the verbs that values become flags of, keys of a rule in a policy file, and members of its JSON. */
const TAKEN: ReadonlySet<string> = new Set([
  ...Object.keys({ ...placeArgs, ...liveArgs, ...globalArgs, ...rootArgs }),
  ...["local", "force", "only", "none", "value", "set", "accept", "show", "unset", "option", "no"],
  ...["extension", "kind", "direction", "address", "netns", "netns_cookie"],
  ...["scope_id", "alive", "visible", "waiting", "bits", "words", "id", "hits"],
  "constructor", // every object has that
]);

/** Hints of values that have none. */
export const HINTS: Record<ValueType, string> = {
  integer: "N",
  duration: "DURATION",
  rate: "RATE",
  bytes: "SIZE",
  choice: "WORD",
  switch: "",
};

/** Keys that only some types have. */
const ONLY: Record<string, readonly ValueType[]> = {
  range: ["integer", "duration", "rate", "bytes"],
  unit: ["integer", "duration"],
  choices: ["choice"],
  hint: ["integer", "duration", "rate", "bytes", "choice"],
  default: ["integer", "duration", "rate", "bytes", "choice"],
};

type Shape = Pick<ValueSpec, "type" | "unit" | "choices">;

function unitOf(fields: Fields, type: ValueType): string | undefined {
  if (type === "duration") return fields.has("unit") ? fields.oneOf("unit", ["ms", "us"]) : "ms";
  return fields.maybeText("unit", UNIT);
}

function choicesOf(fields: Fields): Record<string, number> {
  const accepted = "a table of words and their numbers, such as { fast = 1, slow = 2 }";
  const table = fields.get("choices");
  if (table === undefined) throw fields.missing("choices", accepted);
  const entries = isTable(table) ? Object.entries(table) : [];
  if (isTable(table) && entries.length === 0)
    throw problem(fields.source, [...fields.path, "choices"], "has no words", `accepted is ${accepted}`);
  if (entries.length === 0 || entries.length > CHOICES_MOST)
    throw fields.wrong("choices", `${accepted}; up to ${CHOICES_MOST}`);
  const found = new Map<string, number>();
  for (const [name, number] of entries) {
    const path = [...fields.path, "choices", name];
    if (!CHOICE.test(name) || name === "none") {
      const hint = "accepted is a word of small letters, digits, . _ and -, and not none";
      throw problem(fields.source, path, "is no word", hint);
    }
    const isWord =
      typeof number === "number" && Number.isInteger(number) && number >= 0 && number <= WORD_MOST;
    if (!isWord || [...found.values()].includes(number)) {
      const hint = `accepted is a number from 0 to ${WORD_MOST}, each once`;
      throw problem(fields.source, path, `has ${typeof number === "number" ? number : "no number"}`, hint);
    }
    found.set(name, number);
  }
  return Object.fromEntries(found);
}

/** A number, or a text as users write it. */
function wordFrom(shape: Shape, value: TomlValue | undefined): number | undefined {
  const text = typeof value === "number" && shape.type === "integer" ? String(value) : value;
  const word = typeof text === "string" ? wordOf(shape, text) : undefined;
  return word !== undefined && word <= WORD_MOST ? word : undefined;
}

function rangeOf(fields: Fields, shape: Shape): Pick<ValueSpec, "least" | "most"> {
  const { choices } = shape;
  if (choices)
    return { least: Math.min(...Object.values(choices)), most: Math.max(...Object.values(choices)) };
  if (shape.type === "switch") return { least: 0, most: 1 };
  const [none, all] = [textOf(shape, 0), textOf(shape, WORD_MOST)];
  const shown = (text: string) => (shape.type === "integer" ? text : `"${text}"`);
  const accepted = `[LEAST, MOST] from [${shown(none)}, ${shown(all)}]`;
  const range = fields.get("range");
  if (range === undefined) return { least: 0, most: WORD_MOST };
  if (!Array.isArray(range)) throw fields.wrong("range", accepted);
  if (range.length !== 2) throw fields.wrong("range", accepted, `has ${range.length} elements, not 2`);
  const [least, most] = range.map((end) => wordFrom(shape, end));
  if (least === undefined || most === undefined)
    throw fields.wrongAt("range", least === undefined ? 0 : 1, accepted);
  if (least > most) throw fields.wrong("range", accepted, "has its least value behind its most");
  return { least, most };
}

function fallbackOf(fields: Fields, value: ValueSpec): number | undefined {
  const given = fields.get("default");
  if (given === undefined) return undefined;
  const text = typeof given === "number" && value.type === "integer" ? String(given) : given;
  if (typeof text !== "string") throw fields.wrong("default", acceptedOf(value));
  return fields.at("default", () => parseValue(value, text, "default"));
}

function hintOf(fields: Fields, { type, choices = {} }: Shape): string {
  const given = fields.maybeText("hint", HINT);
  if (given !== undefined) return given;
  const words = Object.keys(choices).join("|");
  return type === "choice" && words.length <= 30 ? words : HINTS[type];
}

/** @param at its place among the values */
export function readValue(name: string, fields: Fields, at: number): ValueSpec {
  const { source, path } = fields;
  if (!NAME.test(name) || name.startsWith("no-")) {
    const hint = "accepted is a name of small letters, digits and hyphens, 2 to 32, and not no-...";
    throw problem(source, path, "is no name of a value", hint);
  }
  const type = fields.oneOf("type", TYPES);
  for (const [key, types] of Object.entries(ONLY)) {
    if (fields.has(key) && !types.includes(type))
      throw problem(
        source,
        [...path, key],
        `is not for type ${type}`,
        `accepted is it for ${types.join(", ")}`,
      );
  }
  const unit = unitOf(fields, type);
  const shape: Shape = {
    type,
    ...(unit !== undefined && { unit }),
    ...(type === "choice" && { choices: choicesOf(fields) }),
  };
  const value: ValueSpec = {
    name,
    ...shape,
    text: fields.text("text", TEXT),
    ...rangeOf(fields, shape),
    hint: hintOf(fields, shape),
    word: fields.has("word") ? fields.integer("word", 0, VALUE_WORDS - 1) : at,
  };
  const member = memberOf(value);
  if (TAKEN.has(name) || TAKEN.has(member))
    throw problem(source, path, "is a name that every rule has", "choose another name");
  const fallback = type === "switch" ? 0 : fallbackOf(fields, value);
  return { ...value, ...(fallback !== undefined && { fallback }) };
}

/** What two of them must not have in common. @throws TcpxError (usage) at the second one */
export function checkValues(root: Fields, values: readonly ValueSpec[]): void {
  for (const [i, value] of values.entries()) {
    for (const other of values.slice(0, i)) {
      const path = ["values", value.name];
      if (other.word === value.word) {
        const hint = "each value has its own; `word` says which one";
        throw problem(root.source, path, `has word ${value.word}, which is that of ${other.name}`, hint);
      }
      if (memberOf(other) === memberOf(value)) {
        const what = `is ${memberOf(value)} in JSON, as ${other.name} is`;
        throw problem(root.source, path, what, "choose another name");
      }
    }
  }
}
