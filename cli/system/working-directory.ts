// SPDX-License-Identifier: MIT
// The working directory, which may be gone, or have no name here: the runtime does not start in such a one, so the
// executable's first code (native-loader/start/start.c) has left it, and it is entered again before anything is done.

import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";

/** struct tcpx_start_head (native-loader/start/started.h), at the page of the entry point. */
const HEAD = { magic: "tcpx start code\0", started: 24, page: 4096 };
const AT_ENTRY = 9n;

/** undefined where it may not be read: of a program with capabilities of its own (setcap), which others start. */
function auxiliaryVector(): BigUint64Array | undefined {
  try {
    return new BigUint64Array(new Uint8Array(readFileSync("/proc/self/auxv")).buffer);
  } catch {
    return undefined;
  }
}

/** Of struct tcpx_started: the directory's descriptor; -1, or undefined where that code has not run. */
async function leftDirectory(): Promise<number | undefined> {
  const vector = auxiliaryVector();
  if (!vector) return (await import("../bridge/bridge.ts")).bridge().then((lib) => lib.tcpx_left_directory());
  const { read } = await import("bun:ffi"); // takes time, as the bridge does, and is seldom needed
  const at = vector.findIndex((value, i) => i % 2 === 0 && value === AT_ENTRY);
  if (at < 0) return undefined;
  const entry = Number(vector[at + 1]);
  const page = entry - (entry % HEAD.page);
  const isOurs = [...HEAD.magic].every((letter, i) => read.u8(page, i) === letter.charCodeAt(0));
  return isOurs ? read.i32(Number(read.u64(page, HEAD.started)), 0) : undefined;
}

/** The runtime goes on to believe that we are in the other one. */
let nameless = false;

/** Call it first. @throws TcpxError when the directory may not be entered */
export async function returnToDirectory(): Promise<void> {
  if (process.cwd() !== "/") return; // which is where the first code goes
  const directory = (await leftDirectory()) ?? -1;
  if (directory < 0) return;
  nameless = true;
  const { bridge } = await import("../bridge/bridge.ts");
  const error = (await bridge()).tcpx_enter_directory(directory);
  if (error < 0) {
    const hint = "change to another one";
    throw new TcpxError(Exit.UNSUPPORTED, "the working directory is gone, and may not be entered", { hint });
  }
}

/** Without "." and "..", as resolve(); undefined for a relative path where the working directory has no name. */
export function absolutePath(path: string): string | undefined {
  return nameless && !path.startsWith("/") ? undefined : resolve(path);
}
