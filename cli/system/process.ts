// SPDX-License-Identifier: MIT
// What can be seen of another process.

import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { constants } from "node:os";
import type { Bridge } from "../bridge/bridge.ts";
import { readOrEmpty } from "./viewpoint.ts";

const PF_KTHREAD = 0x00200000;
const SOL_SOCKET = 1;
const SO_PROTOCOL = 38;
const IPPROTO_TCP = 6;
const IPPROTO_MPTCP = 262;
/** Characters of a command line that are worth showing. */
const COMMAND_LENGTH = 120;

/** Inode of the first pid namespace, the same on every host (PROC_PID_INIT_INO). */
export const FIRST_PID_NS = 0xeffffffc;

/** Inode of ours. */
export function pidNs(): number {
  return statSync("/proc/self/ns/pid").ino;
}

export interface ProcessState {
  zombie: boolean;
  kernel: boolean;
  /** By SIGSTOP and the like. */
  stopped: boolean;
  /** By a debugger. */
  traced: boolean;
}

/** State and flags; undefined when there is no such process. */
export function processState(pid: number): ProcessState | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, "utf8");
    // pid (name) state ppid pgrp session tty tpgid flags
    const fields = text.slice(text.lastIndexOf(")") + 2).split(" ");
    const [letter, , , , , , flags] = fields;
    return {
      zombie: letter === "Z" || letter === "X",
      kernel: (Number(flags) & PF_KTHREAD) !== 0,
      stopped: letter === "T",
      traced: letter === "t",
    };
  } catch {
    return undefined;
  }
}

/** Whom it acts as; undefined when there is no such process. Read without a lock of the process's own. */
export function effectiveUid(pid: number): number | undefined {
  const uid = /^Uid:\s*\d+\s+(\d+)/m.exec(readOrEmpty(`/proc/${pid}/status`))?.[1];
  return uid === undefined ? undefined : Number(uid);
}

/**
 * How a process was started, cut to a length for messages; its name in brackets where that is not known, or the
 * process is another user's: who reads its command line waits for what it does with its memory, for ever if it likes.
 */
export function commandLineOf(pid: number): string {
  const read = (file: string) => readOrEmpty(`/proc/${pid}/${file}`);
  const ours = effectiveUid(pid) === process.geteuid?.();
  const words = (ours ? read("cmdline") : "").replace(/\0+$/, "").replaceAll("\0", " ");
  const text = words || `[${read("comm").trim() || "ended"}]`;
  return text.length > COMMAND_LENGTH ? `${text.slice(0, COMMAND_LENGTH).toWellFormed()}...` : text;
}

/** Has the process a TCP socket, or one that we may not look at? */
export function hasTcpSocket(lib: Bridge, pid: number): boolean {
  const value = new Int32Array(1);
  const isTcp = (fd: string) => {
    try {
      if (!readlinkSync(`/proc/${pid}/fd/${fd}`).startsWith("socket:")) return false;
    } catch {
      return false; // closed meanwhile
    }
    const result = lib.tcpx_sockopt_of(pid, Number(fd), SOL_SOCKET, SO_PROTOCOL, value, 4);
    if (result < 0) return -result === constants.errno.EPERM; // nobody may look: it may be one
    return value[0] === IPPROTO_TCP || value[0] === IPPROTO_MPTCP;
  };
  try {
    return readdirSync(`/proc/${pid}/fd`).some(isTcp);
  } catch {
    return false;
  }
}
