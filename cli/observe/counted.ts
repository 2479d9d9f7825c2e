// SPDX-License-Identifier: MIT
// What the extensions have counted in a scope, for `tcpx status`.

import { extensions } from "../extensions/index.ts";
import type { CounterName, OwnCounter } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { COUNTER_NAMES, type Counters } from "../loader/counters.ts";
import { table } from "../output/table.ts";
import { wrapped } from "../output/wrap.ts";

/** Counters of single extensions. */
export function ownCounters(among: readonly Extension[] = extensions): [name: CounterName, OwnCounter][] {
  return among.flatMap(({ seen }) => Object.entries(seen?.counters ?? {}) as [CounterName, OwnCounter][]);
}

type Counts = Record<string, number>;

/** By their names. */
function countsOf(counters: Counters | undefined, { id }: Extension): Counts {
  return Object.fromEntries(COUNTER_NAMES.map((name, i) => [name, counters?.count[id]?.[i] ?? 0]));
}

/** By extension, then by counter. */
export function countersJson(
  counters: Counters | undefined,
  among: readonly Extension[] = extensions,
): Record<string, Counts> {
  return Object.fromEntries(among.map((extension) => [extension.name, countsOf(counters, extension)]));
}

/** A table of those that have counted something, and what is to be said about it; each behind an empty line. */
export function countersText(
  counters: Counters | undefined,
  among: readonly Extension[] = extensions,
): string {
  const used = among
    .map((extension) => ({ extension, counts: countsOf(counters, extension) }))
    .filter(({ counts }) => Object.values(counts).some((n) => n > 0));
  if (used.length === 0) return "";
  const titles = new Map(ownCounters(among).map(([name, { title }]) => [name.toLowerCase(), title]));
  const rows = COUNTER_NAMES.map((name) => [
    titles.get(name) ?? name.replace("_", " "),
    ...used.map(({ counts }) => counts[name]!),
  ]);
  const numeric = [...used.keys()].map((i) => i + 1);
  const text = table(["COUNTER", ...used.map(({ extension }) => extension.name)], rows, numeric);
  const notices = used.flatMap(({ extension, counts }) => extension.seen?.notice?.(counts) ?? []);
  return [text, ...notices.map((notice) => wrapped(`notice: ${notice}`).join("\n"))]
    .map((part) => `\n${part}\n`)
    .join("");
}
