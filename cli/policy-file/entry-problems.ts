// SPDX-License-Identifier: MIT
// All that is wrong with one rule of a policy file. Rules are read in one go; only what fails is looked at here.

import type { TomlTable, TomlValue } from "smol-toml";
import { TcpxError } from "../base/errors.ts";
import type { Extension } from "../extensions/types.ts";
import { parseSelectors } from "../policy/selector.ts";
import type { Path } from "../toml/locate.ts";
import { type Problems, problemAt, type Source } from "../toml/problem.ts";
import type { EntryReader } from "./entry.ts";
import { SELECTOR_KEYS } from "./keys.ts";

type Attempt = <T>(part: () => T) => T | undefined;

/** Each member of a selector's list by itself. */
function selectorProblems(source: Source, key: string, value: TomlValue, path: Path, attempt: Attempt): void {
  const members = Array.isArray(value) ? value : String(value).split(",");
  for (const [i, member] of members.entries()) {
    attempt(() => {
      try {
        parseSelectors({ [key]: String(member) });
      } catch (error) {
        if (!(error instanceof TcpxError)) throw error;
        throw problemAt(source, Array.isArray(value) ? [...path, key, i] : [...path, key], error);
      }
    });
  }
}

/** The values of the verb: one mistake after the other, each time without the key that was wrong. */
function draftProblems(
  attempt: Attempt,
  draft: (left: TomlTable) => void,
  table: TomlTable,
  isWhole: boolean,
): void {
  const left: TomlTable = { ...table };
  for (let whole = isWhole; ; whole = false) {
    let error: unknown;
    try {
      draft(left);
      return;
    } catch (caught) {
      error = caught;
    }
    const { place, value, message } = error as TcpxError;
    const key = /\.([^.[\]]+)(?:\[\d+\])?$/.exec(place?.key ?? "")?.[1] ?? "";
    // without a key others lack it: only what is said of the value itself counts
    if (!whole && (!value || !message.includes(`'${value}'`))) return;
    attempt(() => {
      throw error;
    });
    if (!Object.hasOwn(left, key)) return;
    delete left[key];
  }
}

/**
 * Adds what is wrong with the rule.
 * @param error what was found first
 */
export function entryProblems(
  reader: EntryReader,
  problems: Problems,
  error: unknown,
  { extension, table, path }: { extension: Extension; table: TomlTable; path: Path },
): void {
  const { source } = reader;
  const at = () => path;
  const before = problems.count;
  const attempt: Attempt = (part) => problems.try(part);
  const verb = attempt(() => reader.verbOf(extension, table, at));
  const keys = Object.keys(table).filter((key) => key !== verb);
  let isWhole = true;
  const known: TomlTable = {};
  for (const key of verb === undefined ? [] : [verb, ...keys]) {
    const value = table[key]!;
    const isUnknown = !reader.knows(extension, key);
    if (attempt(() => reader.argsOf(extension, verb!, { [key]: value }, at))) known[key] = value;
    else if (!isUnknown) isWhole = false;
  }
  if (verb === undefined)
    for (const key of keys)
      if (!reader.knows(extension, key)) attempt(() => reader.refuseKey(extension, key, at));
  for (const key of SELECTOR_KEYS) {
    const value = table[key];
    if (value === undefined || !attempt(() => reader.selectorShape(key, value, at))) continue;
    selectorProblems(source, key, value, path, attempt);
  }
  if (verb !== undefined && Object.hasOwn(known, verb)) {
    const draft = (left: TomlTable) =>
      reader.draftOf(extension, verb, reader.argsOf(extension, verb, left, at), left, at);
    draftProblems(attempt, draft, known, isWhole);
  }
  if (problems.count === before) problems.add(error);
}
