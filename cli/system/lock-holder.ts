// SPDX-License-Identifier: MIT
// Who has a lock that flock() has given, by the kernel's own records, and why he may keep it.

import { readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Holder } from "../base/errors.ts";
import { cgroupSeen } from "./cgroup-seen.ts";
import { commandLineOf, FIRST_PID_NS, pidNs, processState } from "./process.ts";

type FileId = { ino: number; dev: number };

/** For looking through the open files of all processes, milliseconds. */
const PATIENCE_MS = 500;

/**
 * Locks of flock() on the file with this inode number and device; those that still wait for it are left out.
 * @param text of /proc/locks, or of a /proc/PID/fdinfo/FD
 */
export function flocksOn(text: string, file: FileId): { pid: number; exclusive: boolean }[] {
  // 1: FLOCK  ADVISORY  WRITE 708 00:19:1234 0 EOF; the device as hexadecimal major:minor
  const major = (file.dev >> 8) & 0xfff;
  const minor = (file.dev & 0xff) | ((file.dev >> 12) & 0xfff00);
  return text.split("\n").flatMap((line) => {
    const found = /: FLOCK\s+\S+\s+(READ|WRITE)\s+(\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!found || line.includes("->")) return [];
    const [, kind, pid, hi = "", lo = "", ino] = found;
    const same = Number(ino) === file.ino && parseInt(hi, 16) === major && parseInt(lo, 16) === minor;
    return same ? [{ pid: Number(pid), exclusive: kind === "WRITE" }] : [];
  });
}

/** Has the process a descriptor with the lock? It may have inherited it. Undefined where we may not look. */
function hasLock(pid: number, file: FileId): boolean | undefined {
  const dir = `/proc/${pid}/fdinfo`;
  try {
    return readdirSync(dir).some((fd) => flocksOn(readFileSync(join(dir, fd), "utf8"), file).length > 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EACCES" ? undefined : false;
  }
}

/** The first process that has it: whoever took it may have ended, and left it to others. */
function search(file: FileId): number | undefined {
  const end = performance.now() + PATIENCE_MS;
  const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
  return pids.map(Number).find((pid) => performance.now() < end && hasLock(pid, file));
}

function stateOf(pid: number): Holder["state"] {
  const state = processState(pid);
  if (state?.stopped) return "stopped";
  if (state?.traced) return "traced";
  try {
    const events = readFileSync(join(cgroupSeen(pid) ?? "", "cgroup.events"), "utf8");
    return /^frozen 1$/m.test(events) ? "frozen" : "running";
  } catch {
    return "running"; // its cgroup is out of sight
  }
}

/** The process that has the lock on a directory; undefined when there is none, or none that we can see. */
export function lockHolder(path: string): Holder | undefined {
  try {
    const file = statSync(path);
    const told = flocksOn(readFileSync("/proc/locks", "utf8"), file).map(({ pid }) => pid);
    const alive = told.filter((pid) => pid > 0 && processState(pid));
    const pid = alive.find((pid) => hasLock(pid, file) !== false) ?? search(file);
    return pid === undefined ? undefined : { pid, command: commandLineOf(pid), state: stateOf(pid) };
  } catch {
    return undefined; // no such directory any more, or no /proc
  }
}

/** "process 123 (tcpx uto set 30s)", for a message. */
export function nameOf(holder: Holder | undefined): string {
  if (holder) return `process ${holder.pid} (${holder.command})`;
  return pidNs() === FIRST_PID_NS ? "a process that cannot be seen" : "a process outside this pid namespace";
}

/** What is wrong with it and what helps; undefined while it is at work. */
export function troubleOf({ pid, state }: Holder): { is: string; hint: string } | undefined {
  switch (state) {
    case "stopped":
      return { is: "is stopped", hint: `continue it with \`kill -CONT ${pid}\`, or end it` };
    case "traced":
      return { is: "is stopped by a debugger", hint: "have the debugger continue it, or end it" };
    case "frozen":
      return { is: "is frozen with its cgroup", hint: "thaw the cgroup or container, or end the process" };
    default:
      return undefined;
  }
}
