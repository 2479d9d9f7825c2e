// SPDX-License-Identifier: MIT
// What most commands begin with: the bridge, and the permission to use it.

import type { ScopeFlags } from "../base/args.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, bridge } from "../bridge/bridge.ts";
import { type FoundScope, resolveScope } from "../loader/named-scope.ts";
import { siteSeen } from "../loader/site-map.ts";
import { readScope, readScopes, type ScopeState } from "../loader/state.ts";
import { unseenError } from "../loader/unseen.ts";
import type { Netns } from "../policy/rule.ts";
import { currentNetns, requireCapabilities, type Work } from "../system/host.ts";
import type { Site } from "../wire/site.ts";

export interface Host {
  lib: Bridge;
  /** The scope that was named when the host was opened; else the root. */
  scope(): FoundScope;
  /** States of the scope that was named, or of all scopes. */
  states(): ScopeState[];
  /** The site's table, as this command has seen it first. */
  site(): Site;
  /** The caller's network namespace; null where the kernel cannot tell. */
  netns(): Netns | null;
}

/** @throws TcpxError: there is no such scope, or one that cannot be seen from here */
function located(lib: Bridge, flags: ScopeFlags): FoundScope {
  try {
    return resolveScope(lib, flags);
  } catch (error) {
    // what is mounted over a cgroup hides it, too
    const isUsage = error instanceof TcpxError && error.code === Exit.USAGE;
    if (isUsage && (error.absent || flags.cgroup !== undefined)) throw unseenError(lib, flags) ?? error;
    throw error;
  }
}

/**
 * Opens the host.
 * @param flags name a scope; they are checked before the permission is
 * @param work what is to be done: others may need less
 * @throws TcpxError (usage) when there is no such scope, (permission)
 */
export async function openHost(flags: ScopeFlags = {}, work: Work = "change"): Promise<Host> {
  const lib = await bridge();
  const isNamed = Object.values(flags).some((value) => value !== undefined);
  const named = isNamed ? located(lib, flags) : undefined;
  requireCapabilities(lib, work);
  return {
    lib,
    scope: () => named ?? resolveScope(lib, {}),
    states: () => (named ? [readScope(lib, named.id) ?? []].flat() : readScopes(lib)),
    site: () => siteSeen(lib),
    netns: () => currentNetns(lib),
  };
}
