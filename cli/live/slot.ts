// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, on connections that exist: their objects, linked to embedded-bpf/live-slots.bpf.c.

import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { type Linked, linkObjects } from "../bridge/link.ts";
import { openBytes } from "../bridge/open-object.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import type { Extension } from "../extensions/types.ts";
import { Hook } from "../layout/layout.generated.ts";
import { type SlotObject, slotObject } from "../loader/slots.ts";

/** Its object stands in slot 0 there, whatever its own is. */
function link(lib: Bridge, { name, bytes }: SlotObject): Promise<Linked> {
  const made = linked.get(bytes) ?? linkObjects(lib, [{ name, slot: 0, bytes }], "live-slots");
  linked.set(bytes, made);
  return made;
}

/** It is needed for each of the programs, and takes milliseconds. */
const linked = new WeakMap<Uint8Array, Promise<Linked>>();

/** @throws TcpxError when it cannot be linked */
export async function openSlot(lib: Bridge, slot: SlotObject): Promise<bigint> {
  return openBytes(lib, (await link(lib, slot)).bytes, "live");
}

/**
 * The object of an extension; undefined: it is built in.
 * @throws TcpxError when this host does not have it
 */
export function slotOf({ id, name }: Pick<Extension, "id" | "name">): SlotObject | undefined {
  if (id < FIRST_SLOT) return undefined;
  const slot = slotObject(id);
  if (slot) return slot;
  throw new TcpxError(
    Exit.FAILED,
    `connections that exist stay as they are: this host does not have ${name}`,
    {
      value: name,
      hint: "leave --live out, or add the extension again",
    },
  );
}

/** @throws TcpxError (unsupported) for an object without the hooks of --live */
export async function requireHooks(lib: Bridge, slot: SlotObject): Promise<void> {
  const has = (await link(lib, slot)).hooks.get(0) ?? 0;
  if ((has >>> Hook.LIVE_SET) & (has >>> Hook.LIVE_UNDO) & 1) return;
  throw new TcpxError(Exit.UNSUPPORTED, `${slot.name} cannot change connections that exist (--live)`, {
    value: "--live",
    hint: "its object has no hooks live_set and live_undo; without --live the rule is for new connections",
  });
}
