// SPDX-License-Identifier: MIT
// Objects of extensions that tcpx does not ship, linked to our program: in memory, before anything is touched.

import { meant } from "../base/did-you-mean.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import { Hook } from "../layout/layout.generated.ts";
import { asset } from "./assets.ts";
import { type Bridge, cstr, Errno, unwrap } from "./bridge.ts";

/** What an object is linked as. */
export interface Linkable {
  /** For people. */
  name: string;
  slot: number;
  bytes: Uint8Array;
}

export interface Linked {
  bytes: Uint8Array;
  /** By slot: a bit for each hook that its object has. */
  hooks: Map<number, number>;
}

/** Names of the hooks of tcpx_ext.h, each at the place of its bit. */
export const HOOKS = Object.entries(Hook)
  .filter(([name]) => name !== "COUNT")
  .sort(([, a], [, b]) => a - b)
  .map(([name]) => name.toLowerCase());

/** Room for what the linker adds to the sum of the objects. */
const SPARE = 1 << 20;

function whyOf(lib: Bridge, linker: bigint): string {
  const out = new Uint8Array(512);
  const n = lib.tcpx_linker_why(linker, out, out.length);
  return n > 0 ? new TextDecoder().decode(out.subarray(0, n)) : "";
}

/** @throws TcpxError (failed) with the linker's own words, where it has some */
function checked(lib: Bridge, linker: bigint, name: string, result: number): number {
  if (result >= 0) return result;
  const error = new Errno("link", -result);
  const why = whyOf(lib, linker) || `${name} cannot be linked (${error.code})`;
  throw new TcpxError(Exit.FAILED, `extension ${why}`, { value: name, cause: error, hint: hintFor(why) });
}

/** What to do about the linker's words. */
function hintFor(why: string): string {
  const [, hook] = /does not call: (\w+)$/.exec(why) ?? [];
  if (hook !== undefined) return meant(hook, HOOKS, `hooks are ${HOOKS.join(", ")}`);
  if (/ needs api \d/.test(why)) return "upgrade tcpx, or get the extension for this api";
  if (/ calls what nobody offers/.test(why))
    return "define it in the source; what tcpx offers is in tcpx_ext.h";
  if (/ has a section '/.test(why)) return "whole programs are loaded by `tcpx ext load`";
  return "build it anew with the tcpx_ext.h of this tcpx";
}

/**
 * Links these to our program.
 * @param to that of scopes; or what changes connections that exist, which is for one, in slot 0
 * @throws TcpxError (failed) for an object that is damaged, or is no extension for this tcpx
 */
export async function linkObjects(
  lib: Bridge,
  objects: readonly Linkable[],
  to: "slots" | "live-slots" = "slots",
): Promise<Linked> {
  const core = await asset(to);
  const out = new BigUint64Array(1);
  unwrap("linker", lib.tcpx_linker_new(core, BigInt(core.length), out));
  const linker = out[0]!;
  try {
    const names = cstr(HOOKS.join(" "));
    const hooks = new Map<number, number>();
    for (const { name, slot, bytes } of objects) {
      const has = new Uint32Array(1);
      const size = BigInt(bytes.length);
      const source = bytes.length > 0 ? bytes : new Uint8Array(1);
      checked(lib, linker, name, lib.tcpx_linker_add(linker, source, size, slot, cstr(name), names, has));
      hooks.set(slot, has[0]!);
    }
    const room = objects.reduce((sum, { bytes }) => sum + bytes.length, 2 * core.length + SPARE);
    const linked = new Uint8Array(room);
    const all = objects.map(({ name }) => name).join(", ");
    const size = checked(lib, linker, all, lib.tcpx_linker_link(linker, linked, BigInt(room)));
    return { bytes: linked.subarray(0, size), hooks };
  } finally {
    lib.tcpx_linker_close(linker);
  }
}
