// SPDX-License-Identifier: MIT
// What the environment may still tell the runtime, for processes of ours that wait for long.

import { compiled } from "./self.ts";

/** Options of JavaScriptCore; the build takes all others out of the executable (scripts/lib/runtime-names.ts). */
export const JSC = {
  /** In the executable, instead of Bun's own: as long, and nobody sets it for another program. */
  prefix: "TCPXJSC_",
  /** No threads for compilers that we have no work for. (Not useJIT=0: bun:ffi needs it.) */
  options: { useDFGJIT: "0", useConcurrentJIT: "0", numberOfGCMarkers: "1" },
} as const;

/** Makes idle mean no wake-up: else the runtime wakes up ten times a second for a collector that has nothing to do. */
export function quietEnv(): Record<string, string> {
  const prefix = compiled() ? JSC.prefix : "BUN_JSC_";
  const options = Object.entries(JSC.options).map(([name, value]) => [`${prefix}${name}`, value]);
  return { BUN_GC_TIMER_DISABLE: "1", ...Object.fromEntries(options) };
}
