// SPDX-License-Identifier: MIT
// Child processes of demo and doctor: tcpx itself, in a namespace and a cgroup, telling events as lines
// of JSON on stdout.

import { existsSync, readdirSync } from "node:fs";
import { type Bridge, unwrap } from "../loader/bridge.ts";
import { self } from "../system/self.ts";

export interface Event {
  event: string;
  [key: string]: unknown;
}

export interface ChildPlace {
  /** Path of a namespace; "new" for one of its own. */
  netns: string;
  cgroup?: string;
}

/** A `tcpx internal-peer` process. */
export class Child implements AsyncDisposable {
  private readonly process;
  private readonly events: Event[] = [];
  private readonly waiting = new Set<() => void>();
  private ended = false;

  constructor(role: string, place: ChildPlace, ...args: string[]) {
    const argv = [...self(), "internal-peer", role, place.netns, place.cgroup ?? "-", args.join(",")];
    this.process = Bun.spawn(argv, { stdin: "pipe", stdout: "pipe", stderr: "pipe" });
    void this.read();
  }

  get pid(): number {
    return this.process.pid;
  }

  private async read(): Promise<void> {
    let rest = "";
    const decoder = new TextDecoder();
    for await (const chunk of this.process.stdout) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      for (const line of lines) this.events.push(JSON.parse(line) as Event);
      for (const wake of this.waiting) wake();
    }
    this.ended = true;
    for (const wake of this.waiting) wake();
  }

  /** Events of this name so far. */
  seen(event: string): Event[] {
    return this.events.filter((e) => e.event === event);
  }

  /** The first event of this name, or undefined when the time is over or the child has ended. */
  async wait(event: string, ms: number): Promise<Event | undefined> {
    const deadline = performance.now() + ms;
    for (;;) {
      const found = this.events.find((e) => e.event === event);
      const left = deadline - performance.now();
      if (found || this.ended || left <= 0) return found;
      await new Promise<void>((resolve) => {
        const timer = setTimeout(done, left);
        const { waiting } = this;
        function done() {
          clearTimeout(timer);
          waiting.delete(done);
          resolve();
        }
        waiting.add(done);
      });
    }
  }

  /** What it said on stderr; waits for its end. */
  async complaint(): Promise<string> {
    return (await new Response(this.process.stderr).text()).trim();
  }

  kill(): void {
    this.process.kill("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill();
    await this.process.exited;
  }
}

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_PROTOCOL = 38;
const SO_MAX_PACING_RATE = 47;
const IPPROTO_TCP = 6;

/** What other processes can see of a connection. */
export interface ConnectionView {
  /** TCP_USER_TIMEOUT in milliseconds; 0: unset. */
  userTimeoutMs: number;
  congestionControl: string;
  /** Congestion window in segments. */
  cwnd: number;
  /** Segments with data that it has sent, and segments without that came back: ACKs. */
  dataSent: number;
  acksReceived: number;
}

const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const TCP_USER_TIMEOUT = 18;
/** Of struct tcp_info, in bytes; the last ones are there since 4.6. */
const AT = { sndCwnd: 80, segsIn: 140, dataSegsIn: 152, dataSegsOut: 156, end: 160 } as const;

/** Reads socket options of another process. */
class Sockets {
  constructor(
    private readonly lib: Bridge,
    private readonly pid: number,
  ) {}

  read(fd: number, level: number, option: number, size = 4): DataView | undefined {
    const bytes = new Uint8Array(size);
    const length = this.lib.tcpx_sockopt_of(this.pid, fd, level, option, bytes, size);
    return length < 0 ? undefined : new DataView(bytes.buffer, 0, length);
  }

  number(fd: number, level: number, option: number): number | undefined {
    return this.read(fd, level, option)?.getInt32(0, true);
  }

  /** Its first listener, or its first TCP socket that is none. */
  find(listens: boolean): number | undefined {
    const dir = `/proc/${this.pid}/fd`;
    const fds = existsSync(dir) ? readdirSync(dir).map(Number) : [];
    return fds.find(
      (fd) =>
        this.number(fd, SOL_SOCKET, SO_PROTOCOL) === IPPROTO_TCP &&
        this.number(fd, SOL_SOCKET, SO_ACCEPTCONN) === Number(listens),
    );
  }
}

/**
 * Has the connections that another process accepts from now on send at most so fast, evenly spaced.
 * TCP does that by itself, whatever the device's queue (Linux 4.13).
 */
export function paceListener(lib: Bridge, pid: number, bytesPerSecond: number): void {
  const fd = new Sockets(lib, pid).find(true) ?? -1;
  const value = new Uint32Array([bytesPerSecond]);
  unwrap("pace the listener", lib.tcpx_sockopt_set(pid, fd, SOL_SOCKET, SO_MAX_PACING_RATE, value, 4));
}

/** The connection of another process, its listener left out; undefined when it has none. */
export function viewConnection(lib: Bridge, pid: number): ConnectionView | undefined {
  const sockets = new Sockets(lib, pid);
  const fd = sockets.find(false);
  if (fd === undefined) return undefined;
  const name = sockets.read(fd, IPPROTO_TCP, TCP_CONGESTION, 16);
  const info = sockets.read(fd, IPPROTO_TCP, TCP_INFO, AT.end);
  const field = (at: number) => (info && info.byteLength >= at + 4 ? info.getUint32(at, true) : 0);
  return {
    userTimeoutMs: sockets.number(fd, IPPROTO_TCP, TCP_USER_TIMEOUT) ?? 0,
    congestionControl: name ? new TextDecoder().decode(name).replace(/\0.*$/s, "") : "",
    cwnd: field(AT.sndCwnd),
    dataSent: field(AT.dataSegsOut),
    acksReceived: field(AT.segsIn) - field(AT.dataSegsIn),
  };
}
