// SPDX-License-Identifier: MIT
// What killed commands and removed cgroups have left.

import type { Bridge } from "../bridge/bridge.ts";
import { listPins } from "../bridge/maps.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { findBpffs } from "../system/host.ts";
import * as pins from "./pins.ts";
import { isLeftRun, removeRun } from "./run-scopes.ts";
import { settleLinks } from "./sock-links.ts";
import { readHead, type ScopeHead } from "./state.ts";
import type { Lock } from "./store.ts";

/** Has a killed command left something? May be true while another one is at work. */
export function hasStale(lib: Bridge): boolean {
  const bpffs = findBpffs(lib);
  if (!bpffs) return false;
  return pins.allScopeDirs(bpffs).some((dir) => {
    const names = listPins(dir);
    return !names.includes("link") || names.filter((name) => name.startsWith("gen-")).length > 1;
  });
}

/** Removes what killed commands and removed cgroups have left. Call it with the lock held. */
export function removeStale(lib: Bridge, held: Lock): ScopeHead[] {
  const gone: ScopeHead[] = [];
  pins.removePin(`${pins.sitePath(held.bpffs)}-new`);
  const ids = pins.layouts(held.bpffs).flatMap((layout) => pins.scopeIds(held.bpffs, layout));
  for (const id of new Set(ids)) {
    const state = readHead(lib, id);
    if (state?.waiting) continue;
    const { path } = state ?? {};
    const isLeft = path !== undefined && isLeftRun(path) && removeRun(lib, path);
    if (state?.alive && !isLeft) {
      // of an older layout: what a killed take-over has made serves its links until the next one
      if (state.layout !== LAYOUT_VERSION) continue;
      const dir = pins.scopeDir(held.bpffs, id);
      const names = listPins(dir);
      if (!state.damaged) settleLinks(lib, dir, state.progId, names);
      pins.removeOldGenerations(dir, state.progId, names);
      continue;
    }
    if (state) gone.push(state);
    pins.removeScope(lib, held.bpffs, id);
  }
  return gone;
}
