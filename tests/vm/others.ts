// SPDX-License-Identifier: MIT
// Whole programs of others: a sock_ops program of a scope, replaced in one step, and a congestion control.

import { copyFileSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { controlObject, countObject } from "../support/build.ts";
import { CONTROL } from "../support/congestion.ts";
import { connectPeers } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, tcpxOk } from "./support.ts";

const STATS = "/proc/sys/kernel/bpf_stats_enabled";

const available = () => readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8");

/** What needs no other kernel is in tests/kernel/ext-load*.test.ts: guests are slow. */
async function program({ lab, client, server }: Pair): Promise<void> {
  const file = join(lab.dir, "count.bpf.o");
  copyFileSync(await countObject(), file);
  const load = (set: string) => tcpxOk(["ext", "load", file, "--set", set, "--cgroup", client.cgroup]);
  check(!(await load("step=1")).json.in_place, "it is said to be there already");
  check((await load("step=2")).json.in_place, "it is not replaced");
  writeFileSync(STATS, "1");
  await connectPeers(client.peer, server.peer, server.v4);
  const [loaded] = (await tcpxOk(["status"])).json.loaded_programs;
  writeFileSync(STATS, "0");
  check(loaded.in_force && loaded.programs[0].runs > 0, `its runs: ${JSON.stringify(loaded.programs)}`);
  await tcpxOk(["ext", "unload", "count", "--cgroup", client.cgroup]);
}

/** Whether this kernel has given it another one in its place. */
async function control({ lab, client, server }: Pair): Promise<boolean> {
  const file = join(lab.dir, "control.bpf.o");
  copyFileSync(await controlObject(), file);
  await tcpxOk(["ext", "load", file]);
  await tcpxOk(["cc-request", "set", CONTROL, "--local", "--cgroup", client.cgroup]);
  const c = await connectPeers(client.peer, server.peer, server.v4);
  check((await client.peer.getcc(c.client)) === CONTROL, "it is not used");
  copyFileSync(file, `${file}2`);
  const again = await tcpx(["ext", "load", `${file}2`], { json: true, timeoutMs: 80_000 });
  check(again.code === 0 || again.code === 3, `replaced: exit ${again.code}: ${again.stderr}`);
  await client.peer.reset(c.client);
  const { json } = await tcpxOk(["reset"]); // with the rule that names it
  check(json.unloaded_programs.length === 1 && !available().includes(CONTROL), "reset leaves it");
  return again.code === 0;
}

export async function others(): Promise<Result> {
  await using pair = await Pair.create();
  await program(pair);
  const isReplaced = await control(pair);
  return isReplaced
    ? works("loaded, replaced, unloaded")
    : degrades("congestion controls are not replaced, with exit 3");
}
