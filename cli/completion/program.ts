// SPDX-License-Identifier: MIT
// What is said about tcpx itself, in the help, in completions and in the manual page.

import type { Example } from "../extensions/types.ts";

const examples: Example[] = [
  ["tcpx demo", "See it work, in namespaces of its own"],
  ["tcpx uto set 30s --to 10.0.0.0/8", "Connections to 10.0.0.0/8 give up after 30 s, and say so"],
  ["tcpx status", "What is in force"],
  ["tcpx reset", "Undo everything but tcpx persist"],
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

type Entry = readonly [name: string, what: string];

const files: Entry[] = [
  ["/sys/fs/bpf/tcpx", "Pinned programs and maps: rules and counters, which outlive the command"],
  ["/run/tcpx", "Socket and lock of the agent, which runs while `ack` rules need it"],
];

const environment: Entry[] = [
  ["NO_COLOR", "When set and not empty, nothing is coloured; nor is what goes to a file or a pipe"],
  ["TERM", "`dumb` means no colour, too"],
];

export const PROGRAM = {
  summary: "tcpx extends the Linux TCP stack from the command line, on stock kernels.",
  description: [
    "Rules say what happens on which TCP connections. They are carried out by small eBPF programs that are " +
      "attached to a cgroup; no application is changed for it, and no kernel is patched.",
    "A rule holds for connections that are set up from now on, and outlives the command. Longest prefix " +
      "first, then the exact port; the value `none` exempts a narrower selector. Without a scope a rule is " +
      "for all processes in the caller's network namespace. Nothing that a peer sends has any effect " +
      "without an `accept` rule.",
    "Root is needed, or CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON. `tcpx doctor` tries what this host can do.",
  ],
  examples,
  notes: [`Exit codes: ${EXIT_CODES.map((what, code) => `${code} ${what}`).join(", ")}.`],
  files,
  environment,
  seeAlso: ["ss(8)", "ip(8)", "bpftool(8)", "bpf(2)", "tcp(7)", "cgroups(7)"],
};
