// SPDX-License-Identifier: MIT
// Wall time of whole commands, in turn, in a child cgroup of our own.

import { mkdirSync, rmdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { cgroupMount } from "../support/lab.ts";
import { type Sample, summary } from "./stats.ts";

const TCPX = process.env.TCPX_BIN ?? resolve(import.meta.dir, "../../dist/tcpx");
const ROUNDS = 20;

interface Case {
  name: string;
  /** What the user was promised, in milliseconds. */
  goal: number | null;
  prepare?: string[];
  args: string[];
}

function timed(args: string[]): number {
  const start = performance.now();
  const { exitCode, stderr } = Bun.spawnSync([TCPX, ...args], { stdout: "ignore", stderr: "pipe" });
  const ms = performance.now() - start;
  if (exitCode !== 0) throw new Error(`tcpx ${args.join(" ")}: exit ${exitCode}: ${stderr}`);
  return ms;
}

function cases(cgroup: string): Case[] {
  const place = ["--cgroup", cgroup, "--wait"];
  const unset = ["uto", "unset", "--all", ...place];
  const set = (duration: string) => ["uto", "set", duration, ...place];
  return [
    { name: "tcpx version", goal: 25, args: ["version"] },
    { name: "uto set, nothing to change", goal: 60, prepare: set("30s"), args: set("30s") },
    { name: "uto set, already attached", goal: 60, prepare: set("30s"), args: set("31s") },
    { name: "uto set, first attach", goal: 120, prepare: unset, args: set("30s") },
    { name: "uto unset, last rule", goal: null, prepare: set("30s"), args: unset },
    { name: "status", goal: null, prepare: set("30s"), args: ["status"] },
  ];
}

/** Times every command 20 times, in turn, and returns the table's rows. */
export function commandRows(): string[][] {
  const cgroup = join(cgroupMount(), `tcpx-bench-${process.pid}`);
  mkdirSync(cgroup);
  const list = cases(cgroup);
  const samples = new Map<string, Sample>(list.map(({ name }) => [name, []]));
  try {
    for (let round = -1; round < ROUNDS; round++) {
      for (const { name, prepare, args } of list) {
        if (prepare) timed(prepare);
        const ms = timed(args);
        if (round >= 0) samples.get(name)!.push(ms); // the first round warms up
      }
    }
  } finally {
    timed(["uto", "unset", "--all", "--cgroup", cgroup, "--wait"]);
    rmdirSync(cgroup);
  }
  const base = samples.get("tcpx version")!;
  return list.map(({ name, goal }) => {
    const { median, low, high, ratio } = summary(samples.get(name)!, base);
    const text = (ms: number) => ms.toFixed(1);
    return [name, text(median), `${text(low)}..${text(high)}`, ratio, goal === null ? "" : `<= ${goal}`];
  });
}
