// SPDX-License-Identifier: MIT
// Rules and tables for ACKs at once that an agent and its guard, both killed, have left: in every network
// namespace that can be seen from here.

import { closeSync, openSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { type Bridge, cstr, unwrap } from "../loader/bridge.ts";

/** Distinct namespaces by inode number, with a file that stands for each. */
export function visibleNamespaces(): Map<number, string> {
  const found = new Map<number, string>();
  const add = (path: string, inode: number | undefined) => {
    if (inode !== undefined && !found.has(inode)) found.set(inode, path);
  };
  const list = (dir: string) => {
    try {
      return readdirSync(dir);
    } catch {
      return [];
    }
  };
  add("/proc/thread-self/ns/net", statSync("/proc/thread-self/ns/net", { throwIfNoEntry: false })?.ino);
  for (const pid of list("/proc").filter((name) => /^\d+$/.test(name))) {
    const path = `/proc/${pid}/ns/net`;
    try {
      add(path, Number(/\d+/.exec(readlinkSync(path))?.[0]));
    } catch {
      // gone meanwhile
    }
  }
  for (const name of list("/run/netns")) {
    const path = `/run/netns/${name}`;
    const info = statSync(path, { throwIfNoEntry: false });
    if (info && info.size === 0) add(path, info.ino);
  }
  return found;
}

/** Runs `action` with the calling thread in another namespace; undefined when that has gone. */
function inNetns<T>(lib: Bridge, path: string, action: () => T): T | undefined {
  const back = openSync("/proc/thread-self/ns/net", "r");
  try {
    if (lib.tcpx_netns_enter(cstr(path)) < 0) return undefined;
    try {
      return action();
    } finally {
      unwrap("return to the network namespace", lib.tcpx_netns_enter(cstr(`/proc/self/fd/${back}`)));
    }
  } finally {
    closeSync(back);
  }
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
  for (const path of visibleNamespaces().values()) {
    const found = inNetns(lib, path, () => {
      const removed = lib.tcpx_routes_sweep();
      return { removed, again: removed > 0 ? lib.tcpx_routes_sweep() : removed };
    });
    if (!found) continue;
    survey.namespaces++;
    survey.removed += Math.max(found.removed, 0);
    if (found.again !== 0) survey.failed++;
  }
  return survey;
}
