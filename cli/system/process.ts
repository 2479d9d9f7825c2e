// SPDX-License-Identifier: MIT
// What can be seen of another process.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import type { Bridge } from "../loader/bridge.ts";

const PF_KTHREAD = 0x00200000;
const SOL_SOCKET = 1;
const SO_PROTOCOL = 38;
const IPPROTO_TCP = 6;
const IPPROTO_MPTCP = 262;

/** State and flags; undefined when there is no such process. */
export function processState(pid: number): { zombie: boolean; kernel: boolean } | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // pid (name) state ppid pgrp session tty tpgid flags
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    return { zombie: fields[0] === "Z" || fields[0] === "X", kernel: (Number(fields[6]) & PF_KTHREAD) !== 0 };
  } catch {
    return undefined;
  }
}

/** Has the process a TCP socket? False where we may not look. */
export function hasTcpSocket(lib: Bridge, pid: number): boolean {
  const value = new Int32Array(1);
  const isTcp = (fd: string) => {
    try {
      if (!readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:")) return false;
    } catch {
      return false; // closed meanwhile
    }
    if (lib.tcpx_sockopt_of(pid, Number(fd), SOL_SOCKET, SO_PROTOCOL, value, 4) < 0) return false;
    return value[0] === IPPROTO_TCP || value[0] === IPPROTO_MPTCP;
  };
  try {
    return readdirSync(`/proc/${pid}/fd`).some(isTcp);
  } catch {
    return false;
  }
}
