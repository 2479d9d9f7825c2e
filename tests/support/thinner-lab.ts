// SPDX-License-Identifier: MIT
// The thinner and its agent as this process loads them, in a lab: one side sends data, the other one, in
// a cgroup of its own, acknowledges it. No command of tcpx: the strategy is written to the socket here.

import { dlopen } from "bun:ffi";
import { closeSync, openSync, statSync } from "node:fs";
import { join } from "node:path";
import { THIN_COUNTER_NAMES, Thinner, type ThinnerConfig } from "../../cli/agent/thinner.ts";
import { type Bridge, bridge, unwrap } from "../../cli/bridge/bridge.ts";
import { update, valueSize } from "../../cli/bridge/maps.ts";
import { structs, type ThinCounter } from "../../cli/layout/layout.generated.ts";
import { encode, type Struct } from "../../cli/layout/struct.ts";
import { Agent } from "./agent-thread.ts";
import {
  attempts,
  type Capture,
  type Connection,
  connectPeers,
  Lab,
  type LinkEnd,
  type Packet,
  type Peer,
  until,
} from "./lab.ts";

/** Entries that the thinner's map has room for. */
const HOLDS = 65536;
const SYS_PIDFD_OPEN = 434;
const SYS_PIDFD_GETFD = 438;
export const SO_MAX_PACING_RATE = 47;
const SOL_SOCKET = 1;

export type Strategy = Partial<Struct<"tcpx_ack_conn">>;
/** By the names of enum tcpx_thin_counter. */
export type ThinCounters = Record<Lowercase<Exclude<keyof typeof ThinCounter, "COUNT">>, number>;

const libc = dlopen("libc.so.6", {
  syscall: { args: ["i64", "i64", "i64", "i64"], returns: "i64" },
}).symbols;

/** Gives a socket of another process a strategy, as the sock_ops program would. */
export function setStrategy(lib: Bridge, connsFd: number, pid: number, fd: number, ack: Strategy): void {
  const pidfd = unwrap("pidfd_open", Number(libc.syscall(SYS_PIDFD_OPEN, pid, 0, 0)));
  const socket = Number(libc.syscall(SYS_PIDFD_GETFD, pidfd, fd, 0));
  closeSync(pidfd);
  unwrap("pidfd_getfd", socket);
  try {
    const conn = encode("tcpx_conn", {});
    const { offset } = structs.tcpx_states.fields.ack;
    conn.set(
      encode("tcpx_ack_conn", { rule: 1, every: 10, ...ack }),
      structs.tcpx_conn.fields.states.offset + offset,
    );
    unwrap("strategy", lib.tcpx_map_update(connsFd, new Int32Array([socket]), conn, 0n));
  } finally {
    closeSync(socket);
  }
}

export interface Side extends LinkEnd {
  peer: Peer;
  cgroup: string;
}

export function isPure(packet: Packet): boolean {
  return packet.length === 0 && packet.flags === "A";
}

export class ThinnerLab implements AsyncDisposable {
  agent: Agent | undefined;

  private constructor(
    readonly lib: Bridge,
    readonly lab: Lab,
    readonly thinner: Thinner,
    /** Sends the data. */
    readonly sender: Side,
    /** Acknowledges it; in the cgroup with the thinner. */
    readonly receiver: Side,
  ) {}

  /** @param path the way between the two, when it is not one link */
  static async create(
    config?: ThinnerConfig,
    path?: (lab: Lab) => Promise<[LinkEnd, LinkEnd]>,
  ): Promise<ThinnerLab> {
    const lab = await Lab.create();
    const lib = await bridge();
    const [a, b] = await (path ?? ThinnerLab.linked)(lab);
    // one segment is one packet: what is acknowledged can be counted
    for (const { netns, device } of [a, b]) {
      await lab.exec(netns, ["ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off"]);
    }
    // the receiver's kernel acknowledges every segment at once: what is missing is the thinner's doing
    for (const [family, address] of [
      ["-4", b.v4],
      ["-6", b.v6],
    ] as const) {
      const subnet = family === "-4" ? address.replace(/\.\d+$/, ".0/24") : address.replace(/::.*/, "::/64");
      const route = ["route", "replace", subnet, "dev", b.device, "quickack", "1"];
      await lab.exec(b.netns, ["ip", family, ...route]);
    }
    const side = async (name: string, end: LinkEnd): Promise<Side> => {
      const cgroup = lab.cgroup(name);
      return { peer: await lab.peer(end.netns, cgroup), cgroup, ...end };
    };
    const thinner = await Thinner.load(lib, {}, config);
    const made = new ThinnerLab(lib, lab, thinner, await side("sender", a), await side("receiver", b));
    made.attach(made.receiver.cgroup);
    made.startAgent();
    return made;
  }

  private static async linked(lab: Lab): Promise<[LinkEnd, LinkEnd]> {
    await lab.netns("sender");
    await lab.netns("receiver");
    const { a, b } = await lab.link("sender", "receiver");
    return [a, b];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.agent?.stop();
    this.thinner[Symbol.dispose]();
    await this.lab[Symbol.asyncDispose]();
  }

