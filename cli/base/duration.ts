// SPDX-License-Identifier: MIT
// Durations on the command line: 500ms, 30s, 2min, 1h. Integer milliseconds inside.

import { usageError } from "./errors.ts";

const UNITS: [name: string, ms: number][] = [
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** As long as a command may be told to wait for something. */
export const LONGEST_WAIT_MS = 24 * 3_600_000;

/** Three digits, as a person would say them. */
export function formatMicros(us: number): string {
  if (us < 1000) return `${us}us`;
  const [value, unit] = us < 10_000_000 ? [us / 1000, "ms"] : [us / 1_000_000, "s"];
  const digits = value < 10 ? 2 : value < 100 ? 1 : 0;
  return `${Number(value.toFixed(digits))}${unit}`;
}

/** 1h, 90s, 1500ms: the largest unit that is exact. */
export function formatDuration(ms: number): string {
  const [name, size] = UNITS.find(([, unit]) => ms >= unit && ms % unit === 0) ?? ["ms", 1];
  return `${ms / size}${name}`;
}

/** Values that are accepted: whole numbers, or durations in milliseconds. */
export interface Range {
  least: number;
  most: number;
  unit?: "ms";
}

/** "1 to 255", "1ms to 200ms" */
export function rangeText({ least, most, unit }: Range): string {
  return unit ? `${formatDuration(least)} to ${formatDuration(most)}` : `${least} to ${most}`;
}

/** 20ms, or 6666us where the kernel's tick is no whole number of milliseconds. */
export function exactMicros(us: number): string {
  return us % 1000 === 0 ? formatDuration(us / 1000) : `${us}us`;
}

/** Milliseconds of "30s" and the like; undefined when the text is no duration. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d{1,15})(ms|s|min|h)$/.exec(text);
  return match ? Number(match[1]) * UNITS.find(([name]) => name === match[2])![1] : undefined;
}

/** Words for the units that people write. */
const SPELLINGS: [pattern: RegExp, ms: number][] = [
  [/^(?:ms|msecs?|millis|milliseconds?)$/, 1],
  [/^(?:s|secs?|seconds?)$/, 1000],
  [/^(?:m|mins?|minutes?)$/, 60_000],
  [/^(?:h|hrs?|hours?)$/, 3_600_000],
  [/^(?:d|days?)$/, 24 * 3_600_000],
];

/**
 * "30s" for "30", "30 sec" or "0.5min"; undefined when nothing suggests itself within least..most.
 * @param bare milliseconds of a number without a unit
 */
export function meantDuration(text: string, least: number, most: number, bare = 1000): string | undefined {
  const plain = text.replaceAll(/\s+/g, "").toLowerCase();
  if (plain.length > 32 || !/^(?:\d{1,9}(?:\.\d{1,3})?[a-z]*){1,4}$/.test(plain)) return undefined;
  let sum = 0;
  for (const [, number, unit = ""] of plain.matchAll(/(\d+(?:\.\d+)?)([a-z]*)/g)) {
    const ms = unit === "" ? bare : SPELLINGS.find(([pattern]) => pattern.test(unit))?.[1];
    if (ms === undefined) return undefined;
    sum += Number(number) * ms;
  }
  const ms = Math.round(sum);
  return Math.abs(ms - sum) < 1e-6 && ms >= least && ms <= most ? formatDuration(ms) : undefined;
}

/** A hint that begins with the duration that may have been meant. */
export function hintedDuration(
  text: string,
  least: number,
  most: number,
  hint: string,
  bare?: number,
): string {
  const near = meantDuration(text, least, most, bare);
  return near === undefined ? hint : `did you mean ${near}? ${hint}`;
}

/**
 * Parses a duration into milliseconds.
 * @param what names the argument in the error, such as `--min`
 * @param also what else is accepted, for the error: ", or none"
 * @throws TcpxError (usage) when the text is no duration, or outside least..most
 */
export function parseDuration(text: string, what: string, least: number, most: number, also = ""): number {
  const range = `accepted is ${formatDuration(least)} to ${formatDuration(most)}, such as 500ms, 30s, 2min, 1h${also}`;
  const ms = durationMs(text);
  if (ms === undefined) {
    const hint = hintedDuration(text, least, most, range);
    throw usageError(`${what} '${text}' is not a duration`, text, hint);
  }
  if (ms < least || ms > most) throw usageError(`${what} '${text}' is out of range`, text, range);
  return ms;
}
