// SPDX-License-Identifier: MIT
// Flags of all commands that build, and those that their children get.

import type { ValuesDef } from "../base/args.ts";
import type { Io } from "../output/io.ts";

export const clangArgs = {
  clang: {
    type: "string",
    valueHint: "FILE",
    description: "The compiler; default: clang of PATH, from 12 on",
  },
} as const satisfies ValuesDef;

/** Those of all commands, as they were given. */
export const flagsOf = ({ flags }: Io): string[] =>
  (["json", "quiet", "verbose"] as const).flatMap((name) => (flags[name] ? [`--${name}`] : []));
