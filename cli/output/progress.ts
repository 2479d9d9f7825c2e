// SPDX-License-Identifier: MIT
// One line on a terminal's stderr about what takes longer than a second.

import type { Io } from "./io.ts";
import { visible } from "./safe.ts";
import { stderr } from "./streams.ts";
import { cutTo, terminalWidth } from "./terminal.ts";

const PATIENCE_MS = 1000;
const BETWEEN_MS = 100;
const CLEAR = "\r\x1b[K";

export class Progress implements Disposable {
  private next = performance.now() + PATIENCE_MS;
  private shown = false;
  private readonly wanted: boolean;

  constructor(io: Io) {
    this.wanted = Boolean(process.stderr.isTTY) && !io.flags.quiet && process.env.TERM !== "dumb";
  }

  /** Says what is being done, unless it has just said something. */
  step(text: () => string): void {
    if (!this.wanted || performance.now() < this.next) return;
    this.next = performance.now() + BETWEEN_MS;
    const width = terminalWidth(process.stderr) ?? 0;
    void stderr.write(`${CLEAR}${cutTo(visible(text()), width - 1)}`); // two lines could not be cleared
    this.shown = true;
  }

  /** Takes the line away: before messages, and at the end. */
  clear(): void {
    if (this.shown) void stderr.write(CLEAR);
    this.shown = false;
  }

  [Symbol.dispose](): void {
    this.clear();
  }
}
