// SPDX-License-Identifier: MIT
// The agent's threads through the C API alone: namespaces, idleness, errors. What it sends is judged in
// tests/kernel/ack-thinner*.test.ts.

import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { buildObjects } from "../../scripts/build.ts";
import { attempts, Lab, until } from "../support/lab.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { c, EBADF, EINVAL, ENOENT, mayLoad, so, z } from "./bridge.ts";

const { i32, u32, ptr: p } = FFIType;
const a = dlopen(so, {
  tcpx_agent_start: { args: [i32, i32, i32, p], returns: i32 },
  tcpx_agent_at_once: { args: [p, u32], returns: i32 },
  tcpx_agent_serve: { args: [p, p], returns: i32 },
  tcpx_agent_reason: { args: [p, p, i32], returns: i32 },
  tcpx_agent_stats: { args: [p, p], returns: i32 },
  tcpx_agent_stop: { args: [p], returns: i32 },
}).symbols;

const FLUSH = 1; // enum tcpx_served_flag
const USED = 4;

function stats(agent: Pointer) {
  const out = new BigUint64Array(7);
  expect(a.tcpx_agent_stats(agent, out)).toBe(0);
  return { namespaces: Number(out[3]), cpuNs: Number(out[4]) };
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
  const flags = (netns: string) => {
    const value = new Uint32Array(1);
    const found = c.tcpx_map_lookup(served, new Uint32Array([Number(statSync(path(netns)).ino)]), value);
    return found === 0 ? value[0]! : found;
  };
  const start = (heldFd = held) => {
    const out = new BigUint64Array(1);
    expect(a.tcpx_agent_start(heldFd, -1, served, out)).toBe(0);
    return Number(out[0]) as Pointer;
  };

  test("serves namespaces by path, and takes all back at its end", async () => {
    const [one, two] = [await lab.netns("one"), await lab.netns("two")];
    const key = new Uint32Array([12345]);
    expect(c.tcpx_map_update(served, key, new Uint32Array([FLUSH]), 0n)).toBe(0);
    const agent = start();
    expect(c.tcpx_map_lookup(served, key, new Uint32Array(1))).toBe(ENOENT); // of a killed agent
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
    expect(statuses()).toHaveLength(2);
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
    expect(c.tcpx_map_update(served, key, new Uint32Array([FLUSH | USED]), 0n)).toBe(0); // by the thinner
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
});
