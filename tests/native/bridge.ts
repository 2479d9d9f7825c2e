// SPDX-License-Identifier: MIT
// The bridge as it is shipped, through bun:ffi, without the loader above it: for the tests here.
// One folder and one set of objects per test file, so run them with --isolate, as scripts/test.ts does.

import { dlopen, FFIType, type Pointer } from "bun:ffi";
import { afterAll, expect } from "bun:test";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buildBridge } from "../../scripts/build-bridge.ts";
import { testIf } from "../support/requires.ts";

const { i32, u32, u64, ptr: p, cstring } = FFIType;
export const SYMBOLS = {
  tcpx_abi: { args: [], returns: i32 },
  tcpx_libbpf_version: { args: [], returns: cstring },
  tcpx_log_level: { args: [i32], returns: FFIType.void },
  tcpx_log_take: { args: [p, i32], returns: i32 },
  tcpx_object_open: { args: [p, u64, p, p], returns: i32 },
  tcpx_object_rodata: { args: [p, p, u64], returns: i32 },
  tcpx_object_rodata_begin: { args: [p, p, u64], returns: i32 },
  tcpx_object_reuse_map: { args: [p, p, i32], returns: i32 },
  tcpx_object_max_entries: { args: [p, p, u32], returns: i32 },
  tcpx_object_value_size: { args: [p, p, u32], returns: i32 },
  tcpx_object_autoload: { args: [p, p, i32], returns: i32 },
  tcpx_object_load: { args: [p], returns: i32 },
  tcpx_object_map_fd: { args: [p, p], returns: i32 },
  tcpx_object_prog_fd: { args: [p, p], returns: i32 },
  tcpx_object_close: { args: [p], returns: FFIType.void },
  tcpx_program_check: { args: [p, u64, p, i32], returns: i32 },
  tcpx_program_pinned: { args: [p], returns: i32 },
  tcpx_ops_linked: { args: [p, p], returns: i32 },
  tcpx_ops_set: { args: [p, p], returns: i32 },
  tcpx_ops_state: { args: [i32], returns: i32 },
  tcpx_text_new: { args: [p, p, u64], returns: i32 },
  tcpx_linker_new: { args: [p, u64, p], returns: i32 },
  tcpx_linker_add: { args: [p, p, u64, u32, p, p, p], returns: i32 },
  tcpx_linker_link: { args: [p, p, u64], returns: i32 },
  tcpx_linker_why: { args: [p, p, i32], returns: i32 },
  tcpx_linker_close: { args: [p], returns: FFIType.void },
  tcpx_prog_info: { args: [i32, p], returns: i32 },
  tcpx_prog_open: { args: [u32], returns: i32 },
  tcpx_map_open: { args: [u32], returns: i32 },
  tcpx_map_info: { args: [i32, p], returns: i32 },
  tcpx_link_create: { args: [i32, i32, i32], returns: i32 },
  tcpx_link_update: { args: [i32, i32], returns: i32 },
  tcpx_link_detach: { args: [i32], returns: i32 },
  tcpx_link_info: { args: [i32, p], returns: i32 },
  tcpx_prog_query: { args: [i32, i32, u32, p, p, p], returns: i32 },
  tcpx_pin: { args: [i32, p], returns: i32 },
  tcpx_get: { args: [p], returns: i32 },
  tcpx_map_update: { args: [i32, p, p, u64], returns: i32 },
  tcpx_map_lookup: { args: [i32, p, p], returns: i32 },
  tcpx_map_delete: { args: [i32, p], returns: i32 },
  tcpx_map_next_key: { args: [i32, p, p], returns: i32 },
  tcpx_map_update_batch: { args: [i32, p, p, u32, u64], returns: i32 },
  tcpx_map_lookup_batch: { args: [i32, p, p, u32], returns: i32 },
  tcpx_map_freeze: { args: [i32], returns: i32 },
  tcpx_possible_cpus: { args: [], returns: i32 },
  tcpx_iterate: { args: [i32, p, p, i32], returns: i32 },
  tcpx_ring_open: { args: [i32, p], returns: i32 },
  tcpx_ring_take: { args: [p, p, u32, u32], returns: i32 },
  tcpx_ring_close: { args: [p], returns: FFIType.void },
  tcpx_monotonic: { args: [p], returns: i32 },
  tcpx_left_directory: { args: [], returns: i32 },
  tcpx_enter_directory: { args: [i32], returns: i32 },
  tcpx_process_open: { args: [i32], returns: i32 },
  tcpx_process_kill: { args: [i32], returns: i32 },
  tcpx_writable: { args: [i32], returns: i32 },
  tcpx_write_now: { args: [i32, p, u32], returns: i32 },
  tcpx_close: { args: [i32], returns: i32 },
  tcpx_flock: { args: [p, i32], returns: i32 },
  tcpx_mount_bpffs: { args: [p, p], returns: i32 },
  tcpx_umount: { args: [p, p], returns: i32 },
  tcpx_fs_type: { args: [p, p], returns: i32 },
  tcpx_cgroup_path: { args: [p, u64, p, i32], returns: i32 },
  tcpx_netns_cookie: { args: [p], returns: i32 },
  tcpx_netns_new: { args: [], returns: i32 },
  tcpx_netns_enter: { args: [p], returns: i32 },
  tcpx_sockopt_of: { args: [i32, i32, i32, i32, p, i32], returns: i32 },
  tcpx_sockopt_set: { args: [i32, i32, i32, i32, p, i32], returns: i32 },
  tcpx_packet_socket: { args: [p], returns: i32 },
  tcpx_algorithm_load: { args: [p], returns: i32 },
  tcpx_jiffy_us: { args: [], returns: i32 },
  tcpx_leave_file_pages: { args: [], returns: i32 },
  tcpx_raise_memlock: { args: [], returns: i32 },
  tcpx_exec_note: { args: [], returns: i32 },
  tcpx_exec_keep: { args: [i32], returns: i32 },
  tcpx_exec: { args: [p, u64, p, u64], returns: i32 },
  tcpx_run_watch: { args: [p, u64], returns: i32 },
  tcpx_capabilities: { args: [p], returns: i32 },
  tcpx_confined: { args: [u64], returns: i32 },
  tcpx_confine: { args: [u64], returns: i32 },
  tcpx_agent_start: { args: [i32, i32, i32, p], returns: i32 },
  tcpx_agent_at_once: { args: [p, u32], returns: i32 },
  tcpx_agent_serve: { args: [p, p], returns: i32 },
  tcpx_agent_reason: { args: [p, p, i32], returns: i32 },
  tcpx_agent_denied: { args: [p, p, i32], returns: i32 },
  tcpx_agent_effect: { args: [p, p, i32], returns: i32 },
  tcpx_agent_holds: { args: [p, i32], returns: i32 },
  tcpx_agent_stats: { args: [p, p], returns: i32 },
  tcpx_agent_stop: { args: [p], returns: i32 },
  tcpx_raw_sockets: { args: [], returns: i32 },
  tcpx_held_path: { args: [p, i32], returns: i32 },
  tcpx_ipsec_policies: { args: [], returns: i32 },
  tcpx_routes_sweep: { args: [], returns: i32 },
  tcpx_routes_ask: { args: [p, p, u32], returns: i32 },
  tcpx_routes_effect: { args: [u32, p, u32, p, i32], returns: i32 },
  tcpx_routes_check: { args: [u32, p, i32], returns: i32 },
} as const;

