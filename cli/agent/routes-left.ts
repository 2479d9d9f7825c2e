// SPDX-License-Identifier: MIT
// Rules and tables for ACKs at once that an agent and its guard, both killed, have left: in every network
// namespace that can be seen from here.

import { closeSync, openSync, readdirSync, readlinkSync, statSync } from "node:fs";
import { type Bridge, cstr, unwrap } from "../loader/bridge.ts";

/** Number of the routing table, and priority of the rules that lead to it. */
export const TABLE = 31904;

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

const ip = (...args: string[]) =>
  Bun.spawnSync(["ip", ...args], { stdin: "ignore", stdout: "pipe", stderr: "ignore" });

/** Lines of `ip rule` that are ours. */
export function oursAmong(rules: string): string[] {
  const ours = new RegExp(`^${TABLE}:.*\\bfwmark\\b.*\\blookup ${TABLE}\\b`);
  return rules.split("\n").filter((line) => ours.test(line));
}

function leftIn(family: "-4" | "-6"): number {
  const rules = oursAmong(ip(family, "rule", "show").stdout.toString()).length;
  return (
    rules +
    ip(family, "route", "show", "table", String(TABLE)).stdout.toString().split("\n").filter(Boolean).length
  );
}

function removeIn(family: "-4" | "-6"): void {
  for (const _ of oursAmong(ip(family, "rule", "show").stdout.toString())) {
    ip(family, "rule", "del", "priority", String(TABLE), "table", String(TABLE));
  }
  ip(family, "route", "flush", "table", String(TABLE));
}

export interface RouteSurvey {
  namespaces: number;
  /** Rules and routes that were removed. */
  removed: number;
  /** Rules and routes that are still there. */
  left: number;
}

/** Looks everywhere, removes what it finds, and looks again. Undefined without the program `ip`. */
export function removeRoutesLeft(lib: Bridge, dryRun = false): RouteSurvey | undefined {
  if (!Bun.which("ip")) return undefined;
  const survey: RouteSurvey = { namespaces: 0, removed: 0, left: 0 };
  for (const path of visibleNamespaces().values()) {
    const count = inNetns(lib, path, () => {
      const before = leftIn("-4") + leftIn("-6");
      if (before === 0 || dryRun) return { before, after: before };
      removeIn("-4");
      removeIn("-6");
      return { before, after: leftIn("-4") + leftIn("-6") };
    });
    if (!count) continue;
    survey.namespaces++;
    survey.removed += count.before - count.after;
    survey.left += count.after;
  }
  return survey;
}
