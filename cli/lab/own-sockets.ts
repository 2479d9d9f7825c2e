// SPDX-License-Identifier: MIT
// What a process of demo or doctor sees of its own sockets, and sets on them.

import { readdirSync } from "node:fs";
import { type Bridge, fromCstr, unwrap } from "../bridge/bridge.ts";
import type { ConnectionView } from "../extensions/types.ts";

const SOL_SOCKET = 1;
const SO_ACCEPTCONN = 30;
const SO_PROTOCOL = 38;
const SO_MAX_PACING_RATE = 47;
const IPPROTO_TCP = 6;

const TCP_INFO = 11;
const TCP_CONGESTION = 13;
const TCP_USER_TIMEOUT = 18;
/** Of struct tcp_info, in bytes; the last ones are there since 4.6. */
const AT = { sndCwnd: 80, segsIn: 140, dataSegsIn: 152, dataSegsOut: 156, end: 160 } as const;

/** Stands for this process itself: no pidfd_getfd(2), which some hosts allow nobody. */
const OURSELVES = 0;
/** Where there is no /proc to say which there are. */
const SOME_FDS = Array.from({ length: 64 }, (_, fd) => fd);

function ownFds(): number[] {
  try {
    return readdirSync("/proc/self/fd").map(Number);
  } catch {
    return SOME_FDS;
  }
}

function read(lib: Bridge, fd: number, level: number, option: number, size = 4): DataView | undefined {
  const bytes = new Uint8Array(size);
  const length = lib.tcpx_sockopt_of(OURSELVES, fd, level, option, bytes, size);
  return length < 0 ? undefined : new DataView(bytes.buffer, 0, length);
}

const number = (lib: Bridge, fd: number, level: number, option: number) =>
  read(lib, fd, level, option)?.getInt32(0, true);

/** Our first listener, or our first TCP socket that is none. */
const find = (lib: Bridge, listens: boolean) =>
  ownFds().find(
    (fd) =>
      number(lib, fd, SOL_SOCKET, SO_PROTOCOL) === IPPROTO_TCP &&
      number(lib, fd, SOL_SOCKET, SO_ACCEPTCONN) === Number(listens),
  );

/** TCP paces by itself, whatever the device's queue (Linux 4.13). */
export function paceListener(lib: Bridge, bytesPerSecond: number): void {
  const fd = find(lib, true) ?? -1;
  const value = new Uint32Array([bytesPerSecond]);
  unwrap("pace the listener", lib.tcpx_sockopt_set(OURSELVES, fd, SOL_SOCKET, SO_MAX_PACING_RATE, value, 4));
}

/** Our connection, the listener left out; undefined when we have none. */
export function viewConnection(lib: Bridge): ConnectionView | undefined {
  const fd = find(lib, false);
  if (fd === undefined) return undefined;
  const name = read(lib, fd, IPPROTO_TCP, TCP_CONGESTION, 16);
  const info = read(lib, fd, IPPROTO_TCP, TCP_INFO, AT.end);
  const field = (at: number) => (info && info.byteLength >= at + 4 ? info.getUint32(at, true) : 0);
  return {
    userTimeoutMs: number(lib, fd, IPPROTO_TCP, TCP_USER_TIMEOUT) ?? 0,
    congestionControl: name ? fromCstr(name) : "",
    cwnd: field(AT.sndCwnd),
    dataSent: field(AT.dataSegsOut),
    acksReceived: field(AT.segsIn) - field(AT.dataSegsIn),
  };
}
