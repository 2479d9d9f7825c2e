// SPDX-License-Identifier: MIT
// Whose view of the file system is the host's. `ip netns exec` gives its command a mount namespace
// with a fresh /sys: no cgroup2, no bpffs, and a mount made there would end with the command. So we
// look with the eyes of process 1 and of our ancestors, too, where /proc lets us.

import { readFileSync, readlinkSync, statSync } from "node:fs";

export interface View {
  /** Prefix of a path in this view: "" or /proc/PID/root. */
  root: string;
  /** File that stands for its mount namespace; null: our own. */
  mntNs: string | null;
  mounts: string;
}

export interface Mount {
  source: string;
  path: string;
  type: string;
}

const OWN: View = { root: "", mntNs: null, mounts: "/proc/self/mounts" };

export function isDirectory(path: string): boolean {
  try {
    return statSync(path).isDirectory();
  } catch {
    return false; // absent, or behind a door that is closed for us
  }
}

/** "" where it cannot be read: a process has ended, or we may not look. */
export function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/** Our ancestors, the parent first, without process 1. */
export function ancestors(): number[] {
  const pids: number[] = [];
  for (let pid = process.ppid; pid > 1 && pids.length < 64; ) {
    pids.push(pid);
    pid = Number(/\) \S (\d+)/.exec(readOrEmpty(`/proc/${pid}/stat`))?.[1] ?? 0); // name) state ppid
  }
  return pids;
}

function namespaceOf(path: string): string | undefined {
  try {
    return readlinkSync(path);
  } catch {
    return undefined;
  }
}

let cached: View[] | undefined;

/** Our own view, then those that differ: process 1's, then the ancestors' from the oldest on. */
export function viewpoints(): View[] {
  if (cached) return cached;
  const seen = new Set([namespaceOf("/proc/self/ns/mnt")]);
  cached = [OWN];
  for (const pid of [1, ...ancestors().reverse()]) {
    const mntNs = `/proc/${pid}/ns/mnt`;
    const namespace = namespaceOf(mntNs);
    if (namespace === undefined || seen.has(namespace) || !isDirectory(`/proc/${pid}/root/`)) continue;
    seen.add(namespace);
    cached.push({ root: `/proc/${pid}/root`, mntNs, mounts: `/proc/${pid}/mounts` });
  }
  return cached;
}

/**
 * The view in which a mount outlives this command: process 1's, or our own when nothing says that it
 * is a private one. Undefined when it is private and process 1 is out of reach.
 */
export function hostView(): View | undefined {
  const init = namespaceOf("/proc/1/ns/mnt");
  if (init !== undefined && init === namespaceOf("/proc/self/ns/mnt")) return OWN;
  const [, other] = viewpoints();
  if (!other) return OWN;
  return other.root === "/proc/1/root" ? other : undefined;
}

/** What /proc/PID/mountinfo says of a view. */
export const mountInfo = (view: View): string => readOrEmpty(view.mounts.replace(/mounts$/, "mountinfo"));

export function mountsOf(view: View): Mount[] {
  const lines = readOrEmpty(view.mounts).split("\n").filter(Boolean);
  return lines.map((line) => {
    const [source = "", path = "", type = ""] = line.split(" ");
    return { source, path: path.replaceAll("\\040", " "), type };
  });
}
