// SPDX-License-Identifier: MIT
// Waiting for a lock that another tcpx has, and telling who that is when it takes too long.

import { constants } from "node:os";
import { formatDuration } from "../base/duration.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, cstr, Errno } from "../bridge/bridge.ts";
import { Fd } from "../bridge/maps.ts";
import { lockHolder, nameOf, troubleOf } from "../system/lock-holder.ts";

/** How long a command waits that was not told otherwise, milliseconds. */
export const PATIENCE_MS = 5000;
/** Between two attempts, at first and in the long run. A blocking flock() would keep our signals waiting, too. */
const PAUSE_MS = 20;
const LONG_PAUSE_MS = 100;

/** How long to wait for another tcpx. */
export interface Patience {
  /** Milliseconds; 0: not at all, Infinity: without end. */
  ms: number;
  /** Hears once who has the lock, when the wait goes on for `tellAfter` milliseconds. */
  tell?: (what: string) => void;
  tellAfter?: number;
  /** Ends the wait with its reason. */
  signal?: AbortSignal;
}

export const AT_ONCE: Patience = { ms: 0 };

/** Takes the lock on a directory; undefined while somebody else has it. @throws Errno, such as ENOENT */
export function tryFlock(lib: Bridge, dir: string): Fd | undefined {
  const fd = lib.tcpx_flock(cstr(dir), 1);
  if (fd >= 0) return new Fd(lib, fd);
  if (-fd === constants.errno.EAGAIN) return undefined; // often, so no error is made of it
  throw new Errno(`lock ${dir}`, -fd);
}

/** What is locked. */
export interface Place {
  /** The directory, which may be made anew elsewhere meanwhile. */
  dir(): string;
  /** What those do who have the lock. */
  doing: string;
  /** What else helps than patience. */
  hint?: string;
}

/** Who has the lock and, where that keeps him, why. */
function blocker({ dir, doing }: Place) {
  const holder = lockHolder(dir());
  const trouble = holder && troubleOf(holder);
  return {
    holder,
    hint: trouble?.hint,
    what: `${doing}: ${nameOf(holder)}${trouble ? ` ${trouble.is}` : ""}`,
  };
}

/** @param waited milliseconds */
function busyError(place: Place, waited: number): TcpxError {
  const { holder, what, hint } = blocker(place);
  const more =
    waited > 0
      ? `waited ${formatDuration(waited)}; try again, or wait longer with --wait`
      : "try again, or wait for it with --wait";
  return new TcpxError(Exit.BUSY, `another tcpx is ${what}`, {
    hint: hint ?? place.hint ?? more,
    holder: holder ?? null,
  });
}

function waitingFor(place: Place): string {
  const { what, hint } = blocker(place);
  return `waiting for another tcpx, which is ${what}${hint ? `; ${hint}` : ""}`;
}

/**
 * Asks for a lock until it is ours, or the patience is at its end.
 * @param attempt undefined while somebody else has it
 * @throws TcpxError (busy) that names who has it
 */
export async function waitForLock<T>(
  place: Place,
  patience: Patience,
  attempt: () => Promise<T | undefined>,
): Promise<T> {
  const { ms, tell, tellAfter = PATIENCE_MS, signal } = patience;
  const begin = performance.now();
  for (let told = false; ; ) {
    signal?.throwIfAborted();
    const held = await attempt();
    if (held !== undefined) return held;
    const waited = performance.now() - begin;
    if (waited >= ms) break;
    if (!told && waited >= tellAfter) {
      told = true;
      tell?.(waitingFor(place));
    }
    await Bun.sleep(waited < PATIENCE_MS ? PAUSE_MS : LONG_PAUSE_MS);
  }
  const error = busyError(place, ms);
  const last = await attempt(); // who was named may have ended by then
  if (last !== undefined) return last;
  throw error;
}
