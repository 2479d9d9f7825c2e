// SPDX-License-Identifier: MIT
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { childEnvironment, othersMayReplace, safePath } from "../../cli/system/child.ts";
import { testIf } from "../support/requires.ts";

const isRoot = process.getuid?.() === 0;
const NOBODY = 65534;

describe("where programs are looked for", () => {
  let dir: string;
  beforeAll(() => {
    dir = realpathSync(mkdtempSync(join(tmpdir(), "tcpx-path-")));
  });
  afterAll(() => rmSync(dir, { recursive: true }));

  const usual = safePath("").split(":");
  const added = (path: string) => safePath(path).split(":").slice(0, -usual.length);

  test("the usual places are always there", () => {
    expect(usual).toEqual(expect.arrayContaining(["/usr/sbin", "/usr/bin", "/sbin", "/bin"]));
    expect(usual.every((path) => path.startsWith("/"))).toBe(true);
  });

  test("a directory of ours that nobody else can write to goes before them, by its own name", () => {
    mkdirSync(join(dir, "own"), { mode: 0o755 });
    symlinkSync("own", join(dir, "link"));
    expect(added(join(dir, "own"))).toEqual([join(dir, "own")]);
    expect(added(join(dir, "link"))).toEqual([join(dir, "own")]);
  });

  test.each([
    ["the current one", ""],
    ["a relative one", "bin"],
    ["one that is not there", "/no/such/directory"],
    ["a file", "/proc/self/status"],
  ])("not %s", (_, path) => expect(added(path)).toEqual([]));

  test("not one that everybody may write to, though nobody may replace what is there", () => {
    mkdirSync(join(dir, "tmp", "own"), { recursive: true });
    chmodSync(join(dir, "tmp"), 0o1777);
    expect(added(join(dir, "tmp"))).toEqual([]);
    expect(added(join(dir, "tmp", "own"))).toEqual([join(dir, "tmp", "own")]);
  });

  test("not one of a group, nor one in such a directory", () => {
    mkdirSync(join(dir, "group", "bin"), { recursive: true });
    chmodSync(join(dir, "group"), 0o775);
    expect(added(join(dir, "group"))).toEqual([]);
    expect(added(join(dir, "group", "bin"))).toEqual([]);
  });

  testIf(isRoot, "root")("not one of somebody else, nor one in such a directory", () => {
    mkdirSync(join(dir, "home", "bin"), { recursive: true, mode: 0o755 });
    chownSync(join(dir, "home"), NOBODY, NOBODY);
    symlinkSync("home/bin", join(dir, "bin"));
    for (const path of ["home", "home/bin", "bin"]) expect(added(join(dir, path))).toEqual([]);
  });
});

testIf(isRoot, "root")("who may replace a program", () => {
  const dir = realpathSync(mkdtempSync(join(tmpdir(), "tcpx-path-")));
  const file = join(dir, "tcpx");
  writeFileSync(file, "");
  chmodSync(file, 0o755);
  expect(othersMayReplace(file)).toBe(false);
  chmodSync(file, 0o775);
  expect(othersMayReplace(file)).toBe(true);
  chmodSync(file, 0o755);
  chownSync(file, NOBODY, NOBODY);
  expect(othersMayReplace(file)).toBe(true);
  chownSync(file, 0, 0);
  chownSync(dir, NOBODY, NOBODY);
  expect(othersMayReplace(file)).toBe(true);
  rmSync(dir, { recursive: true });
});

test("a program of the system gets nothing else of our environment", () => {
  process.env.MODPROBE_OPTIONS = "--config /tmp/evil";
  expect(childEnvironment()).toEqual({ PATH: safePath(), LC_ALL: "C" });
  delete process.env.MODPROBE_OPTIONS;
});
