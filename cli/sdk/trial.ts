// SPDX-License-Identifier: MIT
// An extension at work between two hosts: rules at both ends, connections, what is on the wire, what the sockets have.
// It runs on a host of its own (private-host.ts).

import { statSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { Extension } from "../extensions/types.ts";
import type { Child } from "../lab/children.ts";
import { READY_MS, type Stage } from "../lab/stage.ts";
import { Counter, SlotCounter } from "../layout/layout.generated.ts";
import { findScope } from "../loader/cgroup-place.ts";
import { COUNTER_NAMES, readCounters } from "../loader/counters.ts";
import { lock, replaceRules } from "../loader/store.ts";
import type { Rule } from "../policy/rule.ts";
import type { Patience } from "../system/lock.ts";
import { parseFrame, type TcpFrame } from "../wire/frame.ts";
import { ADDRESS, ENDS, type End, type Family, families, type Network, PORT } from "./network.ts";
import { type ConnectionSeen, type Counted, type EndCounted, isLinuxOption, type Segments } from "./seen.ts";
import { useControl, viewOf } from "./sockets.ts";

/** How long data flows before sockets are looked at. */
const TALK_MS = 250;
/** How long a transfer goes on. */
const TRANSFER_MS = 300;

export type Here = Stage<Network>;

/** Puts an end's rules in force. */
export async function setRules(
  { lib, sandbox }: Here,
  end: End,
  rules: Rule[],
  patience: Patience,
): Promise<void> {
  using held = await lock(lib, patience);
  await replaceRules(lib, held, findScope(lib, sandbox.cgroup(end)), rules);
}

export interface Pair {
  family: Family;
  client: Child;
  server: Child;
}

/** The listeners; their connections are to come. */
async function listeners(stage: Here, role: string, rest: readonly string[]): Promise<[Family, Child][]> {
  const starts = families().map(async (family): Promise<[Family, Child]> => {
    const words = [ADDRESS[family].server, `${PORT}`, ...rest];
    return [family, await stage.start(role, "server", "listening", ...words)];
  });
  return Promise.all(starts);
}

/** Connections that talk all the time. */
export async function converse(stage: Here): Promise<Pair[]> {
  const servers = await listeners(stage, "serve", []);
  const pairs = servers.map(async ([family, server]) => {
    const words = [ADDRESS[family].server, `${PORT}`];
    const client = await stage.start("dial", "client", "connected", ...words);
    await server.wait("connected", READY_MS);
    return { family, client, server };
  });
  const made = await Promise.all(pairs);
  await Bun.sleep(TALK_MS);
  stage.check();
  return made;
}

function requireControl(result: number, name: string): void {
  if (result >= 0) return;
  const hint = "a listener of the test could not use it";
  throw new TcpxError(Exit.FAILED, `congestion control ${name} cannot be used (errno ${-result})`, { hint });
}

/** Transfers from the server, both of whose ends use a congestion control. */
export async function transfer(stage: Here, control: string): Promise<Pair[]> {
  const servers = await listeners(stage, "send", [`${TRANSFER_MS}`]);
  const pairs = servers.map(async ([family, server]) => {
    requireControl(useControl(stage.lib, server.pid, true, control), control);
    const client = await stage.start("read", "client", "connected", ADDRESS[family].server, `${PORT}`);
    requireControl(useControl(stage.lib, client.pid, false, control), control);
    if (!(await server.wait("sent", READY_MS))) stage.check();
    return { family, client, server };
  });
  const made = await Promise.all(pairs);
  stage.check();
  return made;
}

function segmentsOf(frames: readonly TcpFrame[]): Segments {
  const options = (some: readonly TcpFrame[]) => [
    ...new Set(some.flatMap((frame) => frame.options.filter((o) => !isLinuxOption(o)).map((o) => o.toHex()))),
  ];
  return {
    syn: options(frames.filter(({ isSyn, isAck }) => isSyn && !isAck)),
    syn_ack: options(frames.filter(({ isSyn, isAck }) => isSyn && isAck)),
    later: options(frames.filter(({ isSyn }) => !isSyn)),
  };
}

/** What was captured, and what the sockets have. */
export function look(lib: Bridge, pairs: readonly Pair[], capture: Child): ConnectionSeen[] {
  const frames = capture
    .seen("frame")
    .flatMap(({ hex }) => parseFrame(Uint8Array.fromHex(String(hex))) ?? []);
  return pairs.map(({ family, client, server }) => ({
    family,
    ...segmentsOf(frames.filter((frame) => frame.family === family)),
    client: viewOf(lib, client.pid) ?? null,
    server: viewOf(lib, server.pid) ?? null,
  }));
}

function countedAt(lib: Bridge, cgroup: string, id: number): EndCounted {
  const found = readCounters(lib, statSync(cgroup, { bigint: true }).ino);
  const row = found?.count[id] ?? [];
  const counters = COUNTER_NAMES.flatMap((name, i) => (row[i] ? [[name, row[i]]] : []));
  const refused = (row[Counter.ERRORS] ?? 0) > 0;
  const misfit = (times = 0, bytes = 0) => (times > 0 ? { times, bytes } : undefined);
  const tooLong = misfit(row[SlotCounter.LONG], row[SlotCounter.LONG_BYTES]);
  const tooShort = misfit(row[SlotCounter.SHORT], row[SlotCounter.SHORT_BYTES]);
  return {
    counters: Object.fromEntries(counters),
    error: refused ? (found?.error ?? null) : null,
    ...(tooLong && { tooLong }),
    ...(tooShort && { tooShort }),
  };
}

/** What an extension has counted at both ends. */
export function countedOf({ lib, sandbox }: Here, { id }: Extension): Counted {
  const [client, server] = ENDS.map((end) => countedAt(lib, sandbox.cgroup(end), id));
  return { client: client!, server: server! };
}
