// SPDX-License-Identifier: MIT
// What this kernel can do for sockets that exist: tried with the very programs that would do it.

import { readFileSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, lacksRoom } from "../bridge/bridge.ts";
import { loadError } from "../loader/load-error.ts";
import { LiveObject, type LiveProgram, State } from "./iterators.ts";

const BTF = "/sys/kernel/btf/vmlinux";

/** Loads them one by one; undefined when the kernel takes all of them. */
export async function tryLive(lib: Bridge, ...programs: LiveProgram[]): Promise<Errno | undefined> {
  for (const program of programs) {
    try {
      using _ = await LiveObject.load(lib, { program, scope: 0n, state: State.NONE });
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
 * Before anything is changed.
 * @param announce all that is to be done is to tell peers
 * @throws TcpxError (unsupported)
 */
export async function requireLive(lib: Bridge, announce: boolean): Promise<void> {
  const cause = await tryLive(lib, "list", "change");
  if (!cause && (!announce || canAnnounce())) return;
  if (cause && (cause.code === "EPERM" || lacksRoom(cause.code))) throw await loadError(lib, cause);
  const [what, since] = cause ? ["change", "5.15"] : ["announce anything on", "6.12"];
  throw new TcpxError(Exit.UNSUPPORTED, `this kernel cannot ${what} connections that exist (--live)`, {
    value: "--live",
    hint: `that needs Linux ${since}; without --live the rule is for new connections`,
    ...(cause && { cause }),
  });
}
