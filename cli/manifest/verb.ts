// SPDX-License-Identifier: MIT
// A verb of a manifest: its arguments, and the rules that they make.

import { type Args, flagArg, textArg, type ValueDef, type ValuesDef } from "../base/args.ts";
import { usageError } from "../base/errors.ts";
import { exemption, noLiveExemption, noneWord, orNone } from "../extensions/exemption.ts";
import type { Drafted, RuleDraft, RuleVerb } from "../extensions/types.ts";
import type { Value } from "../policy/rule.ts";
import { HINTS } from "./read-values.ts";
import { wordsOf } from "./slot.ts";
import type { Manifest, ValueSpec, VerbSpec } from "./types.ts";
import { acceptedOf, parseValue, textOf } from "./values.ts";

/** What others know of a value: numbers have a range, and durations in milliseconds, too. */
function known({ type, unit, least, most, choices }: ValueSpec): Pick<ValueDef, "range" | "words"> {
  if (type === "choice") return { words: Object.keys(choices ?? {}) };
  if (type === "integer") return { range: { least, most } };
  return type === "duration" && unit === "ms" ? { range: { least, most, unit: "ms" } } : {};
}

/** "The rate, 64k to 10G; default 1M" */
function describedAs(value: ValueSpec, fallback?: number): string {
  const { text, type } = value;
  if (type === "switch") return text;
  const unit = type === "integer" && value.unit ? ` ${value.unit}` : "";
  return `${text}, ${acceptedOf(value)}${unit}${fallback === undefined ? "" : `; default ${textOf(value, fallback)}`}`;
}

function flagDef(value: ValueSpec): ValueDef {
  const description = describedAs(value, value.fallback);
  if (value.type === "switch") return { type: "boolean", description };
  return { type: "string", valueHint: value.hint, description, ...known(value) };
}

/** What stands for it behind the verb: a hint that its author has chosen, or its name. */
const wordName = ({ name, type, hint }: ValueSpec) => (hint === HINTS[type] ? name.toUpperCase() : hint);

function argsDef(spec: VerbSpec, values: readonly ValueSpec[]): ValuesDef {
  const word = values.find(({ name }) => name === spec.word);
  const flags = values.filter(({ name }) => name !== spec.word);
  const local = "Do it ourselves, on connections of both directions, asking nobody";
  return {
    ...(word
      ? {
          [word.name]: {
            ...orNone(describedAs(word)),
            valueHint: wordName(word),
            ...known(word),
          },
        }
      : { value: noneWord(spec.kind === "accept" ? ": peers there have no say" : "") }),
    ...Object.fromEntries(flags.map((value) => [value.name, flagDef(value)])),
    ...(spec.orLocal && { local: { type: "boolean", description: local } }),
    ...(spec.force && {
      force: { type: "boolean", description: "Also where the application has chosen itself" },
    }),
  } as ValuesDef;
}

/** Flags that were given beside `none`, which takes none. */
function besideNone({ force }: VerbSpec, flags: readonly ValueSpec[], args: Args): string[] {
  const given = flags.filter(({ name }) => textArg(args, name) !== undefined || flagArg(args, name));
  return [...given.map(({ name }) => `--${name}`), ...(force && flagArg(args, "force") ? ["--force"] : [])];
}

/** The word of a flag. */
function flagWord(value: ValueSpec, args: Args): number {
  const { name, type, fallback } = value;
  if (type === "switch") return flagArg(args, name) ? 1 : 0;
  const text = textArg(args, name);
  if (text !== undefined) return parseValue(value, text, `--${name}`);
  if (fallback !== undefined) return fallback;
  throw usageError(`--${name} is missing`, undefined, `accepted is ${acceptedOf(value)}`);
}

function draftFrom(manifest: Manifest, spec: VerbSpec, values: readonly ValueSpec[], args: Args): Drafted {
  const kind = spec.orLocal && flagArg(args, "local") ? "local" : spec.kind;
  const word = values.find(({ name }) => name === spec.word);
  const flags = values.filter(({ name }) => name !== spec.word);
  const text = textArg(args, word?.name ?? "value");
  if (text === "none") {
    const [stray] = besideNone(spec, flags, args);
    if (stray !== undefined) throw usageError(`'none' takes no ${stray}`, "none", "leave it out");
    return { drafts: [exemption(kind)], notices: [] };
  }
  if (!word && text !== undefined) {
    const others = flags.map(({ name, type, hint }) => ` --${name}${type === "switch" ? "" : ` ${hint}`}`);
    throw usageError(
      `stray argument '${text}'`,
      text,
      `accepted is 'none'${others.length > 0 ? `, or${others.join("")}` : ""}`,
    );
  }
  const words = Array<number>(wordsOf(manifest)).fill(0);
  for (const value of flags) words[value.word] = flagWord(value, args);
  if (word)
    words[word.word] = parseValue(
      word,
      text ?? "",
      word.type === "choice" ? word.name.toUpperCase() : wordName(word),
      ", or none",
    );
  const force = spec.force && flagArg(args, "force");
  const draft: RuleDraft = { kind, none: false, force, value: words as unknown as Value };
  return { drafts: [draft], notices: [] };
}

const DIRECTIONS = {
  to: ["connections that this side opens", "--from"],
  from: ["connections that this side accepts", "--to"],
} as const;

/** For the help, where a kind of its rules is for one direction only. */
function directionNote({ directions }: Manifest, { kind, orLocal }: VerbSpec): string | undefined {
  const direction = directions[kind];
  if (!direction) return undefined;
  const [which, other] = DIRECTIONS[direction];
  const unless = orLocal && !directions.local ? " without --local" : "";
  return `Rules of kind ${kind} are for ${which}: ${other} is an error${unless}.`;
}

const origin = ({ version, author, license }: Manifest) =>
  `An extension of this host, version ${version}${author === undefined ? "" : `, by ${author}`}${license === undefined ? "" : ` (${license})`}.`;

/** @param values of its rules: the word first, then the flags */
export function ruleVerb(manifest: Manifest, spec: VerbSpec, values: readonly ValueSpec[]): RuleVerb {
  const note = directionNote(manifest, spec);
  return {
    summary: spec.summary,
    kinds: spec.orLocal ? [spec.kind, "local"] : [spec.kind],
    args: argsDef(spec, values),
    examples: spec.examples.map(([line, what]) => [`tcpx ${manifest.name} ${line}`, what]),
    notes: [...spec.notes, origin(manifest)],
    ...(note !== undefined && { directionNote: note }),
    draft: (args) => draftFrom(manifest, spec, values, args),
    ...(spec.live && { checkLive: noLiveExemption }),
  };
}
