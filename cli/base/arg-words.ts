// SPDX-License-Identifier: MIT
// The words of a command line, and which of them are flags by the definitions of the command.

import { parseArgs } from "node:util";
import type { ArgDef, ArgsDef } from "citty";
import { meantFlag } from "./did-you-mean.ts";
import { usageError } from "./errors.ts";

/** The hint of a value that may be left out, and else follows "="; undefined for other arguments. */
export function optionalValue(def: ArgDef): string | undefined {
  return def.type === "string" ? /^\[=(.*)\]$/.exec(def.valueHint ?? "")?.[1] : undefined;
}

/** Does it take several values, separated by commas? */
export const isList = ({ valueHint }: ArgDef): boolean => valueHint?.includes(",") ?? false;

/** One-letter forms of a flag. */
export function aliasesOf(def: ArgDef): string[] {
  return "alias" in def ? [def.alias ?? []].flat() : [];
}

function needOf(def: ArgDef): Flag["value"] {
  if (optionalValue(def) !== undefined) return "optional";
  return def.type === "string" || def.type === "enum" ? "required" : "none";
}

/** Flags by every spelling that is accepted: x, its one letter, and no-x where that means something. */
export function spellings(defs: ArgsDef): Map<string, Flag> {
  const known = new Map<string, Flag>();
  for (const [name, def] of Object.entries(defs)) {
    if (def.type === "positional") continue;
    const value = needOf(def);
    const flag = { name, value, isList: isList(def) };
    for (const spelling of [name, ...aliasesOf(def)]) known.set(spelling, flag);
    if (def.type === "boolean" && def.negativeDescription) known.set(`no-${name}`, flag);
  }
  return known;
}

export type OptionToken = Extract<ReturnType<typeof tokenize>[number], { kind: "option" }>;

export function tokenize(args: string[], known: Map<string, Flag>) {
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const [spelling, { name, value }] of known) {
    const type = value === "required" ? "string" : "boolean"; // an optional one never is the next word
    if (spelling.length === 1) options[name] = { type, short: spelling };
    else options[spelling] ??= { type };
  }
  return parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

export interface Flag {
  name: string;
  /** optional: behind "=" only */
  value: "none" | "optional" | "required";
  isList: boolean;
}

/** The flag of a token; `word` is what was typed: no `--q`, no `-qv`, no `-q=1`. */
export function flagOf(token: OptionToken, word: string, known: Map<string, Flag>, help: string): Flag {
  const exact = token.rawName.startsWith("--") ? token.name.length > 1 : word.length === 2;
  const flag = exact ? known.get(token.name) : undefined;
  if (!flag) throw usageError(`unknown flag '${word}'`, word, meantFlag(word, [...known.keys()], help));
  return flag;
}

/** The flag as citty should see it; checks that it has a value when it needs one, and only then. */
export function normalized(token: OptionToken, flag: Flag, known: Map<string, Flag>, help: string): string {
  const { value, rawName } = token;
  if (flag.value === "optional" && value !== "") return `--${flag.name}=${value ?? ""}`;
  if (flag.value === "none") {
    if (value !== undefined) throw usageError(`${rawName} takes no value, but has '${value}'`, value, help);
    return `--${token.name}`;
  }
  // a negative number is a value, if a wrong one; a flag is none
  const isFlag = !token.inlineValue && (value?.startsWith("--") || known.has(value?.replace(/^-/, "") ?? ""));
  if (value === undefined || value === "" || (isFlag && value.startsWith("-"))) {
    throw usageError(`${rawName} needs a value`, rawName, help);
  }
  return `--${flag.name}=${value}`;
}
