// SPDX-License-Identifier: MIT
// A hardened host: nobody may trace anybody (Yama), and the kernel is locked down, which cannot be taken back.

import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { tcpx } from "../support/tcpx.ts";
import { degrades, type Result, works } from "./report.ts";
import { check, Pair, tcpxOk, Unsupported } from "./support.ts";

const YAMA = "/proc/sys/kernel/yama/ptrace_scope";
const SECURITYFS = "/sys/kernel/security";
const LOCKDOWN = `${SECURITYFS}/lockdown`;

interface Check {
  name: string;
  verdict: string;
  detail: string;
}

/** The core was tried, and works. @returns what doctor says of lockdown */
async function doctorAgrees(): Promise<Check> {
  const { json } = await tcpxOk(["doctor"]);
  const of = (name: string) => json.checks.find((c: Check) => c.name === name) as Check;
  check(of("negotiation").verdict === "ok", `negotiation: ${of("negotiation").detail}`);
  return of("lockdown");
}

async function rulesWork(pair: Pair): Promise<void> {
  await pair.rule(pair.client, "uto set 30s");
  await pair.rule(pair.client, "cc-request set reno");
  await pair.rule(pair.server, "uto accept --min 1s --max 1h");
  await pair.rule(pair.server, "cc-request accept reno");
  const connection = await pair.connect(pair.server.v4);
  await pair.expectTimeouts(connection, { client: 30_000, server: 30_000 });
  const [scope] = (await tcpxOk(["status", "--cgroup", pair.server.cgroup])).json.scopes;
  const counters = scope.counters["cc-request"];
  check(counters.applied === 1, `no congestion control was granted: ${JSON.stringify(counters)}`);
}

/** Beside a scope around it: whose the other program is cannot be read. */
async function nestedRules(pair: Pair): Promise<void> {
  const around = { ...pair.client, cgroup: pair.client.cgroup.replace(/\/[^/]+$/, "") };
  await pair.rule(around, "uto set 50s --to 203.0.113.1");
  await pair.expectTimeouts(await pair.connect(pair.server.v6), { client: 30_000, server: 30_000 });
}

/** The number that they list, or why they do not. */
async function listed(pair: Pair): Promise<string> {
  const { code, json, stderr } = await tcpx(["connections", "--cgroup", pair.client.cgroup], {
    netns: pair.client.netns,
    json: true,
  });
  if (code === 3) return json.error.what;
  check(code === 0, `connections: exit ${code}: ${stderr}`);
  check(
    json.connections.some((c: { user_timeout_ms: number }) => c.user_timeout_ms === 30_000),
    "not listed",
  );
  return "";
}

async function changedLive(pair: Pair): Promise<boolean> {
  const connection = await pair.connect(pair.server.v4);
  const args = ["uto", "set", "40s", "--live", "--cgroup", pair.client.cgroup];
  const { code, stderr } = await tcpx(args, { netns: pair.client.netns, json: true, timeoutMs: 80_000 });
  if (code === 3) return false;
  check(code === 0, `--live: exit ${code}: ${stderr}`);
  const timeout = await pair.timeoutOf(pair.client, connection.client);
  check(timeout === 40_000, `--live: the timeout is ${timeout}`);
  return true;
}

export async function hardened(): Promise<Result> {
  if (!existsSync(YAMA)) throw new Unsupported("no Yama");
  writeFileSync(YAMA, "3");
  await Bun.$`mount -t securityfs securityfs ${SECURITYFS}`;
  if (!existsSync(LOCKDOWN)) throw new Unsupported("no lockdown");
  writeFileSync(LOCKDOWN, "integrity");
  const integrity = await doctorAgrees();
  check(integrity.verdict === "ok" && integrity.detail === "integrity", `it says ${integrity.detail}`);
  writeFileSync(LOCKDOWN, "confidentiality");
  check(readFileSync(LOCKDOWN, "utf8").includes("[confidentiality]"), "not locked down");
  await Bun.$`umount ${SECURITYFS}`;
  const tried = await doctorAgrees();
  check(tried.verdict === "warn" && tried.detail.startsWith("mode not known"), `it says ${tried.detail}`);
  await using pair = await Pair.create();
  await rulesWork(pair);
  const refusal = await listed(pair);
  check(refusal === "" || refusal.includes("lockdown (confidentiality"), `connections: ${refusal}`);
  await nestedRules(pair);
  const live = await changedLive(pair);
  const without = [...(refusal ? ["connections"] : []), ...(live ? [] : ["--live"])];
  return without.length > 0 ? degrades(`without ${without.join(", ")}`) : works("rules, connections, --live");
}
