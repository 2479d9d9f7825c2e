// SPDX-License-Identifier: MIT
// What the environment may still tell the runtime's engine: what tcpx gives processes that wait for long.

import { compiled } from "./self.ts";

/** Options of JavaScriptCore; the build takes all others out of the executable (scripts/lib/runtime-names.ts). */
export const JSC = {
  /** In the executable, instead of Bun's own: as long, and nobody sets it for another program. */
  prefix: "TCPXJSC_",
  options: { useDFGJIT: "0", useConcurrentJIT: "0", numberOfGCMarkers: "1", forceMiniVMMode: "1" },
} as const;

/** These options as variables. */
export function engineVariables(prefix = compiled() ? JSC.prefix : "BUN_JSC_"): Record<string, string> {
  const options = Object.entries(JSC.options);
  return Object.fromEntries(options.map(([name, value]) => [`${prefix}${name}`, value]));
}

/**
 * Without these the runtime wakes up ten times a second for a collector that has nothing to do, and keeps
 * threads for compilers that we have no work for. (Not useJIT=0: bun:ffi needs it.) The small virtual machine collects
 * before its heap has doubled.
 */
export const QUIET: Readonly<Record<string, string>> = { BUN_GC_TIMER_DISABLE: "1", ...engineVariables() };
