// SPDX-License-Identifier: MIT

import { globalArgs, textArg } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { buildAny, isExtension } from "../sdk/build.ts";
import { requireFree } from "../sdk/collide.ts";
import { clangArgs } from "../sdk/flags.ts";
import { readFolder } from "../sdk/folder.ts";
import { made, writeMade } from "../sdk/made.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

export const extBuild = leaf({
  summary: "Build the extension of a folder: its object, and the package that `ext add` takes.",
  args: {
    dir: { type: "positional", required: false, valueHint: "DIR", description: "Its folder; default: here" },
    ...clangArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx ext build", "The extension of this folder"],
    ["tcpx ext build tag --clang /opt/llvm/bin/clang", "Another one, with another clang"],
  ],
  notes: [
    "NAME.bpf.c is compiled with the headers that are inside tcpx, and none of the host but clang's own; other files of " +
      "the folder can be included. The same folder gives the same bytes, wherever it is. A folder without " +
      "extension.toml has a whole program, such as a congestion control: it becomes an object, and no package.",
    "clang is that of a directory of PATH, or of the usual ones, in which nobody but root and you can put programs. It " +
      "gets no variables of the environment. Needs no root; for root the folder has to be root's, or of whoever has called " +
      "sudo, as whom clang then runs, and without links.",
  ],
  async run(args, io) {
    const dir = textArg(args, "dir") ?? ".";
    const said = (lines: readonly string[]) => io.quote(lines);
    const folder = readFolder(dir);
    const built = await buildAny(folder, { clang: textArg(args, "clang"), said });
    if (isExtension(built)) await requireFree(built.manifest, Object.keys(commands));
    const files = made(built);
    writeMade(folder, files);
    io.json({
      folder: dir,
      made: files.map(({ name, bytes, sha256 }) => ({ name, size_bytes: bytes.length, sha256 })),
    });
    for (const { name, bytes, sha256 } of files) io.print(`${name}  ${bytes.length} bytes  sha256 ${sha256}`);
    return Exit.DONE;
  },
});
