// SPDX-License-Identifier: MIT
// By which variables the environment would make Bun's executable do what nobody asked tcpx for: run code, write
// files, connect, end with its parent. The build takes these names away (runtime-patch.ts). A name is listed when its
// effect was seen (Bun 1.4.5; tests/native/runtime.test.ts), or when it belongs to one of them.

import { JSC } from "../../cli/system/runtime-env.ts";

export interface Taken {
  name: string;
  /** How often it stands in the executable, as a part of longer names and in messages, too. */
  places: number;
  /** How many of these are in JavaScript. */
  scripts: number;
}

const taken = (name: string, places: number, scripts = 0): Taken => ({ name, places, scripts });

export const TAKEN: readonly Taken[] = [
  taken("BUN_OPTIONS", 2), // arguments for the runtime: --preload runs a file
  taken("BUN_BE_BUN", 1), // the executable is Bun and not tcpx
  taken("BUN_INSPECT", 11, 2), // a debugger's port; the three that follow begin with this name
  taken("BUN_INSPECT_CONNECT_TO", 4), // the socket of a debugger, which evaluates what it likes
  taken("BUN_INSPECT_NOTIFY", 3, 2), // a socket that is told of the port
  taken("BUN_INSPECT_PRELOAD", 2), // runs a file before a debugger comes
  taken("BUN_BYTECODE_ORDER_OUT", 2), // these three write a file, over one that is there
  taken("BUN_BYTECODE_ORDER_NAMES_OUT", 1),
  taken("BUN_BYTECODE_DIGEST_OUT", 1),
  taken("BUN_CRASH_REPORT_URL", 1), // where a crash is reported to, by the program curl of the PATH
  taken("BUN_FEATURE_FLAG_NO_ORPHANS", 2), // SIGKILL when the parent ends, for the command of `tcpx run`, too
  taken("JavaScriptCoreUseJIT", 1), // without compilers bun:ffi does not find the C library
];

/** Text for text of the same length: without a variable, too, a crash would be reported over the network. */
export const REPLACED = [
  // curl knows no such protocol
  { text: "https://bun.report", by: "about://bun.report", places: 1 },
] as const;

/**
 * JavaScriptCore's options, one of which replaces the code of functions, while others write files. They are set by
 * variables `BUN_JSC_<option>`: this prefix becomes another, so that a variable which is meant for another program
 * does nothing here, and of the options only those are left that tcpx gives its own processes.
 */
export const OPTIONS = { prefix: "BUN_JSC_", by: JSC.prefix, names: 640, left: Object.keys(JSC.options) };
