// SPDX-License-Identifier: MIT
// What most commands begin with: the bridge, and the permission to use it.

import type { ScopeFlags } from "../args.ts";
import { type Bridge, bridge } from "../loader/bridge.ts";
import { currentNetns, requireCapabilities, type Work } from "../loader/host.ts";
import { siteSeen } from "../loader/site.ts";
import { readScope, readScopes, type ScopeState } from "../loader/state.ts";
import type { Netns } from "../policy/rule.ts";
import { type FoundScope, resolveScope } from "../system/scope.ts";
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

/**
 * Opens the host.
 * @param flags name a scope; they are checked before the permission is
 * @param work what is to be done: others may need less
 * @throws TcpxError (usage) when there is no such scope, (permission)
 */
export async function openHost(flags: ScopeFlags = {}, work: Work = "change"): Promise<Host> {
  const lib = await bridge();
  const isNamed = Object.values(flags).some((value) => value !== undefined);
  const named = isNamed ? resolveScope(lib, flags) : undefined;
  requireCapabilities(lib, work);
  return {
    lib,
    scope: () => named ?? resolveScope(lib, {}),
    states: () => (named ? [readScope(lib, named.id) ?? []].flat() : readScopes(lib)),
    site: () => siteSeen(lib),
    netns: () => currentNetns(lib),
  };
}
