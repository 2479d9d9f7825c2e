// SPDX-License-Identifier: MIT
// How wide the terminal is that results are read on.

const USUAL = 80;
/** Narrower ones cannot be meant. */
const LEAST = 10;

/**
 * Columns of the terminal that stdout is; undefined where it is none, and a row is a line however long. COLUMNS is what
 * its user prefers (POSIX, base definitions 8.3); a terminal that does not know its size says 0.
 */
export function terminalWidth(): number | undefined {
  const { stdout, env } = process;
  if (!stdout.isTTY) return undefined;
  const preferred = /^\d{1,5}$/.test(env.COLUMNS ?? "") ? Number(env.COLUMNS) : 0;
  return [preferred, stdout.columns].find((columns) => columns >= LEAST) ?? USUAL;
}
