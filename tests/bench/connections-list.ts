// SPDX-License-Identifier: MIT
// How long `tcpx connections` takes for 100,000 sockets in one network namespace; goal: under 2 s.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { enter } from "../support/process.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { quantile } from "./stats.ts";

const PAIRS = 5;
const PER_PAIR = 10_000;
const SOCKETS = 2 * PAIRS * PER_PAIR;
const ROUNDS = 7;

const CASES: [name: string, args: string[]][] = [
  ["table", []],
  ["--json", ["--json"]],
  ["--port 2000", ["--port", "2000"]],
  ["--state closing (none)", ["--state", "closing"]],
];

function compile(dir: string): string {
  const program = join(dir, "many");
  const source = join(import.meta.dir, "many.c");
  const { exitCode, stderr } = Bun.spawnSync(["cc", "-O2", "-Wall", source, "-o", program]);
  if (exitCode !== 0) throw new Error(String(stderr));
  return program;
}

/** Milliseconds and lines of one call, read to its end through a pipe. */
async function once(args: string[], cgroup: string, netns: string): Promise<{ ms: number; bytes: number }> {
  const argv = enter([tcpxPath(), "connections", "--cgroup", cgroup, ...args], { netns });
  const start = performance.now();
  const child = Bun.spawn(argv, { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
  let bytes = 0;
  for await (const chunk of child.stdout) bytes += chunk.length;
  if ((await child.exited) !== 0) throw new Error("tcpx connections failed");
  return { ms: performance.now() - start, bytes };
}

/** The table's rows: without rules, then with one that matches every connection. */
export async function listRows(): Promise<string[][]> {
  const dir = mkdtempSync(join(tmpdir(), "tcpx-bench-"));
  await using lab = await Lab.create();
  const rows: string[][] = [];
  try {
    const program = compile(dir);
    for (const ruled of [false, true]) {
      const name = ruled ? "ruled" : "plain";
      const [cgroup, netns] = [lab.cgroup(name), await lab.netns(name)];
      const rules = [
        ["uto", "set", "30s"],
        ["cc-request", "set", "reno"],
        ["iw", "set", "20"],
      ];
      if (ruled) for (const rule of rules) await tcpx([...rule, "--cgroup", cgroup, "--wait"]);
      const child = lab.spawn([program, `${PAIRS}`, `${PER_PAIR}`], { netns, cgroup });
      const { value } = await child.stdout.getReader().read();
      if (!new TextDecoder().decode(value).startsWith("ready")) throw new Error("no connections");
      for (const [what, args] of CASES) {
        const runs = [];
        for (let i = 0; i < ROUNDS; i++) runs.push(await once(args, cgroup, netns));
        const ms = runs.map((run) => run.ms);
        const least = Math.min(...ms).toFixed(0);
        rows.push([
          `${SOCKETS} sockets, ${ruled ? "rules match" : "no rules"}: ${what}`,
          quantile(ms, 0.5).toFixed(0),
          `${least}..${Math.max(...ms).toFixed(0)}`,
          `${(runs[0]!.bytes / 1e6).toFixed(1)}`,
        ]);
      }
      child.kill("SIGKILL");
      await child.exited;
      if (ruled)
        for (const [ext = ""] of rules) await tcpx([ext, "unset", "--all", "--cgroup", cgroup, "--wait"]);
    }
  } finally {
    rmSync(dir, { recursive: true });
  }
  return rows;
}
