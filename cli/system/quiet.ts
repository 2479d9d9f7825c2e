// SPDX-License-Identifier: MIT
// A process that waits for long should not wake up for nothing.

import { QUIET } from "../agent/unit.ts";
import { self } from "./self.ts";

/**
 * This command again, in this process, with more in its environment. Returns where the runtime cannot do it.
 * @throws where the kernel does not
 */
export function startAnew(env: Record<string, string>): void {
  const [program = "", ...first] = self();
  process.execve?.(program, [program, ...first, ...process.argv.slice(2)], { ...process.env, ...env });
}

/** The runtime reads these at its start, so it has to start anew with them; the pid stays. */
export function becomeQuiet(): void {
  if (process.env.BUN_GC_TIMER_DISABLE !== undefined) return;
  try {
    startAnew(QUIET);
  } catch {
    // then it wakes up now and then
  }
}
