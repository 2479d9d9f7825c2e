#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Writes what is made of the table of commands: dist/tcpx.1, the manual page, and docs/policy.schema.json, the schema
// of policy files. `bun run build` calls it.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join, resolve } from "node:path";
import { version } from "../cli/base/version.ts";
import { allCommands } from "../cli/commands/index.ts";
import { manPage } from "../cli/completion/man.ts";
import { commandTree } from "../cli/completion/tree.ts";
import { schemaText } from "../cli/policy-file/schema.ts";

const ROOT = resolve(import.meta.dir, "..");
const PAGES: [path: string, text: string][] = [
  ["dist/tcpx.1", manPage(await commandTree(await allCommands()), version)],
  ["docs/policy.schema.json", schemaText()],
];

for (const [path, text] of PAGES) {
  const to = join(ROOT, path);
  if ((await readFile(to, "utf8").catch(() => "")) === text) continue;
  await mkdir(dirname(to), { recursive: true });
  await writeFile(to, text);
  console.log(path);
}
