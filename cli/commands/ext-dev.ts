// SPDX-License-Identifier: MIT

import { globalArgs, textArg } from "../base/args.ts";
import { interruption } from "../lab/stage.ts";
import { develop } from "../sdk/dev.ts";
import { clangArgs } from "../sdk/flags.ts";
import { requireRoot } from "../sdk/test.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

export const extDev = leaf({
  summary: "What `ext test` does, at every save, with events of connections while they run. Ctrl-C ends it.",
  args: {
    dir: { type: "positional", required: false, valueHint: "DIR", description: "Its folder; default: here" },
    ...clangArgs,
    ...globalArgs,
  },
  examples: [
    ["sudo tcpx ext dev", "Try the extension of this folder at every save"],
    ["sudo tcpx ext dev tag --json", "A document for each trial, and one for each event"],
  ],
  notes: [
    "What clang, the manifest or the verifier has against it is told, and the next save is waited for. Between saves " +
      "there is a connection from time to time, with its events as `tcpx watch` tells them. Nothing is left when it ends.",
  ],
  async run(args, io) {
    const dir = textArg(args, "dir") ?? ".";
    requireRoot();
    using interrupted = interruption();
    return await develop(dir, {
      clang: textArg(args, "clang"),
      commands: Object.keys(commands),
      io,
      signal: interrupted.signal,
    });
  },
});
