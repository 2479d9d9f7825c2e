// SPDX-License-Identifier: MIT
// What each harness of tests/fuzz is made of, and how often it runs where nobody waits for more.

export interface Target {
  /** Files of tests/fuzz besides NAME.c, without .c. */
  harness: string[];
  /** Files of native-loader and its agent/, without .c. */
  bridge: RegExp;
  /** Runs in the tests: a few seconds. */
  runs: number;
  /** What it is about, for the help. */
  about: string;
}

const HOST = ["host", "input", "messages", "netlink", "poison", "sent", "failed"];
const ROUTES = "route[-s]?.*|netlink.*|guard-.*";
const HELD = "held-.*|monotonic";

export const TARGETS: Record<string, Target> = {
  answers: {
    harness: HOST,
    bridge: new RegExp(`^(${ROUTES})$`),
    runs: 5_000,
    about: "answers to what is asked of routing",
  },
  news: {
    harness: HOST,
    bridge: new RegExp(`^(${ROUTES})$`),
    runs: 5_000,
    about: "notifications of routes, rules and devices",
  },
  held: {
    harness: HOST,
    bridge: new RegExp(`^(${ROUTES}|${HELD})$`),
    runs: 5_000,
    about: "routing that held ACKs would meet, and IPsec policies",
  },
  agent: {
    harness: [...HOST, "agent-host", "packet", "bpf"],
    bridge: new RegExp(`^(${ROUTES}|agent.*|flush.*|served.*|copier|find-netns|${HELD})$`),
    runs: 5_000,
    about: "records of both ring buffers, held ACKs, namespaces, sockstat",
  },
  ring: {
    harness: [...HOST, "bpf"],
    bridge: new RegExp(`^(${ROUTES}|ring)$`),
    runs: 30_000,
    about: "records of a ring buffer into room of any size",
  },
};

export function targetOf(name: string): Target {
  const target = TARGETS[name];
  if (!target) throw new Error(`no fuzz target ${name}; there are ${Object.keys(TARGETS).join(", ")}`);
  return target;
}