  startAgent(): Agent {
    const { heldFd, servedFd, holdsFd } = this.thinner;
    this.agent = new Agent(this.lib, heldFd, servedFd, -1, holdsFd);
    return this.agent;
  }

  attach(cgroup: string): void {
    const fd = openSync(cgroup, "r");
    try {
      this.thinner.attach(statSync(cgroup, { bigint: true }).ino, fd);
    } finally {
      closeSync(fd);
    }
  }

  detach(cgroup: string): void {
    this.thinner.detach(statSync(cgroup, { bigint: true }).ino);
  }

  /** Thinner and agent in a process of their own, for whoever wants to stop or kill it: see thinner-agent.ts. */
  async elsewhere() {
    const { cgroup } = this.receiver;
    this.detach(cgroup);
    const child = this.lab.spawn([process.execPath, join(import.meta.dir, "thinner-agent.ts"), cgroup]);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const ask = async (line: string) => {
      if (line) child.stdin.write(`${line}\n`);
      child.stdin.flush();
      return (await lines.read()).value?.trim() ?? "";
    };
    const begun = await ask("");
    if (begun !== "attached") throw new Error(`thinner-agent.ts: ${begun}`);
    return { child, ask };
  }

  /** A connection that the sender accepts; the receiver's end gets the strategy. */
  async connect(
    ack: Strategy,
    { v6 = false, bytesPerSecond = 10_000_000, addr = "" } = {},
  ): Promise<Connection> {
    const to = addr || (v6 ? this.sender.v6 : this.sender.v4);
    const c = await connectPeers(this.receiver.peer, this.sender.peer, to);
    if (bytesPerSecond > 0) {
      await this.sender.peer.setopt(c.server, SOL_SOCKET, SO_MAX_PACING_RATE, bytesPerSecond);
    }
    this.strategy(this.receiver.peer, c.client, ack);
    return c;
  }

  strategy(peer: Peer, fd: number, ack: Strategy): void {
    setStrategy(this.lib, this.thinner.map("conns"), peer.pid, fd, ack);
  }

  /** n bytes from the sender to the receiver, whole. */
  async transfer(c: Connection, n: number, ms = 20_000): Promise<void> {
    const [sent, got] = await Promise.all([
      this.sender.peer.send(c.server, n, ms),
      this.receiver.peer.recv(c.client, n, ms),
    ]);
    if (sent !== got) throw new Error(`${n} bytes arrived changed`);
  }

  capture(): Promise<Capture> {
    return this.lab.capture(this.receiver.netns, this.receiver.device);
  }

  counters(rule = 1): ThinCounters {
    const counts = this.thinner.counters().get(rule) ?? THIN_COUNTER_NAMES.map(() => 0);
    return Object.fromEntries(THIN_COUNTER_NAMES.map((name, i) => [name, counts[i]])) as ThinCounters;
  }

  /** Transfers until more than so many ACKs were held back: how many are depends on how busy the machine is. */
  async holdBack(c: Connection, rule: number, most: number): Promise<number> {
    const before = this.counters(rule).dropped;
    const dropped = async () => {
      await this.transfer(c, 1_000_000);
      return this.counters(rule).dropped - before;
    };
    return await attempts(8, dropped, (n) => n > most);
  }

  /** Entries with a timer: the connections' cookies. */
  holdKeys(): bigint[] {
    const keys = new BigUint64Array(256);
    const values = new Uint8Array(256 * 512);
    const fd = this.thinner.map("holds");
    return [...keys.subarray(0, unwrap("holds", this.lib.tcpx_map_lookup_batch(fd, keys, values, 256)))];
  }

  holds(): number {
    return this.holdKeys().length;
  }

  /** As if so many connections had ACKs held back that there is no room for another one. */
  fillHolds(): void {
    const fd = this.thinner.map("holds");
    const keys = BigUint64Array.from({ length: HOLDS }, (_, i) => BigInt(i) | (1n << 60n)); // no cookies
    const values = new Uint8Array(HOLDS * valueSize(this.lib, fd));
    update(this.lib, fd, new Uint8Array(keys.buffer), values, HOLDS);
  }

  /** Is the namespace of a side served? */
  served(netns: string): boolean {
    const key = new Uint32Array([Number(statSync(`/run/netns/${netns}`).ino)]);
    const value = new Uint32Array(2); // struct tcpx_served
    const found = this.lib.tcpx_map_lookup(this.thinner.servedFd, key, value);
    return found === 0 && (value[0]! & 1) === 1;
  }

  quiet(c: Connection): Promise<boolean> {
    return until(async () => (await this.sender.peer.tcpInfo(c.server)).unacked === 0, 3000);
  }

  /** A counter of the TCP stack in a namespace, such as TcpExtTCPLossProbes. */
  async nstat(netns: string, name: string): Promise<number> {
    const text = await this.lab.exec(netns, ["nstat", "-asz", name]);
    return Number(
      text
        .split("\n")
        .find((line) => line.startsWith(name))
        ?.split(/\s+/)[1] ?? 0,
    );
  }
}
