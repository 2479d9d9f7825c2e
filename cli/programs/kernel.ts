// SPDX-License-Identifier: MIT
// What this kernel has for programs of others, as its types (BTF) say: trying would register something.

import { readFileSync } from "node:fs";
import { BTF } from "../system/host.ts";

let types: Buffer | undefined;

/** Has the kernel a type of this name? Undefined: its types cannot be read. */
export function kernelHasType(name: string): boolean | undefined {
  try {
    types ??= readFileSync(BTF);
  } catch {
    return undefined;
  }
  return types.includes(`\0${name}\0`, 0, "latin1");
}

/** Congestion controls made of BPF programs, since 5.6. */
export const hasStructOps = () => kernelHasType("bpf_struct_ops_tcp_congestion_ops");

/** Links that hold them, which can be given another one in a step: since 6.4. */
export const hasOpsLinks = () => kernelHasType("bpf_struct_ops_link") === true;
