// SPDX-License-Identifier: MIT
// One agent at a time: whoever holds the lock on the agent's directory is it.

import { readFileSync, statSync } from "node:fs";
import { type Bridge, isErrno } from "../bridge/bridge.ts";
import type { Fd } from "../bridge/maps.ts";
import { tryFlock } from "../system/lock.ts";
import { flocksOn } from "../system/lock-holder.ts";
import { checkRunDir, ensureRunDir, RUN_DIR } from "./run-dir.ts";

/** Takes it; undefined while somebody else has it. The directory is made when it is not there. */
export function tryLock(lib: Bridge): Fd | undefined {
  for (;;) {
    ensureRunDir();
    try {
      return tryFlock(lib, RUN_DIR);
    } catch (error) {
      if (!isErrno(error, "ENOENT")) throw error; // else: an agent that has just ended took it away
    }
  }
}

/** As long as an agent that is ending may take. */
export const END_MS = 5000;

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

/** The agent's pid by the kernel's own record; undefined when there is none, or not in our pid namespace. */
export function pidWithLock(): number | undefined {
  if (!checkRunDir()) return undefined;
  try {
    const found = flocksOn(readFileSync("/proc/locks", "utf8"), statSync(RUN_DIR));
    return found.find(({ pid, exclusive }) => exclusive && pid > 0)?.pid;
  } catch {
    return undefined; // no /proc
  }
}
