// SPDX-License-Identifier: MIT
// Two hosts for the tests of `tcpx cc-request` and `tcpx iw`: those of the uto tests, where reno is the
// default congestion control (every kernel allows it in a namespace), so that cubic is what is asked for.
import { readFileSync } from "node:fs";
import { buildSupport } from "./build.ts";
import { IPPROTO_TCP, TCP_INFO } from "./constants.ts";
import { type Capture, type Connection, congestionOf, connectPeers, type Packet } from "./lab.ts";
import type { ConnectOptions } from "./peer.ts";
import { run } from "./process.ts";
import { requirement } from "./requires.ts";
import type { TcpxResult } from "./tcpx.ts";
import { type Side, scopeOf, type Trace, tcpxOk, trace, UtoLab } from "./uto-lab.ts";

export const CUBIC = 3;
export const RENO = 1;
export const BBR = 2;
export const REFUSED = 0xffff;
export const DEFAULT = { cc: "reno", cwnd: 10 };

const option = (exid: string) => (value: number) => `fe067c${exid}${value.toString(16).padStart(4, "0")}`;

export const ccAsk = option("c0");
export const ccAnswer = option("c1");
export const iwAsk = option("10");
export const iwAnswer = option("11");

/** The options of a SYN from another stack with Linux's usual ones, so that windows are scaled. */
export const WSCALE_7 = "030307";

export type Extension = "uto" | "cc-request" | "iw";

const available = readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8")
  .trim()
  .split(" ");

/** A congestion control that this kernel has already: nothing is loaded for the tests. */
export function algorithmRequirement(name: string) {
  return requirement(name, available.includes(name), `the congestion control ${name}`);
}

/** Our requests and answers of a packet in hex, separated by commas; "" without. */
export function requestsOf(packet: Packet): string {
  return optionsOf(packet, 254);
}

/** All options of these kinds in hex. */
export function optionsOf(packet: Packet, ...kinds: number[]): string {
  const found = packet.optionList.filter(({ kind }) => kinds.includes(kind));
  return found.map(({ hex }) => hex).join(",");
}

/** The congestion window of another process's socket, from its TCP_INFO. */
export async function windowOf(pid: number, fd: number): Promise<number> {
  const { peer } = await buildSupport();
  const hex = await run([peer, "sockopt", `${pid}`, `${fd}`, `${IPPROTO_TCP}`, `${TCP_INFO}`, "hex"]);
  return Buffer.from(hex.trim(), "hex").readUInt32LE(80); // tcpi_snd_cwnd
}

export class RequestLab implements AsyncDisposable {
  private readonly used = new Set<string>();

  private constructor(readonly u: UtoLab) {}

  static async create(): Promise<RequestLab> {
    const r = new RequestLab(await UtoLab.create());
    for (const side of [r.client, r.server]) {
      await r.lab.sysctl(side.netns, "net.ipv4.tcp_congestion_control", DEFAULT.cc);
    }
    return r;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.clear();
    await this.u[Symbol.asyncDispose]();
  }

  get lab() {
    return this.u.lab;
  }

  get client(): Side {
    return this.u.client;
  }

  get server(): Side {
    return this.u.server;
  }

  /** `tcpx WORDS`, such as "cc-request set cubic", in the scope of a side (or of a cgroup). */
  async rule(where: Side | string, words: string): Promise<TcpxResult> {
    const cgroup = typeof where === "string" ? where : where.cgroup;
    const args = words.split(" ");
    this.used.add(`${args[0]} ${cgroup}`);
    return await tcpxOk([...args, "--cgroup", cgroup, "--wait"], { json: true });
  }

  /** The client asks for cubic and a window; the server grants cubic and up to 32 segments. */
  async usual(segments = 40): Promise<void> {
    await this.rule(this.client, "cc-request set cubic");
    await this.rule(this.client, `iw set ${segments}`);
    await this.rule(this.server, "cc-request accept cubic");
    await this.rule(this.server, "iw accept --max 32");
  }

  /** Removes the rules of every scope that this lab has used. */
  async clear(): Promise<void> {
    for (const entry of this.used) {
      const [extension = "", cgroup = ""] = entry.split(" ");
      await tcpxOk([extension, "unset", "--all", "--cgroup", cgroup, "--wait"]);
      this.used.delete(entry);
    }
  }

  /** A connection from the client to the server. */
  open(family: "v4" | "v6" = "v4", how: ConnectOptions = {}): Promise<Connection> {
    return connectPeers(this.client.peer, this.server.peer, this.server[family], how);
  }

  /** Congestion control and window of a socket, as another process reads them. */
  async sending(side: Pick<Side, "peer">, fd: number): Promise<{ cc: string; cwnd: number }> {
    const { pid } = side.peer;
    const [cc, cwnd] = await Promise.all([congestionOf(pid, fd), windowOf(pid, fd)]);
    return { cc, cwnd };
  }

  /** Requests of the client that the server echoes. */
  exchange(c: Connection, count = 3): Promise<void> {
    return this.u.exchange(c, count);
  }

  /** What `tcpx status` has counted in a scope; a helper call that the kernel refused fails the test. */
  async counters(where: Side | string, extension: Extension): Promise<Record<string, number>> {
    const scope = await scopeOf(typeof where === "string" ? where : where.cgroup);
    if (scope?.last_error) throw new Error(`error in the BPF program: ${JSON.stringify(scope.last_error)}`);
    return scope.counters[extension];
  }

  /** Both requests' counters of a side. */
  async counted(where: Side | string) {
    return { cc: await this.counters(where, "cc-request"), iw: await this.counters(where, "iw") };
  }

  /** Captures what happens between the two meanwhile. */
  async record<T>(work: () => Promise<T>): Promise<{ value: T; capture: Capture }> {
    const capture = await this.u.capture();
    const value = await work();
    await capture.stop();
    return { value, capture };
  }

  /** A connection with some exchanges, and its packets. */
  async recorded(count = 3, open = () => this.open()): Promise<{ c: Connection; t: Trace }> {
    const { value: c, capture } = await this.record(async () => {
      const c = await open();
      await this.exchange(c, count);
      return c;
    });
    return { c, t: await trace(capture, c.port) };
  }

  filter = (side: Side, rule: string) => this.u.filter(side, rule);
}
