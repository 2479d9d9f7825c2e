// SPDX-License-Identifier: MIT
// A manifest as an extension: all that one which is built in says of itself comes from the file.

import type { Example } from "../base/args.ts";
import type { Shown } from "../extensions/seen.ts";
import { ownEvent } from "../extensions/slots.ts";
import type { Extension, RuleDraft, RunFlag, Spelling } from "../extensions/types.ts";
import type { Kind } from "../policy/rule.ts";
import { EXPERIMENT_KIND, experiment, requestHex, type WireOption } from "../wire/request.ts";
import { DEFAULT_SITE, exidOf, type Identifier } from "../wire/site.ts";
import { PLACEHOLDER } from "./read-verbs.ts";
import { wordsOf } from "./slot.ts";
import type { Manifest, ValueSpec, VerbSpec } from "./types.ts";
import { jsonOf, memberOf, saidOf, textOf } from "./values.ts";
import { ruleVerb } from "./verb.ts";

/** A verb with the values of its rules. */
interface Verb {
  spec: VerbSpec;
  values: readonly ValueSpec[];
}

const NONE = "none";

const verbsOf = ({ verbs, values }: Manifest): Verb[] =>
  verbs.map((spec) => {
    const names = spec.word === undefined ? spec.flags : [spec.word, ...spec.flags];
    return { spec, values: names.map((name) => values.find((value) => value.name === name)!) };
  });

/** The verb that makes rules of this kind; undefined: none does any more. */
const verbFor = (verbs: readonly Verb[], kind: Kind): Verb | undefined =>
  verbs.find(({ spec }) => spec.kind === kind) ?? verbs.find(({ spec }) => spec.orLocal && kind === "local");

/** What a rule ends with may be zero, and is not kept. */
const wordIn = ({ value }: Pick<RuleDraft, "value">, { word }: ValueSpec): number => value[word] ?? 0;

/** "10M", "10M, burst 64k", or as the manifest says it. */
function valueText({ spec, values }: Verb, rule: RuleDraft): string {
  const text = (value: ValueSpec) => saidOf(value, wordIn(rule, value));
  if (spec.says !== undefined) {
    return spec.says.replaceAll(PLACEHOLDER, (_, name) => text(values.find((value) => value.name === name)!));
  }
  const parts = values.flatMap((value) => {
    if (value.type === "switch") return wordIn(rule, value) === 0 ? [] : [value.name];
    return [value.name === spec.word || values.length === 1 ? text(value) : `${value.name} ${text(value)}`];
  });
  return parts.length === 0 ? "on" : parts.join(", ");
}

/** The words of a rule whose kind no verb makes any more. */
const bare = ({ value }: RuleDraft) => value.join(" ");

function argsOf({ spec, values }: Verb, rule: RuleDraft): Spelling["args"] {
  const { none, force, kind } = rule;
  const local = kind === "local" && spec.kind === "ask" ? { local: true } : {};
  if (none) return { [spec.word ?? "value"]: NONE, ...local };
  const written = values.flatMap((value): [string, string | true][] => {
    const word = wordIn(rule, value);
    if (value.type === "switch") return word === 0 ? [] : [[value.name, true]];
    return [[value.name, textOf(value, word)]];
  });
  return { ...Object.fromEntries(written), ...local, ...(force ? { force } : {}) };
}

const shownOf = (value: ValueSpec, word: number): Shown => ({
  text: saidOf(value, word),
  json: { [memberOf(value)]: jsonOf(value, word) },
});

const identifierOf = (name: string, documented: number): Identifier => ({ name, documented });

/** Names of its identifiers in a site's table, by what they are for. */
export const identifierNames = (name: string) => ({
  ask: `${name}-ask`,
  answer: `${name}-answer`,
  own: `${name}-option`,
});

/** What stands behind the head of its own option. */
function ownWords(name: string, value: ValueSpec | undefined): WireOption["words"] {
  return (payload) => {
    if (payload.length === 0) return name;
    if (!value || ![1, 2, 4].includes(payload.length)) return `${name} ${payload.toHex()}`;
    return `${name} ${saidOf(value, Number.parseInt(payload.toHex(), 16))}`;
  };
}

