// SPDX-License-Identifier: MIT
// Rules that an older tcpx has left become this one's: its attachments get our program.

import type { Bridge } from "../bridge/bridge.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import * as pins from "./pins.ts";
import { carrySite } from "./site-map.ts";
import { readScope, type ScopeState, scopeOf } from "./state.ts";
import { type Lock, replaceRules } from "./store.ts";

/** An older layout that still has this scope. */
const olderLayout = (bpffs: string, id: bigint): number | undefined =>
  pins.layouts(bpffs).find((layout) => layout < LAYOUT_VERSION && pins.scopeIds(bpffs, layout).includes(id));

/**
 * Takes over what older layouts have: per scope one update of its link, so that at every instant either the
 * old program or ours runs with the same rules. A kill leaves scopes of both, and the next change goes on.
 * Scopes whose cgroup has gone, and damaged ones, are left for others to judge. Call it with the lock held.
 * @returns the scopes as they were
 * @throws TcpxError when a newer tcpx has rules here, or the kernel refuses our program
 */
export async function takeOver(lib: Bridge, held: Lock): Promise<ScopeState[]> {
  const { bpffs } = held;
  const taken: ScopeState[] = [];
  const older = pins.layouts(bpffs).filter((layout) => layout !== LAYOUT_VERSION);
  for (const id of new Set(older.flatMap((layout) => pins.scopeIds(bpffs, layout)))) {
    const state = readScope(lib, id);
    const layout = olderLayout(bpffs, id);
    if (layout === undefined || state?.damaged || state?.alive === false) continue;
    const dir = pins.scopeDir(bpffs, id, layout);
    if (state && state.layout < LAYOUT_VERSION) {
      await replaceRules(lib, held, scopeOf(state), state.rules, dir);
      taken.push(state);
    }
    const own = pins.linksIn(pins.scopeDir(bpffs, id)); // the same ones, where they are there
    for (const name of pins.linksIn(dir)) {
      if (name !== "link" && !own.includes(name)) pins.detachLink(lib, dir, name);
    }
    pins.removeTree(dir);
  }
  if (older.length > 0) await carrySite(lib, bpffs);
  return taken;
}
