// SPDX-License-Identifier: MIT
// A process that waits for long should not wake up for nothing.

import { QUIET } from "../agent/unit.ts";
import { self } from "./self.ts";

/** The runtime reads these at its start, so it has to start anew with them; the pid stays. */
export function becomeQuiet(): void {
  if (process.env.BUN_GC_TIMER_DISABLE !== undefined) return;
  const [program = "", ...first] = self();
  try {
    process.execve?.(program, [program, ...first, ...process.argv.slice(2)], { ...process.env, ...QUIET });
  } catch {
    // then it wakes up now and then
  }
}
