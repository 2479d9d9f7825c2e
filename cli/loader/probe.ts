// SPDX-License-Identifier: MIT
// Tries what a kernel can do, by loading a small program that uses it (embedded-bpf/probe.bpf.c).

import { type Bridge, cstr, unwrap } from "./bridge.ts";
import { openObject } from "./object.ts";

/** Loads one of the probe programs alone; 0, or a negative errno. */
export async function tryProgram(lib: Bridge, program: string): Promise<number> {
  lib.tcpx_raise_memlock();
  const object = await openObject(lib, "probe");
  try {
    unwrap("autoload", lib.tcpx_object_autoload(object, null, 0));
    unwrap("autoload", lib.tcpx_object_autoload(object, cstr(program), 1));
    return lib.tcpx_object_load(object);
  } finally {
    lib.tcpx_object_close(object);
  }
}
