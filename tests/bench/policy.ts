// SPDX-License-Identifier: MIT
// A policy of 100,000 rules: how long `tcpx apply` takes, how much memory it needs, and what connections
// pay for it, against ten rules.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildSupport } from "../support/build.ts";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { loop, ROUNDS, type Run, row } from "./connections.ts";
import { quantile } from "./stats.ts";

const RULES = 100_000;
const REPEATS = 5;

/** `n` rules for as many addresses, none of them the loop's; and one that is. */
export function policy(cgroup: string, n: number, segments: number, net = 10): string {
  const address = (i: number) => `${net}.${(i >> 16) & 255}.${(i >> 8) & 255}.${i & 255}`;
  const one = (to: string) => `\n[[scope.iw]]\nset = ${segments}\nto = "${to}"\n`;
  const rules = Array.from({ length: n - 1 }, (_, i) => one(address(i)));
  return `[[scope]]\ncgroup = "${cgroup}"\n${one("127.0.0.0/8")}${rules.join("")}`;
}

export interface Cost {
  ms: number;
  mb: number;
}

export async function cost(host: PrivateHost, args: string[]): Promise<Cost> {
  const start = performance.now();
  const child = Bun.spawn([...host.wrap, tcpxPath(), ...args], { stdout: "ignore", stderr: "pipe" });
  const [said, code] = await Promise.all([child.stderr.text(), child.exited]);
  const ms = performance.now() - start;
  if (code !== 0) throw new Error(`tcpx ${args.join(" ")}: exit ${code}: ${said}`);
  return { ms, mb: (child.resourceUsage()?.maxRSS ?? 0) / 1e6 };
}

/** Time and memory of the command, the median and the worst; goals: 2000 ms, 300 MB. */
export async function policyRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const host = await PrivateHost.create(lab);
  const cgroup = lab.cgroup("policy");
  const file = (name: string, text: string) => {
    writeFileSync(join(lab.dir, name), text);
    return join(lab.dir, name);
  };
  const empty = file("empty.toml", "scope = []\n");
  const many = file("many.toml", policy(cgroup, RULES, 20));
  const others = file("others.toml", policy(cgroup, RULES, 21));
  const elsewhere = file("elsewhere.toml", policy(cgroup, RULES, 20, 11));
  const cases = [
    { name: "apply, nothing there", before: empty, args: ["apply", many] },
    { name: "apply, nothing to change", before: many, args: ["apply", many] },
    { name: "apply, every rule another", before: many, args: ["apply", others] },
    { name: "apply, every place another", before: many, args: ["apply", elsewhere] },
    { name: "apply --dry-run", before: empty, args: ["apply", "--dry-run", many] },
    { name: "apply --dry-run, every rule another", before: many, args: ["apply", "--dry-run", others] },
    { name: "apply, all of them go", before: many, args: ["apply", empty] },
    { name: "export", before: many, args: ["export"] },
  ];
  const costs = new Map<string, Cost[]>(cases.map(({ name }) => [name, []]));
  for (let round = 0; round < REPEATS; round++) {
    for (const { name, before, args } of cases) {
      await cost(host, ["apply", before]);
      costs.get(name)!.push(await cost(host, args));
    }
  }
  return cases.map(({ name }) => {
    const of = (key: keyof Cost) => costs.get(name)!.map((found) => found[key]);
    const [ms, mb] = [of("ms"), of("mb")];
    return [
      name,
      ...[quantile(ms, 0.5), Math.max(...ms), quantile(mb, 0.5), Math.max(...mb)].map((n) => n.toFixed(0)),
    ];
  });
}

/** Connections with ten rules, of which one matches, and with 100,000; in turn. */
export async function policyConnectionRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const host = await PrivateHost.create(lab);
  const netns = await lab.netns("loop");
  const cases = [10, RULES].map((count) => ({
    name: `${count} rules`,
    count,
    cgroup: lab.cgroup(`rules${count}`),
  }));
  const text = cases.map(({ cgroup, count }) => policy(cgroup, count, 20)).join("");
  writeFileSync(join(lab.dir, "policy.toml"), text);
  await host.ok(["apply", join(lab.dir, "policy.toml")]);
  const runs = new Map<string, Run[]>(cases.map(({ name }) => [name, []]));
  const { loop: program } = await buildSupport();
  for (let round = -1; round < ROUNDS; round++) {
    for (const { name, cgroup } of cases) {
      const run = await loop(lab, program, netns, cgroup);
      if (round >= 0) runs.get(name)!.push(run); // the first round warms up
    }
  }
  return cases.map(({ name }) => row(name, runs.get(name)!, runs.get(cases[0]!.name)!));
}
