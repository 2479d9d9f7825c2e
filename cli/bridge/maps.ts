// SPDX-License-Identifier: MIT
// Maps, links and programs by file descriptor.

import { readdirSync } from "node:fs";
import { decode, type Struct, type StructName, sizeOf } from "../layout/struct.ts";
import { type Bridge, cstr, fromCstr, isErrno, unwrap } from "./bridge.ts";

/** enum bpf_attach_type */
export const INGRESS = 0;
export const EGRESS = 1;
export const SOCK_OPS = 3;

/** Closes when its block ends. */
export class Fd implements Disposable {
  constructor(
    private readonly lib: Bridge,
    readonly fd: number,
  ) {}
  [Symbol.dispose](): void {
    this.lib.tcpx_close(this.fd);
  }
}

/** The pinned object at this path, or undefined when there is none. */
export function openPin(lib: Bridge, path: string): Fd | undefined {
  try {
    return new Fd(lib, unwrap(`open ${path}`, lib.tcpx_get(cstr(path))));
  } catch (error) {
    if (isErrno(error, "ENOENT")) return undefined;
    throw error;
  }
}

export function pin(lib: Bridge, fd: number, path: string): void {
  unwrap(`pin ${path}`, lib.tcpx_pin(fd, cstr(path)));
}

/** The kernel's number for a map: another one when it was made anew. */
export function mapId(lib: Bridge, fd: number): number {
  const bytes = new Uint8Array(40);
  unwrap("map info", lib.tcpx_map_info(fd, bytes));
  return new DataView(bytes.buffer).getUint32(0, true);
}

/** enum bpf_map_type */
export function mapType(lib: Bridge, fd: number): number {
  const bytes = new Uint8Array(40);
  unwrap("map info", lib.tcpx_map_info(fd, bytes));
  return new DataView(bytes.buffer).getUint32(4, true);
}

/** Bytes of one value. */
export function valueSize(lib: Bridge, fd: number): number {
  const bytes = new Uint8Array(40);
  unwrap("map info", lib.tcpx_map_info(fd, bytes));
  return new DataView(bytes.buffer).getUint32(12, true);
}

export interface LinkInfo {
  linkId: number;
  progId: number;
  /** 0: the cgroup has been removed. */
  cgroupId: bigint;
}

export function linkInfo(lib: Bridge, fd: number): LinkInfo {
  const view = new DataView(new ArrayBuffer(24));
  unwrap("link info", lib.tcpx_link_info(fd, new Uint8Array(view.buffer)));
  return {
    linkId: view.getUint32(0, true),
    progId: view.getUint32(4, true),
    cgroupId: view.getBigUint64(8, true),
  };
}

export interface ProgInfo {
  id: number;
  runs: bigint;
  runNs: bigint;
  name: string;
  /** The sum of its code. */
  tag: string;
}

export function progInfo(lib: Bridge, fd: number): ProgInfo {
  const bytes = new Uint8Array(48);
  unwrap("program info", lib.tcpx_prog_info(fd, bytes));
  const view = new DataView(bytes.buffer);
  return {
    id: view.getUint32(0, true),
    runs: view.getBigUint64(8, true),
    runNs: view.getBigUint64(16, true),
    name: fromCstr(bytes.subarray(24, 40)),
    tag: bytes.subarray(40, 48).toHex(),
  };
}

/** One element of an array map. */
export function lookup(lib: Bridge, fd: number, key: Uint8Array, size: number): Uint8Array {
  const value = new Uint8Array(size);
  unwrap("map look-up", lib.tcpx_map_lookup(fd, key, value));
  return value;
}

/** The first value of an array map of any layout: one that was shorter or longer differs at its end only. */
export function firstStruct<S extends StructName>(lib: Bridge, { fd }: Fd, name: S): Struct<S> {
  const bytes = new Uint8Array(sizeOf(name));
  bytes.set(lookup(lib, fd, new Uint8Array(4), valueSize(lib, fd)).subarray(0, bytes.length));
  return decode(name, bytes);
}

/** The first `count` values of an array map, back to back. */
export function arrayValues(lib: Bridge, fd: number, count: number, size: number): Uint8Array {
  const values = new Uint8Array(count * size);
  if (count === 0) return values;
  const keys = new Uint8Array(count * 4);
  const read = unwrap("map read", lib.tcpx_map_lookup_batch(fd, keys, values, count));
  return values.subarray(0, read * size);
}

export function update(lib: Bridge, fd: number, keys: Uint8Array, values: Uint8Array, count: number): void {
  if (count > 0) unwrap("map update", lib.tcpx_map_update_batch(fd, keys, values, count, 0n));
}

/** The u32 keys of an array map. */
export function indexes(count: number): Uint8Array {
  return new Uint8Array(Uint32Array.from({ length: count }, (_, i) => i).buffer);
}

const BPF_F_QUERY_EFFECTIVE = 1;

/** What is attached directly to a cgroup directory, or with `effective` all that runs for it. */
export function attachedTo(
  lib: Bridge,
  cgroupFd: number,
  type: number,
  effective = false,
): { ids: number[]; flags: number } {
  const ids = new Uint32Array(64);
  const count = new Uint32Array([ids.length]);
  const flags = new Uint32Array(1);
  unwrap(
    "query",
    lib.tcpx_prog_query(cgroupFd, type, effective ? BPF_F_QUERY_EFFECTIVE : 0, flags, ids, count),
  );
  return { ids: [...ids.subarray(0, count[0])], flags: flags[0]! };
}

/** Entries of a bpffs directory; none when it is not there, or is no directory. */
export function listPins(dir: string): string[] {
  try {
    return readdirSync(dir);
  } catch (error) {
    if (["ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}