/** What failures are, as the bridge returns them. */
export const ENOENT = -2;
export const EAGAIN = -11;
export const EBADF = -9;
export const EBUSY = -16;
export const EEXIST = -17;
export const ENODEV = -19;
export const ENOTDIR = -20;
export const EINVAL = -22;

export const CGROUP_SOCK_OPS = 3; // enum bpf_attach_type

export const { so } = await buildBridge();
export const c = dlopen(so, SYMBOLS).symbols;

/** A folder for the tests of one file, and what is still to be closed. */
export const dir = mkdtempSync(join(tmpdir(), "tcpx-bridge-test-"));
export const objects: Pointer[] = [];
afterAll(() => {
  for (const object of objects) c.tcpx_object_close(object);
  rmSync(dir, { recursive: true, force: true });
});

export const clang = Bun.which("clang");
export const isRoot = process.getuid?.() === 0;
export const asRoot = testIf(isRoot, "root");
export const mayLoad = isRoot && clang !== null;
export const withBpf = testIf(mayLoad, "root and clang");

/** A string as C has it. */
export const z = (text: string) => Buffer.from(`${text}\0`);

export function takeLog(): string {
  const out = Buffer.alloc(1 << 20);
  return out.toString("utf8", 0, c.tcpx_log_take(out, out.length));
}

