// SPDX-License-Identifier: MIT
// The manual page, for install.sh: an installed executable brings its own.

import { globalArgs } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { version } from "../base/version.ts";
import { manPage } from "../completion/man.ts";
import { commandTree } from "../completion/tree.ts";
import { allCommands } from "./index.ts";
import { leaf } from "./types.ts";

export const internalMan = leaf({
  summary: "Print the manual page tcpx(1) as roff.",
  args: globalArgs,
  async run(_, io) {
    io.print(manPage(await commandTree(await allCommands()), version).trimEnd());
    return Exit.DONE;
  },
});
