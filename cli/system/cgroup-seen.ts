// SPDX-License-Identifier: MIT
// The cgroup of a process, by what some view of the file system has mounted.

import { join } from "node:path";
import { isDirectory, mountInfo, readOrEmpty, viewpoints } from "../loader/viewpoint.ts";
import { belowMount, cgroupMounts, unifiedPath } from "./cgroup-path.ts";

/** The path, as this process can open it, of the cgroup v2 that a process is in; undefined: no mount shows it. */
export function cgroupSeen(pid: number): string | undefined {
  const cgroup = unifiedPath(readOrEmpty(`/proc/${pid}/cgroup`));
  if (cgroup === undefined) return undefined;
  for (const view of viewpoints()) {
    for (const mount of cgroupMounts(mountInfo(view))) {
      const below = belowMount(mount.root, cgroup);
      const path = below === undefined ? undefined : join(view.root + mount.path, below);
      if (path !== undefined && isDirectory(path)) return path;
    }
  }
  return undefined;
}
