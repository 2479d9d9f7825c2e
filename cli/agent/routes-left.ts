// SPDX-License-Identifier: MIT
// Rules and tables for ACKs at once that an agent and its guard, both killed, have left: in every network
// namespace that can be seen from here.

import { readFileSync, statSync } from "node:fs";
import { constants } from "node:os";
import { basename } from "node:path";
import type { Bridge } from "../bridge/bridge.ts";
import { processes } from "../loader/owners.ts";
import { everyNamespace, inNetns } from "../system/netns.ts";
import { effectiveUid } from "../system/process.ts";

const { EPERM } = constants.errno;

export interface RouteSurvey {
  namespaces: number;
  /** Rules and routes that were removed. */
  removed: number;
  /** Namespaces where some may still be: their removal failed. */
  failed: number;
  /** Other agents, which have routes like ours, as far as they can be seen: none was removed then. */
  others?: number[];
}

/** Is this process an agent, or its guard, of a tcpx with another /run? */
function isOtherAgent(pid: number, run: number | undefined): boolean {
  try {
    // first, since a stranger can keep who reads his command line; and nobody else has our capabilities
    if (effectiveUid(pid) !== process.geteuid?.()) return false;
    const words = readFileSync(`/proc/${pid}/cmdline`, "utf8").split("\0");
    const isAgent =
      words.includes("internal-agent") || (basename(words[0] ?? "") === "tcpx" && words[1] === "agent");
    if (!isAgent) return false;
    return statSync(`/proc/${pid}/root/run`).dev !== run;
  } catch {
    return false; // it has ended, or is not ours to look at
  }
}

/** Agents of another tcpx, such as a container's: their routes look like ours. */
function otherAgents(): number[] {
  const run = statSync("/run", { throwIfNoEntry: false })?.dev;
  return processes().filter((pid) => isOtherAgent(pid, run));
}

/**
 * Removes what it finds, and looks again. Not while an agent runs, ours or another's.
 * @param isOther programs of another agent have been seen
 */
export function removeRoutesLeft(lib: Bridge, isOther: boolean): RouteSurvey {
  const survey: RouteSurvey = { namespaces: 0, removed: 0, failed: 0 };
  const others = otherAgents();
  if (isOther || others.length > 0) return { ...survey, others };
  for (const { path } of everyNamespace().found) {
    const found = inNetns(lib, path, () => {
      const removed = lib.tcpx_routes_sweep();
      return { removed, again: removed > 0 ? lib.tcpx_routes_sweep() : removed };
    })?.value;
    if (!found || found.removed === -EPERM) continue; // of another user namespace: no agent was there
    survey.namespaces++;
    survey.removed += Math.max(found.removed, 0);
    if (found.again !== 0) survey.failed++;
  }
  return survey;
}
