// SPDX-License-Identifier: MIT
// The cgroups of `tcpx run`: made below the caller's own, and removed when nobody is left in them.

import { existsSync, readdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { basename, join } from "node:path";
import type { Bridge } from "../bridge/bridge.ts";
import { findBpffs, findCgroupRoot } from "../system/host.ts";
import { FIRST_PID_NS, pidNs } from "../system/process.ts";
import { removeScope } from "./pins.ts";
import { directories } from "./survey.ts";

/** tcpx-run-PID, in other pid namespaces tcpx-run-PID-NAMESPACE; .N when the name is still in use. */
const NAME = /^tcpx-run-(\d+)(?:-(\d+))?(?:\.\d+)?$/;

/** Of a run, demo or doctor, or below one of these: there only as long as a command runs. */
export function isTemporary(cgroup: string): boolean {
  return /\/tcpx-(?:run|demo|doctor)-\d/.test(cgroup);
}

/** The path of a cgroup for this process's command, which does not exist yet. Throws what readdir() says. */
export function freeRunCgroup(parent: string): string {
  for (const name of readdirSync(parent)) removeIfLeft(join(parent, name));
  const namespace = pidNs() === FIRST_PID_NS ? "" : `-${pidNs()}`;
  const path = join(parent, `tcpx-run-${process.pid}${namespace}`);
  // a process with our number may have left others in there
  for (let n = 0; ; n++) {
    const free = n > 0 ? `${path}.${n}` : path;
    if (!existsSync(free)) return free;
  }
}

/** Is a process in it, or in a cgroup below? True when that cannot be read. */
function isPopulated(path: string): boolean {
  try {
    return !/^populated 0$/m.test(readFileSync(join(path, "cgroup.events"), "utf8"));
  } catch (error) {
    return (error as NodeJS.ErrnoException).code !== "ENOENT";
  }
}

/**
 * Has a run left this cgroup, its watcher having been killed? Its first process is the one that made it:
 * while that lives, it may be about to enter. False for other pid namespaces, of which we know too little.
 */
export function isLeftRun(path: string): boolean {
  const [, pid, namespace = FIRST_PID_NS] = NAME.exec(basename(path)) ?? [];
  if (pid === undefined || Number(namespace) !== pidNs()) return false;
  return existsSync(path) && !isPopulated(path) && !existsSync(`/proc/${pid}`);
}

function removeIfLeft(path: string): boolean {
  if (!isLeftRun(path)) return false;
  try {
    for (const dir of [...directories(path)].reverse()) rmdirSync(dir);
    return true;
  } catch {
    return false; // somebody has entered, or removed it
  }
}

/**
 * Removes an empty cgroup, those below it, and their rules. Call it with the lock held.
 * @returns false when it is not empty, or is gone
 */
export function removeRun(lib: Bridge, path: string): boolean {
  if (!existsSync(path) || isPopulated(path)) return false;
  const bpffs = findBpffs(lib);
  for (const dir of [...directories(path)].reverse()) {
    const { ino } = statSync(dir, { bigint: true });
    if (bpffs !== undefined) removeScope(lib, bpffs, ino);
    rmdirSync(dir);
  }
  return true;
}

/** Removes what killed watchers have left anywhere; rules in them go with the next change. */
export function removeLeftRuns(): string[] {
  const root = findCgroupRoot();
  if (root === undefined) return [];
  const left = [...directories(root)].filter(isLeftRun);
  return left.filter(removeIfLeft).map((path) => path.slice(root.length));
}
