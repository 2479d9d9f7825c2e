// SPDX-License-Identifier: MIT
// Network namespaces: which ones there are, and acting in another one.

import { closeSync, existsSync, openSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, cstr, unwrap } from "../bridge/bridge.ts";

/** A network namespace, by a file that stands for it: /proc/PID/ns/net. */
export interface Namespace {
  path: string;
  inode: number;
}

const OWN = "/proc/thread-self/ns/net";
const NAMED = "/run/netns";

/** The caller's own namespace. */
export function ownNamespace(): Namespace {
  return { path: OWN, inode: statSync(OWN).ino };
}

/** Of a process. Undefined: it has ended; null: we may not look. */
export function namespaceOf(pid: string): Namespace | undefined | null {
  const path = `/proc/${pid}/ns/net`;
  try {
    return { path, inode: statSync(path).ino };
  } catch (error) {
    return ["EACCES", "EPERM"].includes((error as NodeJS.ErrnoException).code ?? "") ? null : undefined;
  }
}

/** The processes of a cgroup and of those below; none when it has gone. */
export function pidsBelow(cgroup: string): string[] {
  try {
    const own = readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
    const children = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    return [...own, ...children.flatMap(({ name }) => pidsBelow(join(cgroup, name)))];
  } catch {
    return []; // removed meanwhile, or threaded
  }
}

export interface Namespaces {
  /** The caller's first. */
  found: Namespace[];
  /** Processes whose namespace we may not look at. */
  hidden: number;
}

/**
 * Namespaces that have processes, and the caller's own.
 * @param cgroup only those of its processes; undefined: of all
 */
export function namespaces(cgroup: string | undefined): Namespaces {
  const pids =
    cgroup === undefined ? readdirSync("/proc").filter((name) => /^\d+$/.test(name)) : pidsBelow(cgroup);
  const own = ownNamespace();
  const found = new Map([[own.inode, own]]);
  let hidden = 0;
  for (const pid of pids) {
    const namespace = namespaceOf(pid);
    if (namespace === null) hidden++;
    else if (namespace && !found.has(namespace.inode)) found.set(namespace.inode, namespace);
  }
  return { found: [...found.values()], hidden };
}

/** Those that have processes, and those that are kept by name only. */
export function everyNamespace(): Namespaces {
  const { found, hidden } = namespaces(undefined);
  const known = new Map(found.map((namespace) => [namespace.inode, namespace]));
  for (const name of existsSync(NAMED) ? readdirSync(NAMED) : []) {
    const path = join(NAMED, name);
    const info = statSync(path, { throwIfNoEntry: false });
    if (info && info.size === 0 && !known.has(info.ino)) known.set(info.ino, { path, inode: info.ino });
  }
  return { found: [...known.values()], hidden };
}

/** Runs `action` with the calling thread in another namespace; undefined when that cannot be entered. */
export function inNetns<T>(lib: Bridge, path: string, action: () => T): { value: T } | undefined {
  const back = openSync(OWN, "r");
  try {
    if (lib.tcpx_netns_enter(cstr(path)) < 0) return undefined;
    try {
      return { value: action() };
    } finally {
      unwrap("return to the network namespace", lib.tcpx_netns_enter(cstr(`/proc/self/fd/${back}`)));
    }
  } finally {
    closeSync(back);
  }
}
