// SPDX-License-Identifier: MIT
// What rules cost a connection: a loop of short connections with matching rules, with rules that do
// not match, and without tcpx, in turn.

import { readFileSync } from "node:fs";
import { buildSupport } from "../support/build.ts";
import { Lab } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { interval, quantile, type Sample, summary } from "./stats.ts";

export const ROUNDS = Number(process.env.ROUNDS ?? 40);
const CONNECTIONS = 3000;

/** The one in use anyway: what another algorithm costs is not tcpx's. */
const ALGORITHM = readFileSync("/proc/sys/net/ipv4/tcp_congestion_control", "utf8").trim();

const rulesFor = (selectors: { to: string[]; from: string[] }): string[][] => [
  ["uto", "set", "30s", ...selectors.to],
  ["uto", "accept", "--min", "5s", ...selectors.from],
  ["cc-request", "set", ALGORITHM, ...selectors.to],
  ["cc-request", "accept", ALGORITHM, ...selectors.from],
  ["iw", "set", "20", ...selectors.to],
  ["iw", "accept", "--max", "20", ...selectors.from],
];

const ELSEWHERE = { to: ["--to", "192.0.2.0/24"], from: ["--from", "192.0.2.0/24"] };
/** One side asks, the other grants: as between two hosts. */
const EVERYWHERE = { to: ["--to", "127.0.0.0/8"], from: ["--from", "127.0.0.0/8"] };

interface Case {
  name: string;
  rules: string[][];
}

/** The first one is what the others are compared with. */
export const CASES: readonly Case[] = [
  { name: "no tcpx", rules: [] },
  { name: "no match", rules: rulesFor(ELSEWHERE) },
  {
    name: "uto --no-advertise matches",
    rules: [["uto", "set", "30s", "--no-advertise", "--to", "127.0.0.0/8"]],
  },
  { name: "uto matches", rules: rulesFor(EVERYWHERE).slice(0, 2) },
  { name: "uto, cc-request, iw match", rules: rulesFor(EVERYWHERE) },
];

/** Of the extensions that have rules here. */
const NAMES = new Set(CASES.flatMap(({ rules }) => rules.map(([name]) => name!)));

export interface Run {
  perSecond: number;
  /** Of both ends, per connection. */
  cpuMicros: number;
}

/** Connections per second and CPU time with their ratios to the base. */
export function row(name: string, runs: Run[], base: Run[]): string[] {
  const speed = (all: Run[]): Sample => all.map(({ perSecond }) => perSecond);
  const cpu = (all: Run[]): Sample => all.map(({ cpuMicros }) => cpuMicros);
  return [
    name,
    quantile(speed(runs), 0.5).toFixed(0),
    summary(speed(runs), speed(base)).ratio,
    quantile(cpu(runs), 0.5).toFixed(1),
    interval(cpu(runs), cpu(base)),
  ];
}

export async function loop(lab: Lab, program: string, netns: string, cgroup: string): Promise<Run> {
  const child = lab.spawn([program, String(CONNECTIONS)], { netns, cgroup });
  const out = await new Response(child.stdout as ReadableStream).text();
  if ((await child.exited) !== 0) throw new Error("the loop failed");
  const [wall = 0, cpu = 0] = out.trim().split(" ").map(Number);
  return { perSecond: (CONNECTIONS * 1e6) / wall, cpuMicros: cpu / CONNECTIONS };
}

/** Runs all cases ROUNDS times in turn, as `prepare` says, and returns the table's rows. */
export async function inTurn(
  prepare: (lab: Lab, netns: string, cgroups: string[]) => Promise<(index: number) => Promise<Run>>,
): Promise<string[][]> {
  await using lab = await Lab.create();
  const netns = await lab.netns("loop");
  const runs = new Map<string, Run[]>(CASES.map(({ name }) => [name, []]));
  const cgroups = CASES.map((_, i) => lab.cgroup(`case${i}`));
  try {
    const measure = await prepare(lab, netns, cgroups);
    for (let round = -1; round < ROUNDS; round++) {
      for (const [i, { name }] of CASES.entries()) {
        const run = await measure(i);
        if (round >= 0) runs.get(name)!.push(run); // the first round warms up
      }
    }
  } finally {
    for (const cgroup of cgroups) {
      for (const name of NAMES) await tcpx([name, "unset", "--all", "--cgroup", cgroup, "--wait"]);
    }
  }
  return CASES.map(({ name }) => row(name, runs.get(name)!, runs.get(CASES[0]!.name)!));
}

export function connectionRows(): Promise<string[][]> {
  return inTurn(async (lab, netns, cgroups) => {
    const { loop: program } = await buildSupport();
    for (const [i, { rules }] of CASES.entries()) {
      for (const rule of rules) await tcpx([...rule, "--cgroup", cgroups[i]!, "--wait"]);
    }
    return (i) => loop(lab, program, netns, cgroups[i]!);
  });
}
