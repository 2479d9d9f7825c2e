// SPDX-License-Identifier: MIT
// What every command begins with: before the host's extensions are known nothing may ask which ones there are.
import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";

const ROOT = join(import.meta.dir, "../..");
const IMPORT = /^(?:import|export) (?!type\b)[^;]*?from "(\.[^"]+\.ts)"|^import "(\.[^"]+\.ts)"/gm;

/** All files that are evaluated when this one is. */
function evaluated(file: string, found = new Set<string>()): Set<string> {
  if (found.has(file)) return found;
  found.add(file);
  for (const [, from, bare] of readFileSync(file, "utf8").matchAll(IMPORT))
    evaluated(join(dirname(file), (from ?? bare)!), found);
  return found;
}

const of = (file: string) => [...evaluated(join(ROOT, file))].map((path) => relative(ROOT, path));

test("main.ts evaluates nothing of extensions, policies or the loader", () => {
  const files = of("cli/main.ts");
  expect(files).toContain("cli/packages/present.ts");
  const rooms = ["extensions", "manifest", "loader", "change", "policy-file", "observe", "bridge"];
  expect(files.filter((file) => rooms.some((room) => file.startsWith(`cli/${room}/`)))).toEqual([]);
});

test("the look at the host's folder evaluates nothing else of ours", () => {
  expect(of("cli/packages/present.ts")).toEqual(["cli/packages/present.ts"]);
});

test("what makes extensions known evaluates none of what is put together of all of them", () => {
  const files = of("cli/packages/installed.ts");
  expect(files).toContain("cli/extensions/index.ts");
  const rooms = ["commands", "completion", "change", "policy-file", "observe", "live", "doctor"];
  expect(files.filter((file) => rooms.some((room) => file.startsWith(`cli/${room}/`)))).toEqual([]);
});
