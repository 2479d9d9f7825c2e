// SPDX-License-Identifier: MIT
// Headers that the programs share with C outside the kernel: what embedded-bpf/tcpx_shared.h includes, and more.

import { readdir } from "node:fs/promises";
import { join, resolve } from "node:path";

const BPF = resolve(import.meta.dir, "../../embedded-bpf");

/** Their paths: all headers but those of the programs alone. */
export async function sharedHeaders(): Promise<string[]> {
  const files = await readdir(BPF, { recursive: true });
  return files
    .filter((file) => file.endsWith(".h") && !file.endsWith(".bpf.h"))
    .sort()
    .map((file) => join(BPF, file));
}
