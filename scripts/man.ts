#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Writes dist/tcpx.1, the manual page, from the table of commands; `bun run build` calls it.

import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { version } from "../cli/base/version.ts";
import { allCommands } from "../cli/commands/index.ts";
import { manPage } from "../cli/completion/man.ts";
import { commandTree } from "../cli/completion/tree.ts";

const PAGE = join(resolve(import.meta.dir, ".."), "dist/tcpx.1");

await mkdir(dirname(PAGE), { recursive: true });
await writeFile(PAGE, manPage(await commandTree(await allCommands()), version));
console.log("dist/tcpx.1");
