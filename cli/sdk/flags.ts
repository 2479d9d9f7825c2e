// SPDX-License-Identifier: MIT
// Flags of all commands that build.

import type { ValuesDef } from "../base/args.ts";

export const clangArgs = {
  clang: {
    type: "string",
    valueHint: "FILE",
    description: "The compiler; default: clang of PATH, from 12 on",
  },
} as const satisfies ValuesDef;
