// SPDX-License-Identifier: MIT
// The cgroup of a process, by what some view of the file system has mounted.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { belowMount, byDepth, cgroupMounts, unifiedPath } from "./cgroup-path.ts";
import { isDirectory, mountInfo, readOrEmpty, viewpoints } from "./viewpoint.ts";

/** Is the process in that very cgroup? Undefined where its list cannot be read: of threaded cgroups. */
export function holds(cgroup: string, pid: number): boolean | undefined {
  try {
    return readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").includes(String(pid));
  } catch {
    return undefined;
  }
}

/** The path, as this process can open it, of the cgroup v2 that a process is in; undefined: no mount shows it. */
export function cgroupSeen(pid: number): string | undefined {
  const cgroup = unifiedPath(readOrEmpty(`/proc/${pid}/cgroup`));
  if (cgroup === undefined) return undefined;
  for (const view of viewpoints()) {
    for (const mount of byDepth(cgroupMounts(mountInfo(view)))) {
      const below = belowMount(mount.root, cgroup);
      const path = below === undefined ? undefined : join(view.root + mount.path, below);
      // something else may be mounted over it, another part of the hierarchy too
      if (path !== undefined && isDirectory(path) && holds(path, pid) !== false) return path;
    }
  }
  return undefined;
}
