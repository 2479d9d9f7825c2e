// SPDX-License-Identifier: MIT
// The real parts of the agent: pinned maps, the thinner's object, the thread in the bridge.

import { closeSync, fstatSync, openSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, cstr, Errno, unwrap } from "../bridge/bridge.ts";
import { type Fd, mapId, openPin, valueSize } from "../bridge/maps.ts";
import { sizeOf } from "../layout/struct.ts";
import { placeOf } from "../loader/cgroup-place.ts";
import { layoutDir } from "../loader/pins.ts";
import { findBpffs } from "../system/host.ts";
import { parseDenied } from "./denied.ts";
import { parseWays } from "./effect.ts";
import {
  type Maps,
  type Parts,
  THREAD_STATS,
  type Thinner,
  type Thread,
  type ThreadStats,
} from "./engine.ts";
import { refusal, refusedHere } from "./rights.ts";
import type { AgentScope } from "./sync.ts";

/** Longer than any ACK is held back (HELD_MOST_MS in thinner.ts). */
const LINGER_MS = 250;

const PINNED = ["conns", "served", "notices"] as const;

function openMaps(lib: Bridge): Maps | undefined {
  const bpffs = findBpffs(lib);
  if (!bpffs) return undefined;
  const open: Fd[] = [];
  const close = () => {
    for (const fd of open) fd[Symbol.dispose]();
  };
  for (const name of PINNED) {
    const fd = openPin(lib, join(layoutDir(bpffs), name));
    if (!fd) {
      close();
      return undefined;
    }
    open.push(fd);
  }
  const [conns, served, notices] = open.map(({ fd }) => fd) as [number, number, number];
  if (valueSize(lib, served) !== sizeOf("tcpx_served")) {
    close(); // the bridge would write beyond its variables
    throw new Error("the map `served` was pinned by another build of tcpx: `tcpx reset` removes it");
  }
  const ids = open.map(({ fd }) => mapId(lib, fd)).join(" ");
  return { identity: ids, conns, served, notices, [Symbol.dispose]: close };
}

/** struct tcpx_agent_stats: as many u64 */
function readStats(lib: Bridge, agent: bigint): ThreadStats {
  const raw = new BigUint64Array(THREAD_STATS.length);
  unwrap("agent statistics", lib.tcpx_agent_stats(agent, raw));
  return Object.fromEntries(THREAD_STATS.map((name, i) => [name, Number(raw[i])])) as unknown as ThreadStats;
}

/** More than this of one host nobody reads. */
const LINES_SIZE = 65_536;

/** What the thread tells in lines. */
function linesOf(what: string, call: (text: Uint8Array, size: number) => number): string {
  const text = new Uint8Array(LINES_SIZE);
  const length = unwrap(what, call(text, text.length));
  return new TextDecoder().decode(text.subarray(0, length));
}

/** Why routing could last not carry ACKs at once, in the thread's own words. */
function reasonOf(lib: Bridge, agent: bigint): string {
  const text = new Uint8Array(256);
  const length = lib.tcpx_agent_reason(agent, text, text.length);
  return new TextDecoder().decode(text.subarray(0, Math.min(Math.max(length, 0), text.length - 1)));
}

function startThread(lib: Bridge, heldFd: number, maps: Maps, holdsFd: number): Thread {
  const out = new BigUint64Array(1);
  unwrap("start of the agent's thread", lib.tcpx_agent_start(heldFd, maps.notices, maps.served, out));
  const agent = out[0]!;
  const known = holdsFd < 0 ? 0 : lib.tcpx_agent_holds(agent, holdsFd);
  if (known < 0) lib.tcpx_agent_stop(agent);
  unwrap("the map of held ACKs", known);
  const routed = (result: number) => {
    if (result >= 0) return;
    const { code } = new Errno("routes", -result);
    throw new Error(`ACKs at once: ${reasonOf(lib, agent) || code}`);
  };
  return {
    atOnce: (bits) => routed(lib.tcpx_agent_at_once(agent, bits)),
    serve: (path) => routed(lib.tcpx_agent_serve(agent, cstr(path))),
    stats: () => readStats(lib, agent),
    denied: () => parseDenied(linesOf("denied", (...into) => lib.tcpx_agent_denied(agent, ...into))),
    ways: () => parseWays(linesOf("ways", (...into) => lib.tcpx_agent_effect(agent, ...into))),
    stop: () => void unwrap("stop of the agent's thread", lib.tcpx_agent_stop(agent)),
  };
}

function attach(lib: Bridge, thinner: Thinner, scope: AgentScope): Disposable {
  const place = placeOf(lib, scope.id);
  if (place === "gone" || place.path === undefined) throw new Error(`cgroup ${scope.name} is gone`);
  const cgroup = openSync(place.path, "r");
  try {
    if (fstatSync(cgroup, { bigint: true }).ino !== scope.id) throw new Error(`cgroup ${scope.name} is gone`);
    thinner.attach(scope.id, cgroup);
    return { [Symbol.dispose]: () => thinner.detach(scope.id) };
  } finally {
    closeSync(cgroup);
  }
}

export function openParts(lib: Bridge): Parts {
  return {
    lingerMs: LINGER_MS,
    maps: () => openMaps(lib),
    thinner: async ({ conns, served }) => {
      const refused = refusedHere(lib);
      if (refused) throw refusal(refused);
      return (await import("./thinner.ts")).Thinner.load(lib, { conns, served });
    },
    thread: (heldFd, maps, holdsFd) => startThread(lib, heldFd, maps, holdsFd),
    attach: (thinner, scope) => attach(lib, thinner, scope),
  };
}
