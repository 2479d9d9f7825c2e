// SPDX-License-Identifier: MIT
// What is said about tcpx itself, in the help, in completions and in the manual page.

import type { Example } from "../extensions/types.ts";

const examples: Example[] = [
  ["tcpx demo", "See it work, in namespaces of its own"],
  ["tcpx uto set 30s --to 10.0.0.0/8", "Connections to 10.0.0.0/8 give up after 30 s, and say so"],
  ["tcpx status", "What is in force"],
  ["tcpx reset", "Undo everything"],
];

/** By code. */
export const EXIT_CODES: readonly string[] = [
  "done",
  "failed",
  "usage",
  "kernel or host cannot do it",
  "permission",
  "busy",
];

export const PROGRAM = {
  summary: "tcpx extends the Linux TCP stack from the command line, on stock kernels.",
  examples,
  notes: [`Exit codes: ${EXIT_CODES.map((what, code) => `${code} ${what}`).join(", ")}.`],
};
