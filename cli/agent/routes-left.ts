// SPDX-License-Identifier: MIT
// Rules and tables for ACKs at once that an agent and its guard, both killed, have left: in every network
// namespace that can be seen from here.

import type { Bridge } from "../loader/bridge.ts";
import { everyNamespace, inNetns } from "../system/netns.ts";

export interface RouteSurvey {
  namespaces: number;
  /** Rules and routes that were removed. */
  removed: number;
  /** Namespaces where some may still be: their removal failed. */
  failed: number;
}

/** Removes what it finds, and looks again. Not while an agent runs. */
export function removeRoutesLeft(lib: Bridge): RouteSurvey {
  const survey: RouteSurvey = { namespaces: 0, removed: 0, failed: 0 };
  for (const { path } of everyNamespace().found) {
    const found = inNetns(lib, path, () => {
      const removed = lib.tcpx_routes_sweep();
      return { removed, again: removed > 0 ? lib.tcpx_routes_sweep() : removed };
    })?.value;
    if (!found) continue;
    survey.namespaces++;
    survey.removed += Math.max(found.removed, 0);
    if (found.again !== 0) survey.failed++;
  }
  return survey;
}
