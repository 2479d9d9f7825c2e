// SPDX-License-Identifier: MIT
// What `bun run test` offers, and that install.sh --dev installs what its rings ask for.

import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { TOOLS } from "../../scripts/vm/boot.ts";
import { PROGRAMS } from "../bench/programs.ts";

const ROOT = resolve(import.meta.dir, "../..");

test("the rings are unit, native, fresh, kernel and vm, and no other", async () => {
  const child = Bun.spawn([process.execPath, join(ROOT, "scripts/test.ts"), "nonsense"], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const [stderr, code] = await Promise.all([child.stderr.text(), child.exited]);
  expect(stderr).toStartWith("unknown: nonsense; there are the rings unit, native, fresh, kernel, vm\n");
  expect(code).toBe(2);
});

test("install.sh knows every program of the VM ring and of the benches, and its package", () => {
  const script = readFileSync(join(ROOT, "install.sh"), "utf8");
  const missing = Object.entries({ ...TOOLS, ...PROGRAMS }).filter(
    ([tool, name]) => !script.includes(`\tneed ${name} ${tool}\n`),
  );
  expect(missing).toEqual([]);
});

/** Programs that come with one that install.sh asks for by name. */
const COMES_WITH: Record<string, string> = {
  ...{
    cc: "gcc",
    nm: "readelf",
    ss: "ip",
    tc: "ip",
    setpriv: "unshare",
    nsenter: "unshare",
    flock: "unshare",
    setarch: "unshare",
  },
};
/** Of packages that every Debian has; systemctl is no part of a container, where tests/expected-skips.txt knows that. */
const EVERYWHERE = ["apt-config", "bash", "systemctl"];

test("install.sh knows every program that a test asks for", async () => {
  const known = new Set(readFileSync(join(ROOT, "install.sh"), "utf8").match(/(?<=^\tneed \S+ )\S+/gm));
  known.add("bpftool"); // has a function of its own there
  const asked = new Set<string>();
  for await (const path of new Bun.Glob("{tests,scripts}/**/*.ts").scan(ROOT)) {
    const text = readFileSync(join(ROOT, path), "utf8");
    for (const [, name] of text.matchAll(/(?:Bun\.which|[tT]ool)\("([\w.-]+)"/g)) asked.add(name!);
    for (const [, names] of text.matchAll(
      /\[([^[\]]*)\]\s*\.map\(\s*(?:hasTool|tool|\(name\) =>\s*requirement)/g,
    )) {
      for (const [name] of names!.matchAll(/(?<=")[\w.-]+(?=")/g)) asked.add(name);
    }
  }
  expect([...asked]).toContain("nft"); // the patterns find something
  const unknown = [...asked].filter(
    (name) => !known.has(COMES_WITH[name] ?? name) && !EVERYWHERE.includes(name),
  );
  expect(unknown).toEqual([]);
});
