// SPDX-License-Identifier: MIT
// What killed commands and removed cgroups have left.

import { join } from "node:path";
import type { Bridge } from "./bridge.ts";
import { findBpffs, findCgroupRoot } from "./host.ts";
import { listPins } from "./maps.ts";
import * as pins from "./pins.ts";
import { isLeftRun, removeRun } from "./run-scopes.ts";
import { type Lock, readScope, type ScopeState } from "./store.ts";

/** Has a killed command left something? May be true while another one is at work. */
export function hasStale(lib: Bridge): boolean {
  const bpffs = findBpffs(lib);
  if (!bpffs) return false;
  return pins.scopeIds(bpffs).some((id) => {
    const names = listPins(pins.scopeDir(bpffs, id));
    return !names.includes("link") || names.filter((name) => name.startsWith("gen-")).length > 1;
  });
}

/** Removes what killed commands and removed cgroups have left. Call it with the lock held. */
export function removeStale(lib: Bridge, held: Lock): ScopeState[] {
  const gone: ScopeState[] = [];
  for (const id of pins.scopeIds(held.bpffs)) {
    const state = readScope(lib, id);
    const path = join(findCgroupRoot() ?? "/", state?.name ?? "/");
    if (state?.waiting) continue;
    if (state?.alive && !(isLeftRun(path) && removeRun(lib, path))) {
      pins.removeOldGenerations(pins.scopeDir(held.bpffs, id), state.progId);
      continue;
    }
    if (state) gone.push(state);
    pins.removeScope(lib, held.bpffs, id);
  }
  return gone;
}
