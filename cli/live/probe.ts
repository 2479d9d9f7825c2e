// SPDX-License-Identifier: MIT
// What this kernel can do for sockets that exist: tried with the very programs that would do it.

import { readFileSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, lacksRoom } from "../bridge/bridge.ts";
import { extensionOf } from "../extensions/index.ts";
import { loadError } from "../loader/load-error.ts";
import type { SlotObject } from "../loader/slots.ts";
import { LiveObject, type LiveProgram, State } from "./iterators.ts";
import { requireHooks, slotOf } from "./slot.ts";

const BTF = "/sys/kernel/btf/vmlinux";

/** Loads them one by one; undefined when the kernel takes all of them. */
export const tryLive = (lib: Bridge, ...programs: LiveProgram[]) => tryPrograms(lib, programs);

async function tryPrograms(lib: Bridge, programs: readonly LiveProgram[], slot?: SlotObject) {
  for (const program of programs) {
    try {
      using _ = await LiveObject.load(lib, { program, scope: 0n, state: State.NONE, slot });
    } catch (error) {
      if (error instanceof Errno) return error;
      throw error;
    }
  }
  return undefined;
}

/** Can an iterator set callback flags (6.12)? The socket option for it has a name in the kernel's types. */
export function canAnnounce(): boolean {
  try {
    return readFileSync(BTF).includes("TCP_BPF_SOCK_OPS_CB_FLAGS");
  } catch {
    return false;
  }
}

/**
 * Does the verifier take the hooks of an extension that tcpx does not ship?
 * @throws TcpxError; also where the kernel cannot do it for any
 */
export async function requireSlot(lib: Bridge, slot: SlotObject, announce: boolean): Promise<void> {
  if (!announce) await requireHooks(lib, slot);
  const cause = await tryPrograms(lib, ["list", "change"], slot);
  if (!cause) return;
  throw new TcpxError(Exit.UNSUPPORTED, `the kernel refused --live of ${slot.name} (${cause.code})`, {
    value: slot.name,
    cause,
    hint: "the verifier's words are there with --verbose; without --live the rule is for new connections",
  });
}

/**
 * Before anything is changed.
 * @param ext the extension that it is about
 * @param announce all that is to be done is to tell peers
 * @throws TcpxError (unsupported)
 */
export async function requireLive(lib: Bridge, ext: string, announce: boolean): Promise<void> {
  const cause = await tryLive(lib, "list", "change");
  const slot = cause ? undefined : slotOf(extensionOf({ ext }));
  if (slot) await requireSlot(lib, slot, announce);
  if (!cause && (!announce || canAnnounce())) return;
  if (cause && (cause.code === "EPERM" || lacksRoom(cause.code))) throw await loadError(lib, cause);
  const [what, since] = cause ? ["change", "5.15"] : ["announce anything on", "6.12"];
  throw new TcpxError(Exit.UNSUPPORTED, `this kernel cannot ${what} connections that exist (--live)`, {
    value: "--live",
    hint: `that needs Linux ${since}; without --live the rule is for new connections`,
    ...(cause && { cause }),
  });
}