/** Runs a script in a second bun, with the bridge as `c` and strings made by `z`. */
export function child(script: string) {
  return Bun.spawn(childArgv(script), { stdin: "pipe", stdout: "pipe", stderr: "inherit" });
}

export function childArgv(script: string): string[] {
  const prelude = `
    const { dlopen } = require("bun:ffi");
    const c = dlopen(${JSON.stringify(so)}, ${JSON.stringify(SYMBOLS)}).symbols;
    const z = (text) => Buffer.from(text + "\\0");
    const u64 = (call) => { const out = new BigUint64Array(1); const r = call(out); if (r < 0) throw r; return out[0]; };`;
  return [process.execPath, "-e", prelude + script];
}

const BPF_SOURCE = `
#define SEC(n) __attribute__((section(n), used))
#define N(name, val) int (*name)[val]
#define T(name, val) __typeof__(val) *name
typedef unsigned int u32; typedef unsigned long long u64;
struct lpm_key { u32 prefixlen; unsigned char data[4]; };
struct { N(type, 1); N(max_entries, 64); T(key, u32); T(value, u64); } numbers SEC(".maps");
struct { N(type, 11); N(max_entries, 1000); N(map_flags, 1); T(key, struct lpm_key); T(value, u64); } prefixes SEC(".maps");
struct { N(type, 6); N(max_entries, 4); T(key, u32); T(value, u32); } percpu SEC(".maps");
const volatile u32 limit = 7;
static void *(*lookup)(void *map, const void *key) = (void *)1;
SEC("sockops") int probe(void *ctx) { u32 k = limit; return lookup(&numbers, &k) ? 1 : 1; }
SEC("sockops") int other(void *ctx) { return 1; }
SEC("sockops") int broken(void *ctx) { return *(volatile int *)(u64)limit; }
char _license[] SEC("license") = "GPL";
`;

function compileBpf(): Buffer {
  const [source, object] = [join(dir, "t.bpf.c"), join(dir, "t.bpf.o")];
  if (!existsSync(object)) {
    writeFileSync(source, BPF_SOURCE);
    const done = Bun.spawnSync([clang!, "-g", "-O2", "-target", "bpf", "-c", source, "-o", object]);
    if (!done.success) throw new Error(done.stderr.toString());
  }
  return readFileSync(object);
}

export function open(): Pointer {
  const bytes = compileBpf();
  const out = new BigUint64Array(1);
  expect(c.tcpx_object_open(bytes, bytes.length, z("probe"), out)).toBe(0);
  const object = Number(out[0]) as Pointer;
  objects.push(object);
  expect(c.tcpx_object_autoload(object, z("broken"), 0)).toBe(0);
  return object;
}

export function load(): Pointer {
  const object = open();
  expect(c.tcpx_object_load(object)).toBe(0);
  return object;
}
