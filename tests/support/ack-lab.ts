// SPDX-License-Identifier: MIT
// What the tests of `tcpx ack` look at: option bytes, the delayed-ACK cap, the mark, lone segments.
import { dlopen, ptr } from "bun:ffi";
import { IPPROTO_TCP, SO_MARK, SOL_SOCKET, TCP_DELACK_MAX_US } from "./constants.ts";
import { type Capture, type Connection, type Packet, run, sockoptOf, until } from "./lab.ts";
import type { RequestLab } from "./request-lab.ts";
import { requirement } from "./requires.ts";
import type { Side } from "./uto-lab.ts";

const byte = (value: number) => value.toString(16).padStart(2, "0");

/** The request for an ACK every so many segments, after RTT/divisor at the latest. */
export const ackAsk = (every: number, divisor = 0) => `fe067ca0${byte(divisor)}${byte(every)}`;
export const ackAnswer = (every: number, divisor = 0) => `fe067ca1${byte(divisor)}${byte(every)}`;
export const TARR_CAPABLE = "fe0400ac";
/** R of the TARR option, 0..127, in the high seven bits. */
export const tarrAsk = (r: number) => `fe0500ac${byte(r << 1)}`;

/** What Linux has without any rule, and the least it takes at CONFIG_HZ=250: microseconds. */
export const DEFAULT_CAP = 200_000;
export const DEFAULT_MARK = 1 << 13;

/** Has this kernel getsockopt(TCP_DELACK_MAX_US)? */
function delackAnswers(): boolean {
  const libc = dlopen("libc.so.6", {
    socket: { args: ["i32", "i32", "i32"], returns: "i32" },
    getsockopt: { args: ["i32", "i32", "i32", "ptr", "ptr"], returns: "i32" },
    close: { args: ["i32"], returns: "i32" },
  });
  const fd = libc.symbols.socket(2, 1, 0);
  const value = new Uint32Array(1);
  const length = new Uint32Array([4]);
  const result = libc.symbols.getsockopt(fd, IPPROTO_TCP, TCP_DELACK_MAX_US, ptr(value), ptr(length));
  libc.symbols.close(fd);
  libc.close();
  return result === 0 && value[0] === DEFAULT_CAP;
}

export const delackRequirement = requirement(
  "delack",
  delackAnswers(),
  "a kernel with getsockopt TCP_DELACK_MAX_US",
);

/** The longest delay of an ACK as another process reads it, microseconds. */
export function capOf(side: Pick<Side, "peer">, fd: number): Promise<number> {
  return sockoptOf(side.peer.pid, fd, IPPROTO_TCP, TCP_DELACK_MAX_US);
}

/** SO_MARK as another process reads it. */
export async function markOf(side: Pick<Side, "peer">, fd: number): Promise<number> {
  return (await sockoptOf(side.peer.pid, fd, SOL_SOCKET, SO_MARK)) >>> 0;
}

/** The least that the kernel takes as a cap: 2 ticks, which a rule of 1 ms shows. */
export async function leastCap(r: RequestLab): Promise<number> {
  await r.rule(r.client, "ack set --delay 1ms");
  const c = await r.open();
  const cap = await capOf(r.client, c.client);
  await r.clear();
  return cap;
}

/** One request and its reply through both applications, so that ACKs travel with data. */
export async function pingPong(r: RequestLab, c: Connection, count = 1): Promise<void> {
  for (let n = 0; n < count; n++) {
    await r.client.peer.send(c.client, 100);
    await r.server.peer.recv(c.server, 100);
    await r.server.peer.send(c.server, 100);
    await r.client.peer.recv(c.client, 100);
  }
}

/**
 * The marks of both ends, when they are as expected or stay otherwise. The agent serves a network namespace
 * with its first connection, and the mark comes with the next data after the routes that it stands for.
 */
export async function marksOf(r: RequestLab, c: Connection, expected: readonly number[]): Promise<number[]> {
  let marks: number[] = [];
  await until(async () => {
    marks = [await markOf(r.client, c.client), await markOf(r.server, c.server)];
    if (Bun.deepEquals(marks, expected)) return true;
    await r.exchange(c, 1);
    return false;
  });
  return marks;
}

/**
 * How long the server's ACKs of so many lone small segments were delayed, milliseconds, sorted. Where the
 * machine stood still there may be none: the next data acknowledges it.
 */
export async function loneDelays(r: RequestLab, c: Connection, count = 5): Promise<number[]> {
  let delays: number[] = [];
  for (let attempt = 0; delays.length < count && attempt < 5; attempt++) {
    delays = [...delays, ...(await delaysOf(r, c, count - delays.length))];
  }
  return delays.sort((a, b) => a - b);
}

/** Each follows a few requests with replies: the kernel delays ACKs only where it looks interactive. */
async function delaysOf(r: RequestLab, c: Connection, count: number): Promise<number[]> {
  const { capture } = await r.record(async () => {
    for (let n = 0; n < count; n++) {
      await pingPong(r, c, 4);
      await r.client.peer.send(c.client, 77);
      await r.server.peer.recv(c.server, 77);
      await Bun.sleep(80); // longer than the delay that is measured
    }
  });
  const packets = await capture.packets(`tcp.port == ${c.port}`);
  const lone = packets.filter((p) => p.dport === c.port && p.length === 77);
  return lone.flatMap((p) => {
    const end = (p.seq + p.length) >>> 0;
    const ack = packets.find((q) => q.sport === c.port && q.time > p.time && q.ack === end);
    return ack ? [(ack.time - p.time) * 1000] : [];
  });
}

export interface Tarr {
  packet: Packet;
  /** R as tshark understands it. */
  rate: number;
  reserved: number;
}

/** The TARR requests that tshark sees in a capture; what it calls them, none of us has a say in. */
export async function tarrOf(capture: Capture, port: number): Promise<Tarr[]> {
  const fields = ["frame.number", "tcp.options.tarr.rate", "tcp.options.tar.reserved"];
  const filter = `tcp.port == ${port}`;
  const command = ["tshark", "-n", "-r", capture.file, "-Y", filter, "-T", "fields"];
  const text = await run([...command, ...fields.flatMap((name) => ["-e", name])]);
  const packets = await capture.packets(filter);
  return text
    .split("\n")
    .filter((line) => line !== "")
    .flatMap((line, n) => {
      const [, rate = "", reserved = ""] = line.split("\t");
      const packet = packets[n]!;
      return rate === "" ? [] : [{ packet, rate: Number(rate), reserved: Number(reserved) }];
    });
}

/** The field exists since Wireshark 3.7. */
export const tarrRequirement = requirement(
  "tarr",
  (Bun.which("tshark") &&
    Bun.spawnSync(["tshark", "-G", "fields"], { stderr: "ignore" })
      .stdout.toString()
      .includes("tcp.options.tarr.rate")) === true,
  "a tshark that knows TARR",
);
