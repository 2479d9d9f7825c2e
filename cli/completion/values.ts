// SPDX-License-Identifier: MIT
// What may stand at a place of the command line, read from the hint that the help shows there:
// PATH is a directory, "ask|local|accept" are three words, "STATE,..." is a list, N is free.

import type { ValueDef } from "../base/args.ts";
import { STATES } from "../observe/listed.ts";

/**
 * free: nothing is known of it, and nothing is offered but its words. cgroup, rule: tcpx itself is asked, for a rule
 * with the flag that the word names.
 */
export type Source = "free" | "cgroup" | "rule" | "directory" | "file" | "unit" | "pid" | "program";

export interface Value {
  /** As in the help: "CIDR,...". */
  hint: string;
  source: Source;
  words: readonly string[];
  /** Several of the words, by commas? */
  list: boolean;
}

const SOURCES: Record<string, Source> = {
  PATH: "cgroup",
  DIR: "directory",
  FILE: "file",
  UNIT: "unit",
  PID: "pid",
  CMD: "program",
  "COMMAND...": "program",
};

const WORDS: Record<string, readonly string[]> = {
  STATE: Object.values(STATES),
};

const LITERAL = /^[a-z][a-z0-9-]*$/;

/** @param name of the argument, which stands for itself when it has no hint */
export function hintedValue(name: string, def: ValueDef): Value {
  const hint = def.valueHint ?? name.toUpperCase();
  const options = def.type === "enum" ? (def.options ?? []) : [];
  const parts = hint.replace(/[\s,]*\.\.\.$/, "").split("|");
  const words = [
    ...options,
    ...(def.words ?? []),
    ...parts.flatMap((part) => WORDS[part] ?? (LITERAL.test(part) ? [part] : [])),
    ...(def.exempts ? ["none"] : []),
  ];
  const source =
    SOURCES[hint] ?? parts.map((part) => SOURCES[part.split(" ")[0]!]).find((known) => known) ?? "free";
  return { hint, source, words: [...new Set(words)], list: /,\s*\.\.\.$/.test(hint) && words.length > 0 };
}

/** A selector of rules that are there. */
export const ruleValue = (flag: string, hint: string): Value => ({
  hint,
  source: "rule",
  words: [flag],
  list: false,
});

export function isProgram({ source }: Value): boolean {
  return source === "program";
}
