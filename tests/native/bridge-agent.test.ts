// SPDX-License-Identifier: MIT
// The agent's threads through the C API alone: namespaces, idleness, errors. What it sends is judged in
// tests/kernel/ack-thinner*.test.ts.

import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { buildObjects } from "../../scripts/build.ts";
import { attempts, Lab, run, until } from "../support/lab.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { c, EBADF, EINVAL, ENOENT, mayLoad, so, z } from "./bridge.ts";

const { i32, u32, ptr: p } = FFIType;
const a = dlopen(so, {
  tcpx_agent_start: { args: [i32, i32, i32, p], returns: i32 },
  tcpx_agent_holds: { args: [p, i32], returns: i32 },
  tcpx_agent_at_once: { args: [p, u32], returns: i32 },
  tcpx_agent_serve: { args: [p, p], returns: i32 },
  tcpx_agent_reason: { args: [p, p, i32], returns: i32 },
  tcpx_agent_stats: { args: [p, p], returns: i32 },
  tcpx_agent_stop: { args: [p], returns: i32 },
}).symbols;

const FLUSH = 1; // enum tcpx_served_flag
const ROUTES = 2;
const USED = 4;
const NO_ROUTES = 8;
const DECLINED = 16;
const BIT = 0x2000;
const [EPERM, EOPNOTSUPP] = [-1, -95];
/** struct tcpx_served */
const served8 = (flags: number, bits = 0) => new Uint32Array([flags, bits]);

function stats(agent: Pointer) {
  const out = new BigUint64Array(15); // struct tcpx_agent_stats
  expect(a.tcpx_agent_stats(agent, out)).toBe(0);
  const [, , , namespaces, cpuNs, , , most, foreign, turnedAway] = [...out].map(Number);
  return { namespaces, cpuNs, most, foreign, turnedAway };
}

