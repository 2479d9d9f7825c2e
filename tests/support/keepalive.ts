// SPDX-License-Identifier: MIT
// Keep-alive of sockets, as applications turn it on.
import {
  IPPROTO_TCP,
  SO_KEEPALIVE,
  SOL_SOCKET,
  TCP_KEEPCNT,
  TCP_KEEPIDLE,
  TCP_KEEPINTVL,
} from "./constants.ts";
import type { Peer } from "./lab.ts";

export type SocketOption = readonly [level: number, name: number, value: number];

export const KEEPALIVE_ON: SocketOption = [SOL_SOCKET, SO_KEEPALIVE, 1];

/** Seconds, and probes; without SO_KEEPALIVE. */
export const keepaliveTimes = (idle: number, interval: number, probes: number): SocketOption[] => [
  [IPPROTO_TCP, TCP_KEEPIDLE, idle],
  [IPPROTO_TCP, TCP_KEEPINTVL, interval],
  [IPPROTO_TCP, TCP_KEEPCNT, probes],
];

export const keepalive = (idle: number, interval: number, probes: number): SocketOption[] => [
  KEEPALIVE_ON,
  ...keepaliveTimes(idle, interval, probes),
];

export async function setAll(peer: Peer, fd: number, options: readonly SocketOption[]): Promise<void> {
  for (const [level, name, value] of options) await peer.setopt(fd, level, name, value);
}
