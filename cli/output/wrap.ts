// SPDX-License-Identifier: MIT

import { terminalWidth } from "./terminal.ts";

/** Lines of at most so many columns where words allow it: a longer word stays whole, to be copied. */
export function wrapped(text: string, width = terminalWidth() ?? Number.POSITIVE_INFINITY): string[] {
  if (Bun.stringWidth(text) <= width) return [text];
  const lines: string[] = [];
  let used = 0;
  for (const word of text.split(" ")) {
    const size = Bun.stringWidth(word);
    if (lines.length > 0 && used + 1 + size <= width) {
      lines[lines.length - 1] += ` ${word}`;
      used += 1 + size;
    } else {
      lines.push(word);
      used = size;
    }
  }
  return lines;
}

/** "set, request or accept" */
export const enumerated = (last: "and" | "or", words: readonly string[]): string =>
  words.join(", ").replace(/, ([^,]*)$/, ` ${last} $1`);
