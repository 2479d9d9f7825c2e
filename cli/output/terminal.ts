// SPDX-License-Identifier: MIT
// How wide the terminal is that results are read on.

const USUAL = 80;
/** Narrower ones cannot be meant. */
const LEAST = 10;

/**
 * Columns of the terminal that a stream is; undefined where it is none, and a row is a line however long. COLUMNS is
 * what its user prefers (POSIX, base definitions 8.3); a terminal that does not know its size says 0.
 */
export function terminalWidth(stream = process.stdout as NodeJS.WriteStream): number | undefined {
  const { env } = process;
  if (!stream.isTTY) return undefined;
  const preferred = /^\d{1,5}$/.test(env.COLUMNS ?? "") ? Number(env.COLUMNS) : 0;
  return [preferred, stream.columns].find((columns) => columns >= LEAST) ?? USUAL;
}

/** As much of a line as fits into so many columns. */
export function cutTo(text: string, width: number): string {
  if (Bun.stringWidth(text) <= width) return text;
  let used = 0;
  let end = 0;
  for (const character of text) {
    used += Bun.stringWidth(character);
    if (used > width) break;
    end += character.length;
  }
  return text.slice(0, end);
}
