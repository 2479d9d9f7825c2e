// SPDX-License-Identifier: MIT
// What the ACK lab measures: rules, traffic and paths as data. A guest runs one plan, in this order.

export interface Path {
  rttMs: number;
  /** Of the sender's link, Mbit/s. */
  mbit: number;
  /** Lost on the way of the data, percent. */
  loss?: number;
  /** Both ends negotiate AccECN, as Linux 7.0 and later can; its option counts bytes beside the flags. */
  accEcn?: "with its option" | "flags only";
}

/** Commands of tcpx at both ends of a connection; `--cgroup` is added. */
export interface Rules {
  /** At the side that sends data. */
  sender?: string[];
  /** At the side that acknowledges. */
  receiver?: string[];
}

export const RULES = {
  default: {},
  "every 8": { receiver: ["ack set --every 8"] },
  "every 1": { receiver: ["ack set --every 1"] },
  "10, rtt/4": { receiver: ["ack set --every 10 --delay rtt/4"] },
  "100, rtt/2": { receiver: ["ack set --every 100 --delay rtt/2 --min-acks-per-rtt 0"] },
  "asked 8": { sender: ["ack request --every 8"], receiver: ["ack accept"] },
} satisfies Record<string, Rules>;
export type RuleName = keyof typeof RULES;

/** Requests of about 100 KB. */
const BYTES = 100_000;

export type Traffic =
  /** As much as goes in this time. The receiver opens the connection, or (up) the sender does. */
  | { kind: "bulk"; ms: number; up?: boolean; killAfterMs?: number; family?: "v4" | "v6" }
  /** One after the other; on one connection, on new ones, or on one and whole multiples of the MSS. */
  | { kind: "fetch"; count: number; bytes: number; thinkMs: number; mode: "keep" | "new" | "whole" };

export interface Scenario {
  rules: RuleName;
  algorithm: "cubic" | "bbr";
  /** What the results call the traffic. */
  what: string;
  traffic: Traffic;
}

export const nameOf = ({ rules, algorithm, what }: Omit<Scenario, "traffic">) =>
  `${what}, ${algorithm}, ${rules}`;

export interface Plan {
  /** Which kernel the guest has. */
  series: string;
  path: Path;
  scenarios: Scenario[];
  /** Only what is thinned, and that it does no harm. */
  isShort?: boolean;
}

export const ALGORITHMS = ["cubic", "bbr"] as const;
export const FETCHES = ["keep", "whole", "new"] as const;
/** The second control of "keep". */
export const KEEP_AGAIN = "keep again";

const bulk = (rules: RuleName, algorithm: Scenario["algorithm"], ms: number): Scenario => ({
  rules,
  algorithm,
  what: "bulk",
  traffic: { kind: "bulk", ms },
});

/** Between two requests every tail loss probe of the one before has had its time. */
function fetches(rttMs: number, rules: RuleName): Scenario[] {
  return FETCHES.map((mode) => fetch(rttMs, rules, mode, mode));
}

function fetch(rttMs: number, rules: RuleName, mode: (typeof FETCHES)[number], what: string): Scenario {
  const traffic: Traffic = { kind: "fetch", count: 24, bytes: BYTES, thinkMs: 5 * rttMs, mode };
  return { rules, algorithm: "cubic", what, traffic };
}

/** The agent dies in the middle; nothing that needs it comes after. */
function kill(rules: RuleName, ms: number): Scenario {
  return { rules, algorithm: "cubic", what: "kill", traffic: { kind: "bulk", ms, killAfterMs: ms / 2 } };
}

/** The side that opens the connection sends, and asks for fewer ACKs. */
function uploads(ms: number): Scenario[] {
  const traffic: Traffic = { kind: "bulk", ms, up: true };
  return (["default", "asked 8"] as const).map((rules) => ({
    rules,
    algorithm: "cubic",
    what: "upload",
    traffic,
  }));
}

/** What is thinned does not depend on the IP version; once is enough. */
const V6: Scenario = {
  rules: "every 8",
  algorithm: "cubic",
  what: "IPv6",
  traffic: { kind: "bulk", ms: 8000, family: "v6" },
};

/** What has the same rules comes together: changing them costs more than a run. */
function plan(path: Path, ms: number, more: Scenario[] = []): Plan {
  const bulks = (rules: RuleName) => ALGORITHMS.map((algorithm) => bulk(rules, algorithm, ms));
  const both = (rules: RuleName) => [...bulks(rules), ...fetches(path.rttMs, rules)];
  const [withoutRules, asked] = uploads(ms);
  const papers = [...bulks("10, rtt/4"), ...bulks("100, rtt/2")];
  return {
    series: "6.12",
    path,
    scenarios: [
      ...both("default"),
      // without rules it takes 110.3 ms in some runs and 112.7 in others
      fetch(path.rttMs, "default", "keep", KEEP_AGAIN),
      withoutRules!,
      asked!,
      ...papers,
      ...both("every 8"),
      ...more, // with the same rules
      kill("every 8", ms),
      ...both("every 1"),
      kill("every 1", ms),
    ],
  };
}

/** On another kernel, or with another TCP. */
function shortPlan(series: string, path: Path): Plan {
  const scenarios = [bulk("default", "cubic", 8000), bulk("every 8", "cubic", 8000), V6];
  return { series, path, scenarios, isShort: true };
}

/** The name is a word on the guest's command line. */
export const PLANS: Record<string, Plan> = {
  "50ms": plan({ rttMs: 50, mbit: 20 }, 8000, [V6]),
  "200ms": plan({ rttMs: 200, mbit: 10 }, 12_000),
  older: shortPlan("6.1", { rttMs: 50, mbit: 20 }),
  AccECN: shortPlan("7.x", { rttMs: 50, mbit: 20, accEcn: "with its option" }),
  "AccECN-flags": shortPlan("7.x", { rttMs: 50, mbit: 20, accEcn: "flags only" }),
};

/** `loss-RTT-PERCENT`: bulk runs with loss, for the benchmark only. */
export function planOf(name: string): Plan {
  const plan = PLANS[name] ?? lossPlan(name);
  if (!plan) throw new Error(`unknown plan: ${name}`);
  return plan;
}

function lossPlan(name: string): Plan | undefined {
  const [, loss] = name.match(/^loss-([\d.]+)$/) ?? [];
  if (loss === undefined) return undefined;
  const rules: RuleName[] = ["default", "every 8", "every 1", "10, rtt/4"];
  return {
    series: "6.12",
    path: { rttMs: 50, mbit: 20, loss: Number(loss) },
    scenarios: rules.flatMap((rule) => ALGORITHMS.map((algorithm) => bulk(rule, algorithm, 15_000))),
  };
}
