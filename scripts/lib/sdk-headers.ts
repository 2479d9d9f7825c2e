// SPDX-License-Identifier: MIT
// The headers that extensions are compiled with, for the executable: no host need have any.

import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** By the path that `#include` names: where it is from, and the file there. */
const HEADERS: Record<string, readonly ["bpf" | "sdk" | "libbpf", string]> = {
  "tcpx_ext.h": ["bpf", "tcpx_ext.h"],
  "linux/types.h": ["sdk", "linux/types.h"],
  "linux/bpf.h": ["libbpf", "include/uapi/linux/bpf.h"],
  "linux/bpf_common.h": ["libbpf", "include/uapi/linux/bpf_common.h"],
  "bpf/bpf_helpers.h": ["libbpf", "src/bpf_helpers.h"],
  "bpf/bpf_helper_defs.h": ["libbpf", "src/bpf_helper_defs.h"],
  "bpf/bpf_endian.h": ["libbpf", "src/bpf_endian.h"],
  "bpf/bpf_core_read.h": ["libbpf", "src/bpf_core_read.h"],
  "bpf/bpf_tracing.h": ["libbpf", "src/bpf_tracing.h"],
};

/** All of them in one text: a JSON object by path. @param libbpf its source package, unpacked */
export async function sdkHeaders(root: string, libbpf: string): Promise<string> {
  const from = { bpf: join(root, "embedded-bpf"), sdk: join(root, "cli/sdk/include"), libbpf };
  const texts: Record<string, string> = {};
  for (const [path, [place, file]] of Object.entries(HEADERS))
    texts[path] = await readFile(join(from[place], file), "utf8");
  return `${JSON.stringify(texts)}\n`;
}
