// SPDX-License-Identifier: MIT
// What `bun run test` offers, and that install.sh --dev installs what its rings ask for.

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { TOOLS } from "../../scripts/vm/boot.ts";
import { PROGRAMS } from "../bench/programs.ts";

const ROOT = resolve(import.meta.dir, "../..");

test("the rings are unit, native, kernel and vm, and no other", async () => {
  const child = Bun.spawn([process.execPath, join(ROOT, "scripts/test.ts"), "nonsense"], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
  expect(stderr).toStartWith("unknown: nonsense; there are the rings unit, native, kernel, vm\n");
  expect(code).toBe(2);
});

test("install.sh knows every program of the VM ring and of the benches, and its package", () => {
  const script = readFileSync(join(ROOT, "install.sh"), "utf8");
  const missing = Object.entries({ ...TOOLS, ...PROGRAMS }).filter(
    ([tool, name]) => !script.includes(`\tneed ${name} ${tool}\n`),
  );
  expect(missing).toEqual([]);
});
