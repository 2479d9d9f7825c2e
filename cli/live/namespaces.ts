// SPDX-License-Identifier: MIT
// The network namespaces in which a scope's sockets can be found: an iterator sees one at a time.

import type { Scope } from "../system/host.ts";
import { everyNamespace, type Namespaces, namespaces, ownNamespace, pidsBelow } from "../system/netns.ts";

/** Has the scope processes, whose sockets there could be? */
export function hasProcesses(scope: Scope): boolean {
  return scope.name === "/" || (scope.path !== undefined && pidsBelow(scope.path).length > 0);
}

/**
 * The caller's, and those of the scope's processes. In the root scope the caller's alone, or with `all`
 * every one that can be seen.
 */
export function namespacesOf(scope: Scope, all: boolean): Namespaces {
  if (scope.name !== "/" && scope.path !== undefined) return namespaces(scope.path);
  return all ? everyNamespace() : { found: [ownNamespace()], hidden: 0 };
}
