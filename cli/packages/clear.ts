// SPDX-License-Identifier: MIT
// Takes an extension off this host once its rules have gone: out of the programs that still have it in them, for
// connections of before, then what they keep of it, then its file. Whoever is killed on the way gives the command again.

import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import { layoutDir, removePin } from "../loader/pins.ts";
import { provideSlots, slotMap } from "../loader/slots.ts";
import { readHeads, readScopes } from "../loader/state.ts";
import { lock } from "../loader/store.ts";
import type { Patience } from "../system/lock.ts";
import { unstore } from "./folder.ts";
import { areAsRead, type Held, rulesOf } from "./here.ts";
import { ChangedMeanwhile, objectsOf, reload, scopesWith } from "./place.ts";

/**
 * @param all what the host has, as it was looked at
 * @throws TcpxError (busy) when there are rules for it again, or another package in the place of one of them
 */
export async function clear(
  lib: Bridge,
  { id, name, held }: { id: number; name: string; held: Held | undefined },
  all: readonly Held[],
  patience: Patience,
): Promise<void> {
  using locked = await lock(lib, patience);
  if (!areAsRead(all)) throw new ChangedMeanwhile();
  if (rulesOf(readScopes(lib), { id, name }).length > 0)
    throw new TcpxError(Exit.BUSY, `another tcpx has set rules of ${name} meanwhile`, { hint: "try again" });
  provideSlots(objectsOf(all, id));
  for (const head of scopesWith(readHeads(lib), id)) await reload(lib, locked, head);
  // a scope whose cgroup has gone may have it still: nobody runs that program
  if (scopesWith(readHeads(lib), id).length === 0)
    removePin(join(layoutDir(locked.bpffs), slotMap(id - FIRST_SLOT)));
  if (held) unstore(held);
}
