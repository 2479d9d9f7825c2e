// SPDX-License-Identifier: MIT
// What is tried in every guest. A new feature is one entry; where it need not "work" on some kernel,
// matrix.test.ts says so.

import { existsSync, readFileSync } from "node:fs";
import { until } from "../support/lab.ts";
import { tcpx } from "../support/tcpx.ts";
import { ackRules } from "./ack-rules.ts";
import { apply } from "./apply.ts";
import { atOnce } from "./at-once.ts";
import { type BpfObjects, newObjects } from "./bpf-objects.ts";
import { connections } from "./connections.ts";
import { hardened } from "./hardened.ts";
import { keepalive } from "./keepalive.ts";
import { live, oldListener } from "./live.ts";
import { others } from "./others.ts";
import { pathRefused } from "./path-refused.ts";
import { degrades, type Result, works } from "./report.ts";
import { bbrWindow, lateRequests, requests, siteRequests } from "./requests.ts";
import { rootScope } from "./root-scope.ts";
import { signedSegments } from "./signed.ts";
import { slots } from "./slots.ts";
import { slotsSeen } from "./slots-seen.ts";
import { check, Pair, tcpxOk, Unsupported } from "./support.ts";
import { watch } from "./watch.ts";

export interface Guest {
  /** What the kernel held before tcpx ran. */
  before: BpfObjects;
}

export interface Feature {
  name: string;
  run(guest: Guest): Promise<Result>;
}

const bpffsMount = () => /^\S+ \/sys\/fs\/bpf bpf /m.test(readFileSync("/proc/self/mounts", "utf8"));

async function version(): Promise<Result> {
  check(!bpffsMount(), "the guest has a bpffs already: nothing would show that tcpx mounts it");
  return works((await tcpxOk(["version"])).json.version);
}

async function doctor(): Promise<Result> {
  const { code, json, stderr } = await tcpx(["doctor"], { json: true, timeoutMs: 80_000 });
  check(json !== undefined, `exit ${code} and no JSON document: ${stderr}`);
  const checks: { name: string; verdict: string; detail: string }[] = json.checks;
  const failed = checks.filter(({ verdict }) => verdict === "fail");
  const said = failed.map(({ name, detail }) => `${name}: ${detail}`).join("; ");
  if (code === 3) throw new Unsupported(said);
  check(code === 0 && failed.length === 0, `exit ${code}; ${said}`);
  // bpffs is mounted by the first rule, and there is no nft
  const expected = ["bpffs", "packet filter"];
  const without = checks.filter(({ name, verdict }) => verdict !== "ok" && !expected.includes(name));
  const names = without.map(({ name }) => name).join(", ");
  return names === "" ? works(`${checks.length} checks`) : degrades(`without ${names}`);
}

/** Rules survive the command that set them: the program is attached, and pinned in a bpffs that tcpx mounted. */
async function load({ before }: Guest): Promise<Result> {
  await using pair = await Pair.create();
  await pair.rule(pair.client, "uto set 30s --verbose");
  const { json } = await tcpxOk(["status", "--cgroup", pair.client.cgroup]);
  const held = newObjects(before);
  check(json.scopes.length === 1 && json.scopes[0].program_id > 0, "status shows no program");
  // that of the rules, and that of the program which holds resets back
  check(/\b2 links\b/.test(held), `the kernel holds ${held || "nothing"}, not two links`);
  check(json.scopes[0].holds_resets, "status says that resets are not held back");
  check(bpffsMount(), "bpffs is not mounted");
  return works(held);
}

function uto(family: "v4" | "v6") {
  return async (): Promise<Result> => {
    await using pair = await Pair.create();
    const address = pair.server[family];
    await pair.expectTimeouts(await pair.connect(address), { client: 0, server: 0 });
    await pair.rule(pair.client, "uto set 30s");
    await pair.rule(pair.server, "uto accept --min 1s --max 1h");
    await pair.expectTimeouts(await pair.connect(address), { client: 30_000, server: 30_000 });
    await pair.clear();
    await pair.expectTimeouts(await pair.connect(address), { client: 0, server: 0 });
    return works("30 s at both ends");
  };
}

async function cookiesReceived(pair: Pair): Promise<number> {
  const lines = (await pair.lab.exec("server", ["cat", "/proc/net/netstat"])).split("\n");
  const [names = [], values = []] = lines.filter((l) => l.startsWith("TcpExt:")).map((l) => l.split(" "));
  return Number(values[names.indexOf("SyncookiesRecv")]);
}

