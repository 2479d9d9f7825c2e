// SPDX-License-Identifier: MIT

import { asset } from "./assets.ts";
import { type Bridge, cstr, unwrap } from "./bridge.ts";
import { SOCK_OBJECTS } from "./sock-objects.generated.ts";

/** Opens an object that is at hand. */
export function openBytes(lib: Bridge, bytes: Uint8Array, name: string): bigint {
  const out = new BigUint64Array(1);
  unwrap("open object", lib.tcpx_object_open(bytes, BigInt(bytes.length), cstr(name), out));
  return out[0]!;
}

/** Opens one of the embedded objects; close it with tcpx_object_close. */
export async function openObject(
  lib: Bridge,
  name: "list" | "list-slots" | "live" | "probe" | "site" | "tcpx" | "thinner",
): Promise<bigint> {
  return openBytes(lib, await asset(name), name);
}

/** The same of an extension's programs of other types; undefined: it has none. */
export async function openSockObject(lib: Bridge, ext: string): Promise<bigint | undefined> {
  const path = SOCK_OBJECTS[ext];
  return path === undefined ? undefined : openBytes(lib, await Bun.file(path).bytes(), "sock");
}
