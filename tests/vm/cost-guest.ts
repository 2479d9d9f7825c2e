// SPDX-License-Identifier: MIT
// Runs inside the guest, in virtual time: what rules cost a connection, where every instruction takes
// as long as any other.

import { writeFileSync } from "node:fs";
import { CASES, loop, type Run } from "../bench/connections.ts";
import { load, type Server, serve } from "../bench/programs.ts";
import { buildSupport } from "../support/build.ts";
import { Lab } from "../support/lab.ts";
import { tcpxOk } from "./support.ts";

const ROUNDS = 3;
const REQUESTS = 500;

// nginx asks who it is
writeFileSync("/etc/passwd", "root:x:0:0::/:\n");
writeFileSync("/etc/group", "root:x:0:\n");

let lines = 0;
async function inTurn(index: number, measure: (index: number) => Promise<Run>): Promise<void> {
  for (let round = -1; round < ROUNDS; round++) {
    for (const [i, { name }] of CASES.entries()) {
      const { perSecond } = await measure(i);
      if (round < 0) continue; // warms up
      // the loops are never idle, and the guest has one CPU: so all of the time is work
      console.log(`VM: ${JSON.stringify({ loop: index, name, nanos: Math.round(1e9 / perSecond) })}`);
      lines++;
    }
  }
}

async function measure(): Promise<void> {
  await using lab = await Lab.create();
  const netns = await lab.netns("loop");
  const { loop: program } = await buildSupport();
  const cgroups = CASES.map((_, i) => lab.cgroup(`case${i}`));
  for (const [i, { rules }] of CASES.entries())
    for (const rule of rules) await tcpxOk([...rule, "--cgroup", cgroups[i]!, "--wait"]);
  await inTurn(0, (i) => loop(lab, program, netns, cgroups[i]!));
  const servers: Server[] = [];
  for (const [i, cgroup] of cgroups.entries()) servers.push(await serve(lab, netns, cgroup, i));
  await inTurn(1, (i) => load(lab, servers[i]!, REQUESTS));
  for (const cgroup of cgroups) await tcpxOk(["uto", "unset", "--all", "--cgroup", cgroup]);
}

await measure();
console.log(`VM: end ${lines}`);
process.exit(0);
