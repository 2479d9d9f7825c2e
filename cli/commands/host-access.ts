// SPDX-License-Identifier: MIT
// What most commands begin with: the bridge, and the permission to use it.

import { type Bridge, bridge } from "../loader/bridge.ts";
import { currentNetns, findScope, requireCapabilities, type Scope } from "../loader/host.ts";
import { readScope, readScopes, type ScopeState } from "../loader/store.ts";
import type { Netns } from "../policy/rule.ts";

export interface Host {
  lib: Bridge;
  /** @throws TcpxError (usage) when it is no cgroup2 directory */
  scope(cgroup: string | undefined): Scope;
  /** States of all scopes, or of one. */
  states(cgroup?: string | undefined): ScopeState[];
  /** The caller's network namespace; null where the kernel cannot tell. */
  netns(): Netns | null;
}

/** Opens the host for reading and changing rules. `cgroup` is checked before the permission is. */
export async function openHost(cgroup?: string): Promise<Host> {
  const lib = await bridge();
  if (cgroup !== undefined) findScope(lib, cgroup);
  requireCapabilities(lib);
  return {
    lib,
    scope: (path) => findScope(lib, path),
    states: (path) =>
      path === undefined ? readScopes(lib) : [readScope(lib, findScope(lib, path).id) ?? []].flat(),
    netns: () => currentNetns(lib),
  };
}
