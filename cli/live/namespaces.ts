// SPDX-License-Identifier: MIT
// The network namespaces in which a scope's sockets can be found: an iterator sees one at a time.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { visibleNamespaces } from "../agent/routes-left.ts";
import type { Scope } from "../loader/host.ts";
import { OWN_NETNS } from "./object.ts";

function inodeOf(path: string): number | undefined {
  try {
    return Number(/\d+/.exec(readlinkSync(path))?.[0]);
  } catch {
    return undefined; // gone meanwhile, or of another pid namespace
  }
}

/** Process ids of a cgroup and of those below. */
function* processes(cgroup: string): Generator<string> {
  try {
    yield* readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
  } catch {
    // gone meanwhile, or threaded: its threads are listed above it
  }
  let below: string[] = [];
  try {
    const entries = readdirSync(cgroup, { withFileTypes: true });
    below = entries.filter((entry) => entry.isDirectory()).map(({ name }) => name);
  } catch {
    // gone meanwhile
  }
  for (const name of below) yield* processes(join(cgroup, name));
}

/** Has the scope processes, whose sockets there could be? */
export function hasProcesses(scope: Scope): boolean {
  return scope.name === "/" || !processes(scope.path).next().done;
}

/**
 * Files that stand for the namespaces: the caller's, and those of the scope's processes. In the root
 * scope the caller's alone, or with `all` every one that can be seen.
 */
export function namespacesOf(scope: Scope, all: boolean): string[] {
  if (scope.name === "/") return all ? [...visibleNamespaces().values()] : [OWN_NETNS];
  const found = new Map<number, string>();
  const own = inodeOf(OWN_NETNS);
  if (own !== undefined) found.set(own, OWN_NETNS);
  for (const pid of processes(scope.path)) {
    const path = `/proc/${pid}/ns/net`;
    const inode = inodeOf(path);
    if (inode !== undefined && !found.has(inode)) found.set(inode, path);
  }
  return [...found.values()];
}
