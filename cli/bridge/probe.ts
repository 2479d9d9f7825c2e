// SPDX-License-Identifier: MIT
// Tries what a kernel can do, by loading a small program that uses it (embedded-bpf/probe.bpf.c).

import { type Bridge, cstr, unwrap } from "./bridge.ts";
import { openObject } from "./open-object.ts";
import { SOCK_TYPES, type SockType } from "./sock-types.ts";

const SOCK_PROBES = Object.fromEntries(
  Object.keys(SOCK_TYPES).map((type) => [type, { name: `${type} programs` }]),
) as Record<SockType, { name: string }>;

/** The programs, and what they are for; what an extension cannot do without one says the extension. */
export const PROBES = {
  header_options: { name: "TCP header options", without: "no option can be sent" },
  socket_storage: { name: "socket storage", without: "no connection can be tracked" },
  core_reads: { name: "CO-RE reads", without: "applications' own choices cannot be seen" },
  memory_reads: { name: "memory reads", without: "the programs of others are not told apart" },
  netns_cookie: { name: "namespace cookies", without: "root scope rules are for every network namespace" },
  ring_buffer: { name: "ring buffer", without: "events cannot be watched" },
  socket_iterator: { name: "socket iterator", without: "connections cannot be listed" },
  bpf_timers: { name: "BPF timers" },
  ...SOCK_PROBES,
} as const satisfies Record<string, { name: string; without?: string }>;

export type Probe = keyof typeof PROBES;

/** Loads one of them alone; 0, or a negative errno. */
export async function tryProgram(lib: Bridge, program: Probe): Promise<number> {
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
