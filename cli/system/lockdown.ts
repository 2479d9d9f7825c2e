// SPDX-License-Identifier: MIT
// Kernel lockdown: what it is said to be, and what it does. In mode confidentiality BPF programs may not have the
// helpers that read memory.

import { existsSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import { tryProgram } from "../bridge/probe.ts";
import { fsType } from "./host.ts";
import { readOrEmpty, viewpoints } from "./viewpoint.ts";

const SECURITYFS = "/sys/kernel/security";
const SECURITYFS_MAGIC = 0x73636673n;

/** The mode as securityfs has it; undefined where that is mounted nowhere that we can see. */
export function lockdownMode(lib: Bridge): string | undefined {
  for (const view of viewpoints()) {
    const dir = view.root + SECURITYFS;
    const mode = /\[(\w+)\]/.exec(readOrEmpty(join(dir, "lockdown")))?.[1];
    if (mode !== undefined) return mode;
    // a kernel without lockdown has no such file
    if (fsType(lib, dir) === SECURITYFS_MAGIC && !existsSync(join(dir, "lockdown"))) return "none";
  }
  return undefined;
}

/** May BPF programs read memory by a helper? Tried; undefined when that could not be. */
export async function memoryReads(lib: Bridge): Promise<boolean | undefined> {
  const result = await tryProgram(lib, "memory_reads");
  if (result >= 0) return true;
  return new Errno("load", -result).code === "EINVAL" ? false : undefined;
}
