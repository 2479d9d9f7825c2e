// SPDX-License-Identifier: MIT
import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { write } from "../../cli/persist/files.ts";
import { draftOf, makeDirectories, makeDirectory, replaceFile } from "../../cli/system/files.ts";

let dir: string;
const mode = (path: string) => lstatSync(path).mode & 0o7777;

beforeEach(() => {
  dir = mkdtempSync(join(tmpdir(), "tcpx-files-"));
});
afterEach(() => rmSync(dir, { recursive: true }));

/** Runs `action` under another umask. */
function under(umask: number, action: () => void): void {
  const before = process.umask(umask);
  try {
    action();
  } finally {
    process.umask(before);
  }
}

describe.each([0o000, 0o077, 0o777])("under umask %o", (umask) => {
  test("directories have the permissions that were asked for, and those above them", () => {
    under(umask, () => {
      makeDirectory(join(dir, "own"), 0o700);
      makeDirectories(join(dir, "a", "b"), 0o755);
      makeDirectories(join(dir, "a", "b"), 0o755);
    });
    expect(mode(join(dir, "own"))).toBe(0o700);
    expect(mode(join(dir, "a"))).toBe(0o755);
    expect(mode(join(dir, "a", "b"))).toBe(0o755);
  });

  test("a file has the permissions that were asked for", () => {
    under(umask, () => replaceFile(join(dir, "x"), "text\n", 0o644));
    expect(mode(join(dir, "x"))).toBe(0o644);
  });

  test("what persist keeps can be read by all, and written by nobody else", () => {
    under(umask, () => write(join(dir, "etc", "policy.toml"), "text\n"));
    expect(mode(join(dir, "etc"))).toBe(0o755);
    expect(mode(join(dir, "etc", "policy.toml"))).toBe(0o644);
  });
});

test("a directory that is there keeps its permissions; anything else is refused", () => {
  mkdirSync(join(dir, "there"), { mode: 0o750 });
  makeDirectories(join(dir, "there"), 0o755);
  expect(mode(join(dir, "there"))).toBe(0o750);
  expect(() => makeDirectory(join(dir, "there"), 0o755)).toThrow("EEXIST");
  writeFileSync(join(dir, "file"), "");
  expect(() => makeDirectories(join(dir, "file"), 0o755)).toThrow("EEXIST");
});

describe("a file that is replaced", () => {
  test("a link is replaced, and not what it leads to", () => {
    writeFileSync(join(dir, "real"), "kept\n");
    symlinkSync("real", join(dir, "link"));
    replaceFile(join(dir, "link"), "new\n", 0o600);
    expect(readFileSync(join(dir, "real"), "utf8")).toBe("kept\n");
    expect(lstatSync(join(dir, "link")).isFile()).toBe(true);
  });

  test("a failure leaves what was there, and nothing beside it", () => {
    mkdirSync(join(dir, "busy", "x"), { recursive: true });
    expect(() => replaceFile(join(dir, "busy"), "text", 0o644)).toThrow();
    expect(readdirSync(dir)).toEqual(["busy"]);
  });

  /** The number of a process that has ended. */
  const ended = () => String(Bun.spawnSync(["true"]).pid);

  test("drafts of the living, of other files, and fresh ones of elsewhere stay; old ones do not", () => {
    const path = join(dir, "x");
    const left = basename(draftOf(path, ended()));
    const names = {
      alive: basename(draftOf(path, String(process.ppid))),
      other: left.replace(".x.", ".y."),
      fresh: left.replace(/tcpx-[\da-f]+-/, "tcpx-0-"),
      old: left.replace(/tcpx-[\da-f]+-/, "tcpx-1-"),
      ours: ".x.tcpx-backup",
    };
    writeFileSync(join(dir, left), "half");
    // its writer has ended, and the pid is another process's by now
    const reused = names.alive.replace(/-\d+-([\da-f]+)$/, "-1-$1");
    writeFileSync(join(dir, reused), "half");
    for (const name of Object.values(names)) writeFileSync(join(dir, name), "");
    const long = new Date(Date.now() - 2 * 3_600_000);
    utimesSync(join(dir, names.old), long, long);
    replaceFile(path, "text", 0o644);
    expect([left, reused].filter((name) => existsSync(join(dir, name)))).toEqual([]);
    const { old: _, ...stay } = names;
    expect(readdirSync(dir).sort()).toEqual(["x", ...Object.values(stay)].sort());
  });
});
