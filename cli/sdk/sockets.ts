// SPDX-License-Identifier: MIT
// What another process's connection has, as getsockopt() says it.

import { readdirSync } from "node:fs";
import { type Bridge, cstr, fromCstr } from "../bridge/bridge.ts";

const SOL_SOCKET = 1;
const [SO_PRIORITY, SO_ACCEPTCONN, SO_MARK, SO_PROTOCOL, SO_MAX_PACING_RATE] = [12, 30, 36, 38, 47];
const IPPROTO_TCP = 6;
const [TCP_INFO, TCP_CONGESTION, TCP_USER_TIMEOUT] = [11, 13, 18];
/** Of struct tcp_info, in bytes. */
const AT = { rto: 8, sndCwnd: 80, end: 104 } as const;

export interface SocketView {
  congestion_control: string;
  /** Bytes per second; null: without limit. */
  pacing_bytes_per_second: number | null;
  priority: number;
  mark: number;
  user_timeout_ms: number;
  cwnd: number;
  rto_ms: number;
}

class Socket {
  constructor(
    private readonly lib: Bridge,
    private readonly pid: number,
    private readonly fd: number,
  ) {}

  read(level: number, option: number, size = 4): DataView | undefined {
    const bytes = new Uint8Array(size);
    const length = this.lib.tcpx_sockopt_of(this.pid, this.fd, level, option, bytes, size);
    return length < 0 ? undefined : new DataView(bytes.buffer, 0, length);
  }

  number(level: number, option: number): number {
    return this.read(level, option)?.getUint32(0, true) ?? 0;
  }

  /** null for all bits set. */
  private pacing(): number | null {
    const value = this.read(SOL_SOCKET, SO_MAX_PACING_RATE, 8);
    if (!value) return null;
    const rate = value.byteLength === 8 ? value.getBigUint64(0, true) : BigInt(value.getUint32(0, true));
    return rate === 0xffff_ffffn || rate === 0xffff_ffff_ffff_ffffn ? null : Number(rate);
  }

  view(): SocketView {
    const name = this.read(IPPROTO_TCP, TCP_CONGESTION, 16);
    const info = this.read(IPPROTO_TCP, TCP_INFO, AT.end);
    return {
      congestion_control: name ? fromCstr(new Uint8Array(name.buffer)) : "",
      pacing_bytes_per_second: this.pacing(),
      priority: this.number(SOL_SOCKET, SO_PRIORITY),
      mark: this.number(SOL_SOCKET, SO_MARK),
      user_timeout_ms: this.number(IPPROTO_TCP, TCP_USER_TIMEOUT),
      cwnd: info?.getUint32(AT.sndCwnd, true) ?? 0,
      rto_ms: Math.round((info?.getUint32(AT.rto, true) ?? 0) / 1000),
    };
  }
}

/** The first TCP socket of a process that listens, or the first that does not. */
function find(lib: Bridge, pid: number, listens: boolean): number | undefined {
  return readdirSync(`/proc/${pid}/fd`)
    .map(Number)
    .find((fd) => {
      const socket = new Socket(lib, pid, fd);
      return (
        socket.number(SOL_SOCKET, SO_PROTOCOL) === IPPROTO_TCP &&
        socket.number(SOL_SOCKET, SO_ACCEPTCONN) === Number(listens)
      );
    });
}

/** Of a process's connection; undefined: it has none. */
export function viewOf(lib: Bridge, pid: number): SocketView | undefined {
  const fd = find(lib, pid, false);
  return fd === undefined ? undefined : new Socket(lib, pid, fd).view();
}

/** Gives a process's listener, or its connection, a congestion control. @returns 0, or an errno below it */
export function useControl(lib: Bridge, pid: number, listens: boolean, name: string): number {
  const fd = find(lib, pid, listens) ?? -1;
  return lib.tcpx_sockopt_set(pid, fd, IPPROTO_TCP, TCP_CONGESTION, cstr(name), name.length);
}
