// SPDX-License-Identifier: MIT
// Where a cgroup is as this process sees cgroups, and whether it is there at all. Its id says which one it is;
// a path says so only together with the view that it is of: containers have views of their own.

import { type BigIntStats, realpathSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { absentError, usageError } from "../base/errors.ts";
import { type Bridge, cstr, Errno, isErrno } from "../bridge/bridge.ts";
import { cgroupRoot, findCgroupRoot, fsType, type Scope } from "../system/host.ts";
import { runDevice, serviceOf } from "../system/unit-hook.ts";
import { isDirectory, viewpoints } from "../system/viewpoint.ts";
import { absolutePath } from "../system/working-directory.ts";
import { directories } from "./survey.ts";

const CGROUP2_MAGIC = 0x63677270n;

/** What whoever set the rules has called the cgroup. */
export interface Recorded {
  /** Path below that one's cgroup2 mount. */
  name: string;
  /** Id of the cgroup at that mount; 0: not known. */
  base: bigint;
  /** Device of the /run whose systemd gives rules to a service's next cgroup; 0: there is none. */
  keeper: bigint;
}

/** "gone": the kernel has no such cgroup. Without a name it is there, and cannot be seen from here. */
export type CgroupPlace = "gone" | { name?: string; path?: string };

/** A scope that can be seen from here, or a waiting one that can be named here. */
export type SeenScope = Scope & { path: string };

/** Bytes of a path, the NUL included. */
const LONGEST = 4096;

/** Undefined, too, where it went meanwhile or we may not look. */
function statOf(path: string): BigIntStats | undefined {
  try {
    return statSync(path, { bigint: true });
  } catch {
    return undefined;
  }
}

/** Is the cgroup with this id at that path? False, too, where something is mounted over it. */
function stands(root: string, path: string, id: bigint): boolean {
  const [top, found] = [statOf(root), statOf(path)];
  return found?.ino === id && found.dev === top?.dev;
}

const seen = (root: string, name: string): CgroupPlace => ({ name, path: join(root, name) });

/** What the kernel says; undefined: we may not ask it, for want of CAP_DAC_READ_SEARCH. */
function asked(lib: Bridge, root: string, id: bigint): CgroupPlace | undefined {
  const below = new Uint8Array(LONGEST);
  const length = lib.tcpx_cgroup_path(cstr(root), id, below, below.length);
  if (length < 0) {
    const error = new Errno("look for a cgroup", -length);
    if (isErrno(error, "ESTALE")) return "gone";
    return isErrno(error, "EXDEV", "ENAMETOOLONG") ? {} : undefined;
  }
  const name = new TextDecoder().decode(below.subarray(0, length));
  return stands(root, join(root, name), id) ? seen(root, name) : {};
}

/** By looking around. Only where another cgroup has the recorded path is this one known to be gone. */
function lookedFor(root: string, id: bigint, recorded: Recorded | undefined): CgroupPlace {
  const [top, found] = [statOf(root), recorded && statOf(join(root, recorded.name))];
  if (top && found && top.ino === recorded?.base && found.dev === top.dev && found.ino !== id) return "gone";
  for (const path of directories(root)) {
    if (stands(root, path, id)) return seen(root, path === root ? "/" : path.slice(root.length));
  }
  return {};
}

/**
 * Where the cgroup with this id is.
 * @param recorded spares a look at all cgroups where the kernel may not be asked
 */
export function placeOf(lib: Bridge, id: bigint, recorded?: Recorded): CgroupPlace {
  const root = findCgroupRoot();
  if (root === undefined) return {};
  const answer = asked(lib, root, id);
  if (answer !== undefined) return answer;
  const guess = recorded && join(root, recorded.name);
  return guess && stands(root, guess, id) ? seen(root, recorded.name) : lookedFor(root, id, recorded);
}

/**
 * The scope that `--cgroup` names: a directory of the cgroup2 mount, absolute or relative to it.
 * @throws TcpxError (usage) when it is none
 */
export function findScope(lib: Bridge, cgroup: string | undefined): SeenScope {
  const root = cgroupRoot();
  const named = absolutePath(cgroup ?? "/");
  const seen = named === undefined ? [] : viewpoints().map((view) => view.root + named);
  const candidates = cgroup === undefined ? [root] : [...seen, join(root, cgroup)];
  const path = candidates.find((p) => isDirectory(p) && fsType(lib, p) === CGROUP2_MAGIC);
  if (!path) {
    const hint = `accepted is a directory below ${root.replace(/^\/proc\/\d+\/root/, "")}`;
    if (!candidates.some(isDirectory)) throw absentError(`--cgroup '${cgroup}' does not exist`, cgroup, hint);
    throw usageError(`--cgroup '${cgroup}' is not in the cgroup2 hierarchy`, cgroup, hint);
  }
  // realpath would lead out of another process's view
  const real = path.startsWith("/proc/") ? path : realpathSync(path);
  const below = relative(path.startsWith("/proc/") ? root : realpathSync(root), real);
  const id = statSync(real, { bigint: true }).ino;
  if (below !== ".." && !below.startsWith("../")) return { path: real, name: below ? `/${below}` : "/", id };
  const place = placeOf(lib, id); // another mount's path
  return { path: real, name: (place !== "gone" && place.name) || real, id };
}

/** What is to be recorded for a path of ours. */
export function recordOf(name: string): Recorded {
  const root = findCgroupRoot();
  const base = (root !== undefined && statOf(root)?.ino) || 0n;
  return { name, base, keeper: runDevice() };
}

/** Has the service a systemd in another view, which is there still and gives its next cgroup the rules? */
export function waitsElsewhere(lib: Bridge, { name, base, keeper }: Recorded): boolean {
  return keeper !== 0n && serviceOf(name) !== undefined && placeOf(lib, base) !== "gone";
}

/** Is a recorded path one of this view, and its service one of our systemd's? */
export function isOurs({ base, keeper }: Recorded): boolean {
  if (base === 0n) return true; // of a tcpx that recorded no view
  const own = recordOf("");
  return base === own.base && (keeper === 0n || keeper === own.keeper);
}
