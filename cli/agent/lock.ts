// SPDX-License-Identifier: MIT
// One agent at a time: whoever holds the lock on the agent's directory is it.

import { readFileSync, statSync } from "node:fs";
import { type Bridge, cstr, Errno, isErrno } from "../loader/bridge.ts";
import { Fd } from "../loader/maps.ts";
import { checkRunDir, ensureRunDir, RUN_DIR } from "./run-dir.ts";

/** Takes it; undefined while somebody else has it. The directory is made when it is not there. */
export function tryLock(lib: Bridge): Fd | undefined {
  for (;;) {
    ensureRunDir();
    const fd = lib.tcpx_flock(cstr(RUN_DIR), 1);
    if (fd >= 0) return new Fd(lib, fd);
    const error = new Errno(`lock ${RUN_DIR}`, -fd);
    if (isErrno(error, "EAGAIN", "EWOULDBLOCK")) return undefined;
    if (!isErrno(error, "ENOENT")) throw error; // else: an agent that has just ended took it away
  }
}

/** Asks until the lock is ours; undefined when the time is over, or `giveUp` says so. */
export async function waitLock(
  lib: Bridge,
  ms: number,
  giveUp: () => Promise<boolean> = async () => false,
): Promise<Fd | undefined> {
  for (const end = performance.now() + ms; ; await Bun.sleep(20)) {
    const held = tryLock(lib);
    if (held) return held;
    if (performance.now() > end || (await giveUp())) return undefined;
  }
}

/**
 * The processes that hold a lock on the file with this inode number and device.
 * @param locks the text of /proc/locks
 */
export function holders(locks: string, file: { ino: number; dev: number }): number[] {
  // 1: FLOCK  ADVISORY  WRITE 708 00:19:1234 0 EOF; the device as hexadecimal major:minor
  const major = (file.dev >> 8) & 0xfff;
  const minor = (file.dev & 0xff) | ((file.dev >> 12) & 0xfff00);
  return locks.split("\n").flatMap((line) => {
    const found = /: FLOCK\s+\S+\s+WRITE (\d+) ([0-9a-f]+):([0-9a-f]+):(\d+) /.exec(line);
    if (!found || line.includes("->")) return []; // "->": still waiting for it
    const [, pid, hi = "", lo = "", ino] = found;
    const same = Number(ino) === file.ino && parseInt(hi, 16) === major && parseInt(lo, 16) === minor;
    return same && Number(pid) > 0 ? [Number(pid)] : [];
  });
}

/** The agent's pid by the kernel's own record; undefined when there is none, or not in our pid namespace. */
export function lockHolder(): number | undefined {
  if (!checkRunDir()) return undefined;
  try {
    return holders(readFileSync("/proc/locks", "utf8"), statSync(RUN_DIR))[0];
  } catch {
    return undefined; // no /proc
  }
}
