// SPDX-License-Identifier: MIT
// Runs inside the guest, in virtual time: what an extension of the host costs a connection.

import { loop } from "../bench/connections.ts";
import { EXTENSION_CASES, PACKAGES } from "../bench/extension-cases.ts";
import { buildSupport } from "../support/build.ts";
import { Lab } from "../support/lab.ts";

const ROUNDS = 3;

/** Without a look at what it prints: docs/json.md does not know the extensions of a bench. */
function tcpx(words: readonly string[]): void {
  const { exitCode, stderr } = Bun.spawnSync(["tcpx", ...words], { stdout: "ignore", stderr: "pipe" });
  if (exitCode !== 0) throw new Error(`tcpx ${words.join(" ")}: ${stderr}`);
}

await using lab = await Lab.create();
const netns = await lab.netns("loop");
const { loop: program } = await buildSupport();
const cgroups = EXTENSION_CASES.map((_, i) => lab.cgroup(`case${i}`));
const added = new Set<string>();
for (const [i, { has, rules }] of EXTENSION_CASES.entries()) {
  if (has !== undefined && !added.has(has)) tcpx(["ext", "add", `/${PACKAGES}/${has}.tcpx`]);
  if (has !== undefined) added.add(has);
  for (const rule of rules) tcpx([...rule, "--cgroup", cgroups[i]!, "--wait"]);
}
let lines = 0;
for (let round = -1; round < ROUNDS; round++) {
  for (const [i, { name }] of EXTENSION_CASES.entries()) {
    const { perSecond } = await loop(lab, program, netns, cgroups[i]!);
    if (round < 0) continue; // warms up
    // the loop is never idle, and the guest has one CPU: so all of the time is work
    console.log(`VM: ${JSON.stringify({ name, nanos: Math.round(1e9 / perSecond) })}`);
    lines++;
  }
}
tcpx(["reset", "--wait"]);
console.log(`VM: end ${lines}`);
process.exit(0);
