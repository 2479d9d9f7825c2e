// SPDX-License-Identifier: MIT
// The notices and licences of what the bridge embeds, in one text.

import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";

export type Library = "libbpf" | "elfutils" | "zlib";

const commentAtTop = (text: string) => text.match(/^\/\*[\s\S]*?\*\//)?.[0] ?? "";

/** LGPL and zlib ask that their notices travel with the binary. */
export async function licenceText(
  dirs: Record<Library, string>,
  versions: Record<Library, string>,
): Promise<string> {
  const read = (library: Library, file: string) => readFile(join(dirs[library], file), "utf8");
  const all = async (library: Library, pattern: RegExp) => {
    const names = (await readdir(dirs[library])).filter((name) => pattern.test(name)).sort();
    if (names.length === 0) throw new Error(`no licence text in ${dirs[library]}`);
    return Promise.all(names.map(async (name) => `--- ${name}\n\n${await read(library, name)}`));
  };
  const title = (library: Library, what: string) =>
    `===== ${what}, source package ${library} ${versions[library]} =====`;
  return [
    "tcpx embeds the following libraries, unmodified, built from these source packages of the distribution.",
    title("libbpf", "libbpf: LGPL-2.1 or BSD-2-Clause"),
    ...(await all("libbpf", /^LICENSE/)),
    "Headers that extensions are compiled with are in the executable, too: bpf_helpers.h and those beside it as\n" +
      "libbpf, bpf_helper_defs.h and linux/bpf.h, linux/bpf_common.h from the Linux kernel: GPL-2.0 WITH\n" +
      "Linux-syscall-note (programs that use the kernel's services by normal system calls are not derived from it).",
    title("elfutils", "libelf: LGPL-3 or later, or GPL-2 or later"),
    commentAtTop(await read("elfutils", "libelf/elf_begin.c")),
    ...(await all("elfutils", /^COPYING/)),
    title("zlib", "zlib: zlib licence"),
    commentAtTop(await read("zlib", "zlib.h")),
    "",
  ].join("\n\n");
}
