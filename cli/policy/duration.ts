// SPDX-License-Identifier: MIT
// Durations on the command line: 500ms, 30s, 2min, 1h. Integer milliseconds inside.

import { usageError } from "../errors.ts";

const UNITS: [name: string, ms: number][] = [
  ["h", 3_600_000],
  ["min", 60_000],
  ["s", 1000],
  ["ms", 1],
];

/** As long as a command may be told to wait for something. */
export const LONGEST_WAIT_MS = 24 * 3_600_000;

/** 1h, 90s, 1500ms: the largest unit that is exact. */
export function formatDuration(ms: number): string {
  const [name, size] = UNITS.find(([, unit]) => ms >= unit && ms % unit === 0) ?? ["ms", 1];
  return `${ms / size}${name}`;
}

/** Milliseconds of "30s" and the like; undefined when the text is no duration. */
export function durationMs(text: string): number | undefined {
  const match = /^(\d{1,15})(ms|s|min|h)$/.exec(text);
  return match ? Number(match[1]) * UNITS.find(([name]) => name === match[2])![1] : undefined;
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
  if (ms === undefined) throw usageError(`${what} '${text}' is not a duration`, text, range);
  if (ms < least || ms > most) throw usageError(`${what} '${text}' is out of range`, text, range);
  return ms;
}
