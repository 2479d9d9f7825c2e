// SPDX-License-Identifier: MIT
// An extension in a copy of cli/: its own file and a line of the registry are all that it takes to be said.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { nameProblems } from "../../scripts/lib/extension-names.ts";

const ROOT = join(import.meta.dir, "../..");
const REGISTRY = "cli/extensions/registry.ts";
let tree = "";

async function output(...argv: string[]): Promise<{ out: string; err: string; code: number }> {
  const child = Bun.spawn([process.execPath, ...argv], { cwd: tree, stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { out, err, code };
}
const tcpx = (words: string) => output("cli/main.ts", ...words.split(" "));

beforeAll(() => {
  tree = mkdtempSync(join(tmpdir(), "tcpx-fifth-"));
  cpSync(join(ROOT, "cli"), join(tree, "cli"), { recursive: true });
  for (const name of ["build", "node_modules", "package.json"])
    symlinkSync(join(ROOT, name), join(tree, name));
  const hue = readFileSync(join(ROOT, "tests/support/hue.ts"), "utf8").replaceAll("../../cli/", "../");
  writeFileSync(join(tree, "cli/extensions/hue.ts"), hue.replaceAll("../extensions/", "./"));
  mkdirSync(join(tree, "tests/unit"), { recursive: true });
  cpSync(join(import.meta.dir, "extensions.test.ts"), join(tree, "tests/unit/extensions.test.ts"));
  const text = readFileSync(join(tree, REGISTRY), "utf8");
  const listed = text.replace(/(\bextensions: readonly Extension\[\] = \[[^\]]*)\]/, "$1, hue]");
  writeFileSync(
    join(tree, REGISTRY),
    listed.replace(/^import \{ iw \}/m, 'import { hue } from "./hue.ts";\n$&'),
  );
});
afterAll(() => rmSync(tree, { recursive: true }));

describe("hue", () => {
  test("passes what every extension is tried with", async () => {
    const { err, code } = await output("test", "./tests/unit/extensions.test.ts");
    expect([code, err]).toEqual([0, expect.stringMatching(/hue > .*\n[\s\S]* 0 fail/)]);
  });

  test("has its pages, in the help, in the manual and in run", async () => {
    expect((await tcpx("--help")).out).toMatch(/^ {2}hue +A colour for a connection$/m);
    expect((await tcpx("hue set --help")).out).toMatch(/DEGREES +0 to 359; none exempts the selector$/m);
    expect((await tcpx("hue unset --help")).out).toContain("Only this kind: ask, local or accept");
    expect((await tcpx("run --help")).out).toMatch(/--hue DEGREES +Ask servers for this colour$/m);
    expect((await tcpx("run --help")).out).toMatch(/--local +With --hue: have it ourselves, asking nobody$/m);
    expect((await tcpx("internal-man")).out).toContain("tcpx hue accept");
  });

  test("refuses what it does not take, by name and with what it does", async () => {
    const wrong = await tcpx("hue set 400");
    expect([wrong.code, wrong.err]).toEqual([2, expect.stringContaining("DEGREES '400' is no colour")]);
    const meant = await tcpx("hue sett 4");
    expect([meant.code, meant.err]).toEqual([2, expect.stringContaining("did you mean set?")]);
    const stray = await tcpx("run --local --iw 10 -- true");
    expect([stray.code, stray.err]).toEqual([125, expect.stringContaining("--local is only for --hue")]);
  });

  test("is in the schema of policy files, with its range, its kinds and its identifiers", async () => {
    const { properties } = JSON.parse((await tcpx("export --schema")).out);
    const [set, accept] = properties.scope.items.properties.hue.items.oneOf;
    expect(set.properties.set).toMatchObject({ minimum: 0, maximum: 359 });
    expect([set.properties.only.enum, accept.properties.only.enum]).toEqual([["ask", "local"], ["accept"]]);
    expect(properties.exid.properties["hue-answer"].description).toBe("Default: 31825 (0x7c51)");
  });

  test("may be named in its file only", async () => {
    const sources = new Map(
      ["cli/extensions/hue.ts", REGISTRY, "cli/commands/planted.ts"].map((path) => [
        path,
        path.includes("planted") ? 'rule.ext === "hue"' : readFileSync(join(tree, path), "utf8"),
      ]),
    );
    expect(nameProblems(sources, [])).toEqual(['cli/commands/planted.ts names hue: "hue"']);
  });
});
