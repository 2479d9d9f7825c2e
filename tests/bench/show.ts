// SPDX-License-Identifier: MIT
// What is shown of 100,000 rules: how long it takes, how much memory it needs, and how both grow from 10,000 on.

import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { type Cost, cost, policy } from "./policy.ts";
import { quantile } from "./stats.ts";

const [FEW, MANY] = [10_000, 100_000];
const REPEATS = 5;
const CASES = [
  ["iw", "show"],
  ["iw", "show", "--json"],
  ["status"],
  ["status", "--json"],
  ["export"],
  ["reset", "--dry-run"],
];

/** Time and memory of every command, the median and the worst, and the median ratios to a tenth of the rules. */
export async function showRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const cgroup = lab.cgroup("shown");
  const hosts: PrivateHost[] = [];
  for (const count of [FEW, MANY]) {
    const host = await PrivateHost.create(lab);
    const file = join(lab.dir, `${count}.toml`);
    writeFileSync(file, policy(cgroup, count, 20));
    await host.ok(["apply", file]);
    hosts.push(host);
  }
  const runs = CASES.map(() => [[], []] as [Cost[], Cost[]]);
  for (let round = 0; round < REPEATS; round++) {
    for (const [i, args] of CASES.entries()) {
      for (const [j, host] of hosts.entries()) runs[i]![j]!.push(await cost(host, args));
    }
  }
  return runs.map(([few, many], i) => {
    const of = (key: keyof Cost) => many.map((found) => found[key]);
    const ratio = (key: keyof Cost) =>
      quantile(
        many.map((found, round) => found[key] / few[round]![key]),
        0.5,
      ).toFixed(1);
    const [ms, mb] = [of("ms"), of("mb")];
    const figures = [quantile(ms, 0.5), Math.max(...ms)].map((n) => n.toFixed(0));
    const memory = [quantile(mb, 0.5), Math.max(...mb)].map((n) => n.toFixed(0));
    return [CASES[i]!.join(" "), ...figures, ratio("ms"), ...memory, ratio("mb")];
  });
}
