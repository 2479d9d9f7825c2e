// SPDX-License-Identifier: MIT

import { asset } from "./assets.ts";
import { type Bridge, cstr, unwrap } from "./bridge.ts";

/** Opens one of the embedded objects; close it with tcpx_object_close. */
export async function openObject(
  lib: Bridge,
  name: "list" | "live" | "probe" | "site" | "tcpx" | "thinner",
): Promise<bigint> {
  return openBytes(lib, name, await asset(name));
}

/** The same of an object that was put together here. */
export function openBytes(lib: Bridge, name: string, bytes: Uint8Array): bigint {
  const out = new BigUint64Array(1);
  unwrap("open object", lib.tcpx_object_open(bytes, BigInt(bytes.length), cstr(name), out));
  return out[0]!;
}
