// SPDX-License-Identifier: MIT
// The manual page, for install.sh: an installed executable brings its own.

import { globalArgs } from "../args.ts";
import { manPage } from "../completion/man.ts";
import { commandTree } from "../completion/tree.ts";
import { Exit } from "../errors.ts";
import { version } from "../version.ts";
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