/** The server keeps nothing of the SYN: what it learns comes with the third ACK or the first data. */
async function synCookies(): Promise<Result> {
  await using pair = await Pair.create();
  await pair.lab.sysctl("server", "net.ipv4.tcp_syncookies", 2);
  await pair.rule(pair.client, "uto set 30s");
  await pair.rule(pair.server, "uto accept --min 1s --max 1h");
  for (const address of [pair.server.v4, pair.server.v6]) {
    const before = await cookiesReceived(pair);
    await pair.expectTimeouts(await pair.connect(address), { client: 30_000, server: 30_000 });
    check((await cookiesReceived(pair)) > before, `no SYN cookie was used with ${address}`);
  }
  return works("30 s at both ends, v4 and v6");
}

async function demo(): Promise<Result> {
  const { json } = await tcpxOk(["demo"]);
  check(json?.ok === true, "the document does not say ok");
  const ends: { end: string; with_tcpx: boolean; gave_up_after_ms: number }[] = json.ends;
  const times = ends
    .filter(({ with_tcpx }) => with_tcpx)
    .map((e) => `${e.end} ${(e.gave_up_after_ms / 1000).toFixed(1)} s`);
  return works(times.join(", "));
}

async function reset({ before }: Guest): Promise<Result> {
  await using pair = await Pair.create();
  for (const cgroup of [[], ["--cgroup", pair.server.cgroup]]) await tcpxOk(["uto", "set", "30s", ...cgroup]);
  check(newObjects(before) !== "", "there is nothing to remove");
  const { json } = await tcpxOk(["reset"]);
  check(json.changed === true && json.rule_count >= 2, `it says ${JSON.stringify(json)}`);
  // the kernel frees programs some time after the last reference
  await until(() => newObjects(before) === "", 10_000);
  check(newObjects(before) === "", `left in the kernel: ${newObjects(before)}`);
  check(!existsSync("/sys/fs/bpf/tcpx"), "left: /sys/fs/bpf/tcpx");
  await pair.expectTimeouts(await pair.connect(pair.server.v4), { client: 0, server: 0 });
  return bpffsMount() ? degrades("the empty bpffs stays mounted") : works("nothing left");
}

/** Taint flags of a kernel that warned or died. */
const TAINT = (1 << 9) | (1 << 7);
const COMPLAINT =
  /WARNING:|BUG:|Oops|general protection|Call Trace|verifier bug|REG INVARIANTS|UBSAN|refcount_t/;

/** The kernel has complained about nothing. */
export async function kernelLog(): Promise<Result> {
  const lines = (await Bun.$`dmesg`.text()).split("\n");
  const complaints = lines.filter((line) => COMPLAINT.test(line));
  if (complaints.length > 0) console.log(lines.slice(-200).join("\n"));
  check(complaints.length === 0, `${complaints.length} complaints, the first: ${complaints[0]}`);
  const taint = Number(readFileSync("/proc/sys/kernel/tainted", "utf8"));
  check((taint & TAINT) === 0, `the kernel is tainted: ${taint}`);
  return works(`${lines.length} lines`);
}

/** In this order: reset is among the last, what hardens the guest cannot be taken back, and the log is about all. */
export const features: Feature[] = [
  { name: "version", run: version },
  { name: "doctor", run: doctor },
  { name: "load", run: load },
  { name: "slots", run: slots },
  { name: "slots seen", run: slotsSeen },
  { name: "uto IPv4", run: uto("v4") },
  { name: "uto IPv6", run: uto("v6") },
  { name: "keep-alive", run: keepalive },
  { name: "SYN cookies", run: synCookies },
  { name: "requests", run: requests },
  { name: "late requests", run: lateRequests },
  { name: "site's own", run: siteRequests },
  { name: "BBR's window", run: bbrWindow },
  { name: "signed segments", run: signedSegments },
  { name: "ack rules", run: ackRules },
  { name: "at once", run: atOnce },
  { name: "connections", run: connections },
  { name: "watch", run: watch },
  { name: "refusing path", run: pathRefused },
  { name: "root scope", run: rootScope },
  { name: "policy file", run: apply },
  { name: "old listener", run: oldListener },
  { name: "live", run: live },
  { name: "programs of others", run: others },
  { name: "demo", run: demo },
  { name: "reset", run: reset },
  { name: "hardened", run: hardened },
  { name: "kernel log", run: kernelLog },
];
