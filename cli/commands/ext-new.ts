// SPDX-License-Identifier: MIT

import { globalArgs, textArg } from "../base/args.ts";
import { Exit, usageError } from "../base/errors.ts";
import { requireNew } from "../sdk/collide.ts";
import { writeNew } from "../sdk/new.ts";
import { filesOf, KINDS, requireName, type TemplateKind } from "../sdk/templates.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

const isKind = (word: string): word is TemplateKind => (KINDS as readonly string[]).includes(word);

export const extNew = leaf({
  summary:
    "Begin an extension: a folder with a program, a manifest, a test and a README, which works as it is.",
  args: {
    name: { type: "positional", valueHint: "NAME", description: "Its name: small letters, digits, hyphens" },
    kind: {
      type: "string",
      valueHint: KINDS.join("|"),
      description:
        "What it begins as: a socket option (default), a TCP option of its own, a request and its answer, " +
        "a congestion control",
      words: KINDS,
    },
    dir: { type: "string", valueHint: "DIR", description: "Where the folder will be; default: here" },
    ...globalArgs,
  },
  examples: [
    ["tcpx ext new pace", "pace/, with what limits how fast connections send"],
    ["tcpx ext new tag --kind option", "tag/, with a TCP option on SYN and SYN-ACK"],
    ["tcpx ext new calm --kind congestion --dir ~/src", "A congestion control, in ~/src/calm/"],
  ],
  notes: [
    "Then: `tcpx ext build`, `tcpx ext test` and `tcpx ext dev` in there. They need clang, and no headers: those are " +
      "inside tcpx. Identifiers of options are picked from the name, for experiments: the manifest says where to get " +
      "your own.",
  ],
  async run(args, io) {
    const [name, kind] = [textArg(args, "name") ?? "", textArg(args, "kind") ?? "local"];
    if (!isKind(kind)) throw usageError(`--kind ${kind} is none`, kind, `accepted are ${KINDS.join(", ")}`);
    requireName(name, kind);
    const files = filesOf(name, kind);
    await requireNew(name, files, Object.keys(commands));
    const path = writeNew(textArg(args, "dir") ?? ".", name, files);
    io.json({ name, kind, folder: path, files: files.map((file) => file.name) });
    io.print(`${path}: ${files.map((file) => file.name).join(", ")}`);
    io.print(`next: cd ${path}, then tcpx ext build, and as root tcpx ext test`);
    return Exit.DONE;
  },
});