function optionsOf({ name, option, request, values }: Manifest): WireOption[] {
  const named = (wanted: string | undefined) => values.find((value) => value.name === wanted);
  const names = identifierNames(name);
  const found: WireOption[] = [];
  if (request) {
    const carried = named(request.value);
    const text = (bits: number) => (carried ? saidOf(carried, bits) : String(bits));
    found.push(
      experiment("ask", identifierOf(names.ask, request.askExid), (bits) => `${name} asks for ${text(bits)}`),
      experiment("answer", identifierOf(names.answer, request.answerExid), (bits) =>
        bits === request.refused ? `${name} refused` : `${name} grants ${text(bits)}`,
      ),
    );
  }
  if (option) {
    const { kind = EXPERIMENT_KIND, exid } = option;
    found.push({
      ...{ role: "ask", kind, own: true, words: ownWords(name, named(option.value)) },
      ...(exid !== undefined && { identifier: identifierOf(names.own, exid) }),
    });
  }
  return found;
}

/** One flag of `run` stands for `set`; undefined: there is nothing that could stand behind it. */
function runOf({ spec, values }: Verb): RunFlag | undefined {
  const keyed = values.filter(({ type, name }) => type !== "switch" && name !== spec.word);
  const word = values.find(({ name }) => name === spec.word);
  if (!word && keyed.length === 0) return undefined;
  if (word && keyed.some(({ fallback }) => fallback === undefined)) return undefined; // it takes one value
  const valueHint = word?.hint ?? keyed.map(({ name }) => `${name}=...`).join(",");
  return { valueHint, description: spec.summary };
}

const examplesOf = (name: string, verbs: readonly Verb[]): Example[] => [
  ...verbs.flatMap(({ spec }) =>
    spec.examples.map(([line, what]): Example => [`tcpx ${name} ${line}`, what]),
  ),
  [`tcpx ${name} show`, "The rules"],
  [`tcpx ${name} unset --all`, "Take them back"],
];

/** Everything but ask that may put an option on a SYN. */
const announced = ({ option, verbs }: Manifest): Kind[] =>
  option && verbs.some(({ kind, orLocal }) => kind === "local" || orLocal) ? ["local"] : [];

/** What it is to the rest of tcpx. @param id that the host has given it */
export function extensionFrom(manifest: Manifest, id: number): Extension {
  const { name, title, summary, request, values, directions } = manifest;
  const verbs = verbsOf(manifest);
  const carried = values.find((value) => value.name === request?.value);
  const options = optionsOf(manifest);
  const set = verbs.find(({ spec }) => spec.name === "set");
  const asks = verbs.some(({ spec }) => spec.live && spec.kind === "ask");
  const run = set && runOf(set);
  return {
    name,
    id,
    title,
    summary,
    verbs: Object.fromEntries(verbs.map(({ spec, values }) => [spec.name, ruleVerb(manifest, spec, values)])),
    examples: examplesOf(name, verbs),
    words: wordsOf(manifest),
    directions,
    describe(rule) {
      if (rule.none) return NONE;
      const verb = verbFor(verbs, rule.kind);
      return `${verb ? valueText(verb, rule) : bare(rule)}${rule.force ? " (force)" : ""}`;
    },
    json(rule, site = DEFAULT_SITE) {
      if (rule.none) return {};
      const verb = verbFor(verbs, rule.kind);
      if (!verb) return { words: [...rule.value] };
      const members = verb.values.map((value) => [memberOf(value), jsonOf(value, wordIn(rule, value))]);
      const asked = rule.kind === "ask" ? options.find(({ role, own }) => role === "ask" && !own) : undefined;
      const option = asked?.identifier && requestHex(exidOf(asked.identifier, site), rule.value[0]);
      return { ...Object.fromEntries(members), ...(option !== undefined && { option }) };
    },
    spell(rule) {
      const verb = verbFor(verbs, rule.kind);
      return verb ? [{ verb: verb.spec.name, args: argsOf(verb, rule) }] : [];
    },
    ...(options.length > 0 && { options }),
    announces: announced(manifest),
    ...(run && { run }),
    seen: {
      ...(manifest.option && { event: ownEvent }),
      ...(carried && { value: (bits: number) => shownOf(carried, bits) }),
      ...(request && { refusal: request.refused }),
    },
    ...(verbs.some(({ spec }) => spec.live) && { live: { gives: `${name} settings`, asks } }),
  };
}
