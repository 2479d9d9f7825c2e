// SPDX-License-Identifier: MIT
// What is said about tcpx itself, in the help, in completions and in the manual page.

import type { Example } from "../base/args.ts";

const examples: Example[] = [
  ["tcpx demo", "See it work, in namespaces of its own"],
  ["tcpx uto set 30s --to 10.0.0.0/8", "Connections to 10.0.0.0/8 give up after 30 s, and say so"],
  ["tcpx status", "What is in force"],
  ["tcpx reset", "Undo everything but tcpx persist"],
];

/** By code. */
export const EXIT_CODES: readonly string[] = [
  "done",
  "failed (also: rules are in force, but their agent did not start; stdout cannot be written)",
  "usage (also: no such unit or cgroup)",
  "kernel or host cannot do it (also: a limit is too low)",
  "permission",
  "busy (another tcpx is at work)",
];

type Entry = readonly [name: string, what: string];

const files: Entry[] = [
  ["/sys/fs/bpf/tcpx", "Pinned programs and maps: rules and counters, which outlive the command"],
  [
    "/run/tcpx",
    "Socket and lock of the agent, which runs while `ack` rules need it, under systemd as tcpx-agent.service",
  ],
  ["/run/systemd/system/UNIT.service.d/50-tcpx.conf", "Has a service that has rules start with them"],
  ["/run/systemd/system/tcpx-unit@.service", "What these drop-ins start"],
  [
    "/etc/tcpx/policy.toml",
    "The rules that `tcpx persist on` has written; the file before it is policy.toml.old",
  ],
  [
    "/etc/systemd/system/tcpx.service",
    "Applies that file when the system starts; `tcpx persist off` removes it",
  ],
  ["PREFIX/share/tcpx/manifest", "What install.sh has installed, and `install.sh --uninstall` removes"],
  [
    "table 31904 and an ip rule with protocol 202",
    "Routes for ACKs at once, in network namespaces that have such connections; they go with the agent",
  ],
];

const environment: Entry[] = [
  ["NO_COLOR", "When set and not empty, nothing is coloured; nor is what goes to a file or a pipe"],
  ["COLUMNS", "How wide tables are on a terminal, in the place of its own width"],
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
    "Root is needed: uid 0 with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON at least. `tcpx doctor` tries what this host can do.",
  ],
  examples,
  notes: [
    `Exit codes: ${EXIT_CODES.map((what, code) => `${code} ${what}`).join(", ")}.`,
    "A reader that goes, as in `| head -1`, is no error. Where stdout cannot be written for another reason (a full " +
      "disk), the command does all that it is for, says so on stderr, and ends with 1.",
  ],
  files,
  environment,
  seeAlso: ["ss(8)", "ip(8)", "bpftool(8)", "bpf(2)", "tcp(7)", "cgroups(7)"],
};
