// SPDX-License-Identifier: MIT
// Rules and tables for ACKs at once that an agent and its guard, both killed, have left: in every network
// namespace that can be seen from here.

import { existsSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Bridge } from "../loader/bridge.ts";
import { inNetns, namespaces } from "../system/netns.ts";

const RUN_NETNS = "/run/netns";

/** Those of processes, and those that are kept by name only. */
function visibleNamespaces(): string[] {
  const found = new Map(namespaces(undefined).found.map(({ inode, path }) => [inode, path]));
  const names = existsSync(RUN_NETNS) ? readdirSync(RUN_NETNS) : [];
  for (const path of names.map((name) => join(RUN_NETNS, name))) {
    const info = statSync(path, { throwIfNoEntry: false });
    if (info && info.size === 0 && !found.has(info.ino)) found.set(info.ino, path);
  }
  return [...found.values()];
}

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
  for (const path of visibleNamespaces()) {
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