/** "" of a process that has ended. */
function nameOf(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

const THREADS = ["tcpx-agent", "tcpx-flush"];

/** The directories in /proc of the threads that there are. */
function threads(): string[] {
  const tasks = readdirSync("/proc/self/task").map((id) => `/proc/self/task/${id}`);
  return tasks.filter((task) => THREADS.includes(readFileSync(join(task, "comm"), "utf8").trim()));
}

test("the agent refuses NULL and bad descriptors", () => {
  const out = new BigUint64Array(1);
  expect(a.tcpx_agent_start(-1, -1, -1, out)).toBe(EINVAL);
  expect(a.tcpx_agent_start(-1, -1, 0, null)).toBe(EINVAL);
  expect(a.tcpx_agent_start(1 << 20, -1, 0, out)).toBe(EBADF);
  expect(a.tcpx_agent_holds(null, 0)).toBe(EINVAL);
  expect(a.tcpx_agent_at_once(null, 1)).toBe(EINVAL);
  expect(a.tcpx_agent_serve(null, z("/proc/self/ns/net"))).toBe(EINVAL);
  expect(a.tcpx_agent_reason(null, out, 8)).toBe(EINVAL);
  expect(a.tcpx_agent_stats(null, out)).toBe(EINVAL);
  expect(a.tcpx_agent_stop(null)).toBe(EINVAL);
  expect(threads()).toEqual([]);
});

const needs = every("agent", labRequirement, requirement("load", mayLoad, "root and clang"));
describeIf(needs.ok, needs.reason)("the agent's threads", () => {
  let object: Pointer;
  let held: number;
  let served: number;
  let lab: Lab;

  beforeAll(async () => {
    const bytes = await Bun.file(join(await buildObjects(), "ack.bpf.o")).bytes();
    const out = new BigUint64Array(1);
    expect(c.tcpx_object_open(bytes, bytes.length, z("ack"), out)).toBe(0);
    object = Number(out[0]) as Pointer;
    expect(c.tcpx_object_load(object)).toBe(0);
    held = c.tcpx_object_map_fd(object, z("held"));
    served = c.tcpx_object_map_fd(object, z("served"));
    lab = await Lab.create();
  });
  afterAll(async () => {
    c.tcpx_object_close(object);
    await lab[Symbol.asyncDispose]();
  });

  const path = (netns: string) => `/run/netns/${netns}`;
  /** Flags and bits of the mark; or an error. */
  const entry = (inode: number): number[] | number => {
    const value = served8(0);
    const found = c.tcpx_map_lookup(served, new Uint32Array([inode]), value);
    return found === 0 ? [...value] : found;
  };
  const entryOf = (netns: string) => entry(Number(statSync(path(netns)).ino));
  const flags = (netns: string) => {
    const found = entryOf(netns);
    return typeof found === "number" ? found : found[0]!;
  };
  const start = (heldFd = held) => {
    const out = new BigUint64Array(1);
    expect(a.tcpx_agent_start(heldFd, -1, served, out)).toBe(0);
    return Number(out[0]) as Pointer;
  };

  test("serves namespaces by path, and takes all back at its end", async () => {
    const [one, two] = [await lab.netns("one"), await lab.netns("two")];
    const key = new Uint32Array([12345]);
    expect(c.tcpx_map_update(served, key, served8(FLUSH), 0n)).toBe(0);
    const agent = start();
    expect(c.tcpx_map_lookup(served, key, served8(0))).toBe(ENOENT); // of a killed agent
    expect(flags(one)).toBe(ENOENT);
    for (const netns of [one, two, one]) expect(a.tcpx_agent_serve(agent, z(path(netns)))).toBe(0);
    expect([flags(one), flags(two), stats(agent).namespaces]).toEqual([FLUSH, FLUSH, 2]);
    expect(a.tcpx_agent_serve(agent, z("/run/netns/no-such-name"))).toBe(ENOENT);
    expect(a.tcpx_agent_serve(agent, z("/proc/self/ns/mnt"))).toBe(EINVAL);
    expect(a.tcpx_agent_serve(agent, z("/dev/null"))).toBeLessThan(0);
    expect(stats(agent).namespaces).toBe(2);
    expect(a.tcpx_agent_reason(agent, Buffer.alloc(100), 100)).toBe(0);
    expect(a.tcpx_agent_stop(agent)).toBe(0);
    expect([flags(one), flags(two)]).toEqual([ENOENT, ENOENT]);
    expect(threads()).toEqual([]);
  });

  test("its threads have names, take no signals, and use no CPU when idle", async () => {
    const netns = await lab.netns("idle");
    const agent = start();
    expect(a.tcpx_agent_serve(agent, z(path(netns)))).toBe(0);
    const statuses = () => threads().map((task) => readFileSync(join(task, "status"), "utf8"));
    expect(await until(() => statuses().length === 2)).toBe(true); // each gives itself its name
    // all but KILL and STOP, and two that the C library keeps for itself
    for (const status of statuses()) expect(status).toMatch(/^SigBlk:\s*f{7}[ef].{8}$/m);
    const switches = () => statuses().map((status) => Number(status.match(/^vol\S*:\s*(\d+)/m)?.[1]));
    // how long they take to start is not known; what polls does so in every window
    const work = () => [stats(agent).cpuNs, switches()];
    const idle = async () => {
      const before = work();
      await Bun.sleep(2000);
      return { before, after: work() };
    };
    const { before, after } = await attempts(5, idle, (seen) => Bun.deepEquals(seen.after, seen.before));
    expect(after).toEqual(before);
    expect(a.tcpx_agent_stop(agent)).toBe(0);
  });

  test("a namespace nobody uses is given up in two steps, and does not live on", async () => {
    const [unused, used] = [await lab.netns("unused"), await lab.netns("used")];
    const agent = start();
    for (const netns of [unused, used]) expect(a.tcpx_agent_serve(agent, z(path(netns)))).toBe(0);
    const key = new Uint32Array([Number(statSync(path(used)).ino)]);
    expect(c.tcpx_map_update(served, key, served8(FLUSH | USED), 0n)).toBe(0); // by the thinner
    expect(await until(() => flags(unused) === ENOENT, 25_000)).toBe(true);
    expect(stats(agent).namespaces).toBe(2); // the sockets go later: something may still be held
    expect(flags(used)).toBe(FLUSH);
    expect(await until(() => stats(agent).namespaces === 1, 10_000)).toBe(true);
    expect(a.tcpx_agent_serve(agent, z(path(unused)))).toBe(0);
    expect(flags(unused)).toBe(FLUSH);
    expect(a.tcpx_agent_stop(agent)).toBe(0);
  }, 60_000);

  test("without a thinner it opens no raw sockets", async () => {
    const netns = await lab.netns("bare");
    const agent = start(-1);
    a.tcpx_agent_serve(agent, z(path(netns)));
    expect(flags(netns)).toBe(ENOENT);
    const sockets = await lab.exec(netns, ["cat", "/proc/net/raw", "/proc/net/raw6"]);
    expect(sockets.split("\n").filter((line) => /^\s*\d+:/.test(line))).toEqual([]);
    expect(a.tcpx_agent_stop(agent)).toBe(0);
  });

  test("does not enter a namespace of another user namespace", async () => {
    const box = lab.spawn(["unshare", "--user", "--map-root-user", "--net", "sleep", "600"]);
    const net = `/proc/${box.pid}/ns/net`;
    const own = readlinkSync("/proc/self/ns/net");
    expect(await until(() => existsSync(net) && readlinkSync(net) !== own)).toBe(true);
    const agent = start();
    expect(a.tcpx_agent_at_once(agent, BIT)).toBe(0);
    expect(a.tcpx_agent_serve(agent, z(net))).toBe(EPERM);
    expect(stats(agent)).toMatchObject({ namespaces: 0, foreign: 1 });
    expect(entry(Number(statSync(net).ino))).toEqual([DECLINED, 0]);
    const reason = Buffer.alloc(200);
    const length = a.tcpx_agent_reason(agent, reason, reason.length);
    expect(reason.toString("utf8", 0, length)).toContain("another user namespace");
    // rtnetlink sockets with an address are not the kernel's own
    const lines = readFileSync(`/proc/${box.pid}/net/netlink`, "utf8").split("\n").slice(1);
    expect(lines.filter((line) => /^\S+\s+0\s+[1-9]/.test(line))).toEqual([]);
    expect(a.tcpx_agent_stop(agent)).toBe(0);
  });

  test("tells which bits have routes, and that routing cannot carry them", async () => {
    const [good, bad] = [await lab.netns("good"), await lab.netns("bad")];
    await run(["ip", "-n", bad, "rule", "add", "fwmark", "0x8/0x8", "lookup", "100"]);
    const agent = start(-1);
    expect(a.tcpx_agent_at_once(agent, BIT)).toBe(0);
    for (const netns of [good, bad]) expect(a.tcpx_agent_serve(agent, z(path(netns)))).toBe(0);
    expect([entryOf(good), entryOf(bad)]).toEqual([
      [ROUTES, BIT],
      [ROUTES, BIT],
    ]);
    expect(a.tcpx_agent_at_once(agent, BIT | 8)).toBe(EOPNOTSUPP); // bad's other bit still stands
    expect([entryOf(good), entryOf(bad)]).toEqual([
      [ROUTES, BIT | 8],
      [ROUTES, BIT],
    ]);
    await run(["ip", "-n", good, "rule", "add", "fwmark", "0x2000", "lookup", "100"]); // the administrator's, later
    expect(await until(() => Bun.deepEquals(entryOf(good), [ROUTES | NO_ROUTES, 0]))).toBe(true);
    await run(["ip", "-n", good, "rule", "del", "fwmark", "0x2000", "lookup", "100"]);
    expect(await until(() => Bun.deepEquals(entryOf(good), [ROUTES, BIT | 8]))).toBe(true);
    const late = await lab.netns("late");
    await run(["ip", "-n", late, "rule", "add", "fwmark", "0x8/0x8", "lookup", "100"]);
    expect(a.tcpx_agent_serve(agent, z(path(late)))).toBe(EOPNOTSUPP);
    expect(entryOf(late)).toEqual([DECLINED, 0]);
    expect(await until(() => entryOf(late) === ENOENT)).toBe(true); // its number may soon be another's
    expect(a.tcpx_agent_stop(agent)).toBe(0);
  });

  test("a namespace without TCP sockets is let go after a minute, and ends with its last name", async () => {
    const [gone, kept] = [await lab.netns("gone"), await lab.netns("kept")];
    const { a: end } = await lab.link("kept", "gone");
    const listener = await lab.peer(kept);
    await listener.listen("127.0.0.1");
    const agent = start();
    expect(a.tcpx_agent_at_once(agent, BIT)).toBe(0);
    for (const netns of [gone, kept]) expect(a.tcpx_agent_serve(agent, z(path(netns)))).toBe(0);
    const inode = Number(statSync(path(gone)).ino);
    const guards = () => readdirSync("/proc").filter((pid) => nameOf(pid) === "tcpx-guard");
    expect(await until(() => guards().length >= 2)).toBe(true);
    for (const pid of guards()) {
      const home = statSync(`/proc/${pid}/ns/net`, { throwIfNoEntry: false })?.ino; // or it is of another test
      for (const netns of [gone, kept]) expect(Number(home)).not.toBe(Number(statSync(path(netns)).ino));
    }
    await run(["ip", "netns", "del", gone]);
    const devices = async () => await run(["ip", "-n", kept, "-br", "link"]);
    expect(await devices()).toContain(end.device); // our own sockets keep the namespace
    expect(await until(async () => !(await devices()).includes(end.device), 90_000)).toBe(true);
    expect(entry(inode)).toBe(ENOENT);
    expect([entryOf(kept), stats(agent).namespaces]).toEqual([[ROUTES, BIT], 1]);
    expect(a.tcpx_agent_stop(agent)).toBe(0);
  }, 120_000);
});
