// SPDX-License-Identifier: MIT
// Two hosts for the tests of `tcpx cc-request` and `tcpx iw`: those of the uto tests, where reno is the
// default congestion control (every kernel allows it in a namespace), so that cubic is what is asked for.
import { readFileSync } from "node:fs";
import { extensionHost } from "./extension-host.ts";
import {
  type Capture,
  type Connection,
  congestionOf,
  connectPeers,
  type Lab,
  type Packet,
  splitOptions,
} from "./lab.ts";
import type { ConnectOptions } from "./peer.ts";
import type { PrivateHost } from "./private-host.ts";
import { requirement } from "./requires.ts";
import { windowOf } from "./tcp-info.ts";
import { type TcpxResult, tcpxPath } from "./tcpx.ts";
import { type Side, scopeOf, type Trace, tcpxOk, trace, UtoLab } from "./uto-lab.ts";
import type { Wire, WirePacket } from "./wire.ts";

export const CUBIC = 3;
export const RENO = 1;
export const BBR = 2;
export const REFUSED = 0xffff;
export const DEFAULT = { cc: "reno", cwnd: 10 };

const option = (exid: string) => (value: number) => `fe06${exid}${value.toString(16).padStart(4, "0")}`;

export const ccAsk = option("7cc0");
export const ccAnswer = option("7cc1");
export const iwAsk = option("7c10");
export const iwAnswer = option("7c11");

/** The extension that asks for a window: the built-in one, and the package of tests/support/packages/ that does the same. */
export interface WindowExtension {
  name: string;
  ask(segments: number): string;
  answer(segments: number): string;
}

export const WINDOWS: readonly WindowExtension[] = [
  { name: "iw", ask: iwAsk, answer: iwAnswer },
  { name: "first-window", ask: option("7d10"), answer: option("7d11") },
];

/** What is said to iw, as it is said to another one. */
export const ownHex = ({ ask, answer }: WindowExtension, hex: string): string =>
  hex.replaceAll("7c10", ask(0).slice(4, 8)).replaceAll("7c11", answer(0).slice(4, 8));

/** What usual() makes of a connection: on the SYN, on the SYN-ACK, and what is in force. */
export const ASKS = `${ccAsk(CUBIC)},${iwAsk(40)}`;
export const ANSWERS = `${ccAnswer(CUBIC)},${iwAnswer(32)}`;
export const GRANTED = { cc: "cubic", cwnd: 32 };

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

/** The same of what a wire endpoint has received. */
export function requestsIn(packet: WirePacket): string {
  const found = splitOptions(packet.options).filter(({ kind }) => kind === 254);
  return found.map(({ hex }) => hex).join(",");
}

/** All options of these kinds in hex. */
export function optionsOf(packet: Packet, ...kinds: number[]): string {
  const found = packet.optionList.filter(({ kind }) => kinds.includes(kind));
  return found.map(({ hex }) => hex).join(",");
}

export class RequestLab implements AsyncDisposable {
  private readonly used = new Set<string>();
  private wirePort = 9000;

  private constructor(
    readonly u: UtoLab,
    private readonly tcpx: typeof tcpxOk,
    /** Its counters are those of "iw". */
    private readonly window: string,
  ) {}

  /** @param window one that is not built in is added to a host of the lab's own, and all commands are given there */
  static create(window = WINDOWS[0]!): Promise<RequestLab> {
    return RequestLab.on(
      window.name === WINDOWS[0]!.name ? undefined : (lab) => extensionHost(lab, window.name),
      window.name,
    );
  }

  /** @param host where its commands are given; the machine when left out */
  static async on(host?: (lab: Lab) => Promise<PrivateHost>, window = "iw"): Promise<RequestLab> {
    const u = await UtoLab.create();
    const own = await host?.(u.lab);
    // what rules of added extensions have in JSON is in their manifests, not in docs/json.md
    const added = { program: tcpxPath() };
    const r = new RequestLab(u, own ? (args, how) => own.ok(args, { ...added, ...how }) : tcpxOk, window);
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
    return await this.tcpx([...args, "--cgroup", cgroup, "--wait"], { json: true });
  }

  /** The client asks for cubic and a window; the server grants cubic and up to 32 segments. */
  async usual(segments = 40): Promise<void> {
    await this.rule(this.client, "cc-request set cubic");
    await this.rule(this.client, `iw set ${segments}`);
    await this.rule(this.server, "cc-request accept cubic");
    await this.rule(this.server, "iw accept --max 32");
  }

  /** Without arming a side's listeners: see UtoLab. */
  unseen<T>(side: Side, work: () => Promise<T>): Promise<T> {
    return this.u.unseen(side, work);
  }

  /** Removes the rules of every scope that this lab has used. */
  async clear(): Promise<void> {
    for (const entry of this.used) {
      const [extension = "", cgroup = ""] = entry.split(" ");
      await this.tcpx([extension, "unset", "--all", "--cgroup", cgroup, "--wait"]);
      this.used.delete(entry);
    }
  }

  /** A connection from the client to the server. */
  open(family: "v4" | "v6" = "v4", how: ConnectOptions & { port?: number } = {}): Promise<Connection> {
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
  async counters(where: Side | string, extension: string): Promise<Record<string, number>> {
    const cgroup = typeof where === "string" ? where : where.cgroup;
    const scope = await scopeOf(cgroup, this.tcpx);
    if (scope?.last_error) throw new Error(`error in the BPF program: ${JSON.stringify(scope.last_error)}`);
    return scope.counters[extension];
  }

  /** Both requests' counters of a side. */
  async counted(where: Side | string) {
    return { cc: await this.counters(where, "cc-request"), iw: await this.counters(where, this.window) };
  }

  /** Starts counting; what it returns tells what both requests' counters of a side have gone up by. */
  async counting(where: Side | string) {
    const start = await this.counted(where);
    return async () => {
      const { cc, iw } = await this.counted(where);
      const minus = (now: typeof cc, then: typeof cc) =>
        Object.fromEntries(Object.entries(now).map(([name, n]) => [name, n - (then[name] ?? 0)]));
      return { cc: minus(cc, start.cc), iw: minus(iw, start.iw) };
    };
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

  /** A connection that a wire endpoint in the server's namespace opens to the server. */
  async fromWire(wire: Wire, { syn = "-", ack = "-", family = "v4" as "v4" | "v6" } = {}) {
    const { fd: listener, port } = await this.server.peer.listen(wire.kernel[family]);
    const from = { addr: wire.own[family], port: ++this.wirePort };
    const synAck = await wire.connect(from, { addr: wire.kernel[family], port }, syn, ack);
    const { fd } = await this.server.peer.accept(listener);
    return { flow: synAck.flow, fd, listener, port, synAck };
  }

  /** A connection that the client opens to a wire endpoint in its namespace, which answers so. */
  async toWire(wire: Wire, synAck = "-") {
    const port = ++this.wirePort;
    await wire.listen(wire.own.v4, port);
    const connecting = this.client.peer.connect(wire.own.v4, port);
    let syn = await wire.expect();
    while (!syn.flags.startsWith("S")) syn = await wire.expect(); // the end of a connection before
    await wire.synack(syn.flow, synAck === "echo" ? `=${syn.options}` : synAck);
    const fd = await connecting;
    return { flow: syn.flow, fd, syn, ack: await wire.expect(syn.flow) };
  }

  filter = (side: Side, rule: string) => this.u.filter(side, rule);
}
