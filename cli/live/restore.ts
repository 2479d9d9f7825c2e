// SPDX-License-Identifier: MIT
// Giving all connections back what they had, before the record of it goes.

import { TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import { slotObject } from "../loader/slots.ts";
import { everyNamespace } from "../system/netns.ts";
import { LiveObject, State, type Tally } from "./iterators.ts";
import { requireHooks } from "./slot.ts";

export interface Restored {
  /** False: this kernel's iterators change nothing (before 5.15). */
  supported: boolean;
  namespaces: number;
  /** Settings by extension: given back, no longer ours, refused by the kernel. */
  settings: { extension: string; restored: number; kept: number; failed: number }[];
}

const NOTHING: Pick<Tally, "restored" | "kept" | "failed"> = { restored: [], kept: [], failed: [] };

/** The same of one that tcpx does not ship; without its object, or hooks that load, connections keep theirs. */
async function restoreSlot(lib: Bridge, state: State, id: number): Promise<typeof NOTHING> {
  const slot = slotObject(id);
  if (!slot) return NOTHING;
  try {
    await requireHooks(lib, slot);
    using object = await LiveObject.load(lib, { program: "restore", scope: 0n, state, slot });
    for (const netns of everyNamespace().found) object.run(netns);
    return object.tally();
  } catch (error) {
    if (!(error instanceof Errno || error instanceof TcpxError)) throw error;
    return NOTHING;
  }
}

/** Undefined when tcpx knows no connections. Not while rules are being changed. */
export async function restoreConnections(lib: Bridge): Promise<Restored | undefined> {
  using state = State.open(lib, 0n);
  if (!state.conns) return undefined;
  const result: Restored = { supported: true, namespaces: 0, settings: [] };
  try {
    using object = await LiveObject.load(lib, { program: "restore", scope: 0n, state });
    for (const netns of everyNamespace().found) if (object.run(netns)) result.namespaces++;
    const tally = object.tally();
    for (const { name, id } of extensions) {
      const { restored, kept, failed } = state.slots.at.has(id - FIRST_SLOT)
        ? await restoreSlot(lib, state, id)
        : tally;
      result.settings.push({
        extension: name,
        restored: restored[id] ?? 0,
        kept: kept[id] ?? 0,
        failed: failed[id] ?? 0,
      });
    }
    return result;
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return { ...result, supported: false };
  }
}

/** What was given back, and what was not; nothing when there was nothing. */
export function restoredLines({ supported, settings }: Restored): string[] {
  if (!supported) {
    return ["connections that exist keep what they were given: this kernel cannot change them (Linux 5.15)"];
  }
  return settings.flatMap(({ extension, restored, kept, failed }) => [
    ...(restored > 0 ? [`${extension}: gave ${restored} connection(s) back what they had`] : []),
    ...(kept > 0 ? [`${extension}: ${kept} connection(s) keep what others have set since`] : []),
    ...(failed > 0 ? [`${extension}: ${failed} connection(s) keep ours: the kernel refused the change`] : []),
  ]);
}

export function restoredJson({ supported, namespaces, settings }: Restored): Record<string, unknown> {
  const rows = settings.map(({ extension, ...counts }) => [extension, counts]);
  return { supported, namespaces, extensions: Object.fromEntries(rows) };
}
