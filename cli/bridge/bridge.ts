// SPDX-License-Identifier: MIT
// Loads the embedded bridge from memory and turns its return values into TypeScript ones.

import { dlopen, FFIType, type Library, ptr } from "bun:ffi";
import { closeSync, writeSync } from "node:fs";
import { constants } from "node:os";
import { Exit, TcpxError } from "../base/errors.ts";
import { asset } from "./assets.ts";
import { symbols } from "./ffi.ts";

const ABI = 1;
const MFD_CLOEXEC = 1;
const MFD_ALLOW_SEALING = 2;
const F_ADD_SEALS = 1033;
const SEAL_ALL = 0xf;

export type Bridge = Library<typeof symbols>["symbols"];

/** A C string for a call; keep no reference beyond it. */
export function cstr(text: string): Uint8Array {
  return new TextEncoder().encode(`${text}\0`);
}

/** The text before a NUL, or all of it. */
export const fromCstr = (bytes: Uint8Array | DataView): string =>
  new TextDecoder().decode(bytes).replace(/\0.*$/s, "");

/** A system call that failed: `errno` is positive, `code` its name. */
export class Errno extends Error {
  readonly errno: number;
  readonly code: string;
  readonly syscall: string;

  constructor(call: string, errno: number) {
    const code = Object.entries(constants.errno).find(([, n]) => n === errno)?.[0] ?? `errno ${errno}`;
    super(`${call}: ${code}`);
    this.name = "Errno";
    this.errno = errno;
    this.code = code;
    this.syscall = call;
  }
}

/** Passes results >= 0 through, throws Errno for the others. */
export function unwrap(call: string, result: number): number {
  if (result < 0) throw new Errno(call, -result);
  return result;
}

const NO_ROOM: readonly unknown[] = ["ENOMEM", "EMFILE", "ENFILE", "EAGAIN", "ENOSPC", "EDQUOT"];

/** Is there too little left of something, so that a later attempt may do better? */
export const lacksRoom = (code: unknown): boolean => NO_ROOM.includes(code);

export function isErrno(error: unknown, ...codes: string[]): error is Errno {
  return error instanceof Errno && codes.includes(error.code);
}

const libcSymbols = {
  memfd_create: { args: [FFIType.ptr, FFIType.u32], returns: FFIType.i32 },
  fcntl: { args: [FFIType.i32, FFIType.i32, FFIType.i32], returns: FFIType.i32 },
} as const;

/** The C library that this process runs on: glibc's name, else musl's. */
function openLibc() {
  const arch = process.arch === "arm64" ? "aarch64" : "x86_64";
  for (const name of ["libc.so.6", `libc.musl-${arch}.so.1`]) {
    try {
      return dlopen(name, libcSymbols).symbols;
    } catch (error) {
      if (/requires the JIT/.test((error as Error).message)) {
        const hint =
          "memory that is executable must be allowed (no MemoryDenyWriteExecute=, SELinux execmem), and free";
        throw new TcpxError(Exit.UNSUPPORTED, "the runtime cannot make code here", { hint, cause: error });
      }
      // the other one
    }
  }
  throw new TcpxError(Exit.UNSUPPORTED, "neither glibc nor musl found in this process");
}

/**
 * The library goes through a sealed memfd: extracting it to /tmp would fail on noexec or
 * read-only mounts, and leave a predictable file name for others to plant.
 */
async function open(): Promise<Bridge> {
  const bytes = await asset("bridge");
  const libc = openLibc();
  const fd = libc.memfd_create(ptr(cstr("libtcpx")), MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) throw new TcpxError(Exit.UNSUPPORTED, "memfd_create failed: cannot load the libbpf bridge");
  let written = 0;
  while (written < bytes.length) written += writeSync(fd, bytes, written);
  libc.fcntl(fd, F_ADD_SEALS, SEAL_ALL);
  try {
    const lib = dlopen(`/proc/self/fd/${fd}`, symbols).symbols;
    if (lib.tcpx_abi() !== ABI) throw new TcpxError(Exit.FAILED, "the embedded bridge is of another build");
    return lib;
  } finally {
    closeSync(fd);
  }
}

let opened: Promise<Bridge> | undefined;

/** The bridge; loaded at the first call, so that commands without it start faster. */
export function bridge(): Promise<Bridge> {
  opened ??= open();
  return opened;
}

/** What libbpf and the verifier have said and nobody has taken, and how many lines are gone from its begin. */
const said = { lines: [] as string[], gone: 0 };
const LINES_MOST = 100_000;

function listen(lib: Bridge): void {
  const buffer = new Uint8Array(65536);
  const decoder = new TextDecoder();
  let text = "";
  for (let n = lib.tcpx_log_take(buffer, buffer.length); n > 0; n = lib.tcpx_log_take(buffer, buffer.length))
    text += decoder.decode(buffer.subarray(0, n), { stream: true });
  for (const line of text.split("\n")) if (line !== "") said.lines.push(line);
  const over = said.lines.length - LINES_MOST;
  if (over <= 0) return;
  said.lines.splice(0, over);
  said.gone += over;
}

/** Where the log ends now: for `logSince`. */
export function logMark(lib: Bridge): number {
  listen(lib);
  return said.gone + said.lines.length;
}

/** What was said since then; it stays for `takenLog`. */
export function logSince(lib: Bridge, mark: number): string {
  listen(lib);
  return said.lines
    .slice(Math.max(0, mark - said.gone))
    .map((line) => `${line}\n`)
    .join("");
}

/** Lines that libbpf and the verifier have said; none when the bridge was not used. */
export async function takenLog(): Promise<string[]> {
  if (!opened) return [];
  listen(await opened);
  said.gone += said.lines.length;
  return said.lines.splice(0);
}
