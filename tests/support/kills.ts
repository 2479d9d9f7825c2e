// SPDX-License-Identifier: MIT
// A command that is killed at every moment of its life, as often as it takes to have met it alive.
import type { PrivateHost } from "./private-host.ts";

/** SIGKILL after this many milliseconds; whether the command was still running. */
export async function killed(host: PrivateHost, command: string, ms: number): Promise<boolean> {
  // timeout takes 0 for no limit at all
  const limit = (Math.max(ms, 1) / 1000).toFixed(4);
  const status = await host.sh(`timeout -s KILL ${limit} ${command} >/dev/null 2>&1; echo $?`);
  return status.trim() === "137";
}

/** Milliseconds that the fastest of these takes when nobody kills it: the others have been held up. */
export async function shortest(commands: readonly (() => Promise<unknown>)[]): Promise<number> {
  let ms = Number.POSITIVE_INFINITY;
  for (const command of commands) {
    const start = performance.now();
    await command();
    ms = Math.min(ms, performance.now() - start);
  }
  return ms;
}

export interface Sweep {
  /** Rounds from the command's beginning to its end. */
  rounds: number;
  /** How often from the beginning to the end at most. */
  sweeps: number;
  /** How long the command takes; leaves behind what the first round begins with. */
  duration: () => Promise<number>;
  /** Kills the command after ms at this part of its duration (0 to 1, without 1). */
  round: (n: number, part: number, duration: number) => Promise<void>;
  /** The kills have met what they are to test; asked after the first sweep. */
  enough: () => boolean;
}

/**
 * Kills spread evenly. How fast the machine is changes: when a whole sweep was not enough, the command is measured
 * anew for the next one.
 */
export async function sweep({ rounds, sweeps, duration, round, enough }: Sweep): Promise<void> {
  let whole = 0;
  for (let n = 0; n < rounds || (n < rounds * sweeps && !enough()); n++) {
    if (n % rounds === 0) whole = await duration();
    await round(n, (n % rounds) / rounds, whole);
  }
}
