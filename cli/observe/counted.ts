// SPDX-License-Identifier: MIT
// What the extensions have counted in a scope, for `tcpx status`.

import { extensions, unknownSlots } from "../extensions/index.ts";
import type { OwnCounter } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { COUNTER_NAMES, type Counters } from "../loader/counters.ts";
import { table } from "../output/table.ts";
import { wrapped } from "../output/wrap.ts";

interface Own extends OwnCounter {
  /** Whose it is. */
  ext: string;
  number: number;
}

/** Counters of single extensions. */
export function ownCounters(among: readonly Extension[] = extensions): Own[] {
  const of = ({ name, seen }: Extension) =>
    Object.entries(seen?.counters ?? {}).map(([n, own]) => ({ ...own, ext: name, number: Number(n) }));
  return among.flatMap(of);
}

type Counts = Record<string, number>;

/** By their names; what is another extension's own is 0. */
function countsOf(counters: Counters | undefined, { name: ext, id }: Extension, all: readonly Own[]): Counts {
  const at = (number: number) => counters?.count[id]?.[number] ?? 0;
  const own = all.map((one) => [one.name, one.ext === ext ? at(one.number) : 0] as const);
  return Object.fromEntries([...COUNTER_NAMES.map((name, i) => [name, at(i)] as const), ...own]);
}

/** Has a scope anything of it to tell? */
export const hasCounted = (counters: Counters | undefined, id: number): boolean =>
  counters?.count[id]?.some((n) => n > 0) === true;

/** Those, and what this host does not know of the others that have counted something. */
export const counting = (
  counters: Counters | undefined,
  among: readonly Extension[],
): readonly Extension[] => [
  ...among,
  ...unknownSlots([...(counters?.count.keys() ?? [])].filter((id) => hasCounted(counters, id))),
];

/** By extension, then by counter. */
export function countersJson(
  counters: Counters | undefined,
  among: readonly Extension[] = extensions,
): Record<string, Counts> {
  const own = ownCounters(among);
  return Object.fromEntries(
    counting(counters, among).map((extension) => [extension.name, countsOf(counters, extension, own)]),
  );
}

/** A table of those that have counted something, and what is to be said about it; each behind an empty line. */
export function countersText(
  counters: Counters | undefined,
  among: readonly Extension[] = extensions,
): string {
  const own = ownCounters(among);
  const used = counting(counters, among)
    .map((extension) => ({ extension, counts: countsOf(counters, extension, own) }))
    .filter(({ counts }) => Object.values(counts).some((n) => n > 0));
  if (used.length === 0) return "";
  const titled = [
    ...COUNTER_NAMES.map((name) => ({ name, title: name.replace("_", " ") })),
    ...own.filter(({ ext }) => used.some(({ extension }) => extension.name === ext)),
  ];
  const rows = titled.map(({ name, title }) => [title, ...used.map(({ counts }) => counts[name]!)]);
  const numeric = [...used.keys()].map((i) => i + 1);
  const text = table(["COUNTER", ...used.map(({ extension }) => extension.name)], rows, numeric);
  const notices = used.flatMap(({ extension, counts }) => extension.seen?.notice?.(counts) ?? []);
  return [text, ...notices.map((notice) => wrapped(`notice: ${notice}`).join("\n"))]
    .map((part) => `\n${part}\n`)
    .join("");
}
