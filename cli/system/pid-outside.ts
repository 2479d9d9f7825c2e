// SPDX-License-Identifier: MIT
// A process whose cgroup is seen with other eyes than ours: in another mount or cgroup namespace.

import { readlinkSync } from "node:fs";

/** The kernel's number of the root of every hierarchy, and so of the whole machine's cgroup. */
export const MACHINE_ROOT = 1n;

const KINDS = { mnt: "mount", cgroup: "cgroup" } as const;

const inodeOf = (path: string): string | undefined => {
  try {
    return /\[(\d+)\]/.exec(readlinkSync(path))?.[1];
  } catch {
    return undefined;
  }
};

/**
 * "in another cgroup namespace (4026532210) than tcpx (4026531835)"; undefined when it is in none.
 * What may not be looked at counts as another one.
 */
export function outside(pid: number): string | undefined {
  const parts = Object.entries(KINDS).flatMap(([file, kind]) => {
    const [its, ours] = [inodeOf(`/proc/${pid}/ns/${file}`), inodeOf(`/proc/self/ns/${file}`)];
    if (its !== undefined && its === ours) return [];
    const which = its === undefined ? "that may not be looked at from here" : `(${its})`;
    return [`in another ${kind} namespace ${which} than tcpx (${ours ?? "unknown"})`];
  });
  return parts.length > 0 ? parts.join(" and ") : undefined;
}
