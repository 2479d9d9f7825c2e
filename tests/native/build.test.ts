// SPDX-License-Identifier: MIT
// What builds the bridge: the cache, and the reading of apt's configuration.

import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { cached } from "../../scripts/lib/cache.ts";
import { formatEntry, ownEntries, parseList, parseSources } from "../../scripts/lib/private-apt.ts";
import { sharedHeaders } from "../../scripts/lib/shared-headers.ts";

const dir = mkdtempSync(join(tmpdir(), "tcpx-cache-test-"));
const saved = process.env.TCPX_CACHE_DIR;
process.env.TCPX_CACHE_DIR = dir;
afterAll(() => {
  if (saved === undefined) delete process.env.TCPX_CACHE_DIR;
  else process.env.TCPX_CACHE_DIR = saved;
  rmSync(dir, { recursive: true, force: true });
});

describe("the cache", () => {
  let builds = 0;
  const build = async (out: string) => {
    builds++;
    await Bun.sleep(20);
    writeFileSync(join(out, "result"), "made");
  };

  test("builds once for the same inputs, again when a text or a file changes", async () => {
    const input = join(dir, "input");
    writeFileSync(input, "one");
    const first = await cached("thing", ["text", `file:${input}`], build);
    expect(first).toStartWith(join(dir, "build/thing-"));
    expect(readFileSync(join(first, "result"), "utf8")).toBe("made");
    expect(await cached("thing", ["text", `file:${input}`], build)).toBe(first);
    expect(builds).toBe(1);
    writeFileSync(input, "two");
    expect(await cached("thing", ["text", `file:${input}`], build)).not.toBe(first);
    expect(await cached("thing", ["text2", `file:${input}`], build)).not.toBe(first);
    expect(builds).toBe(3);
  });

  test("two builders at once end up with one folder", async () => {
    const [a, b] = await Promise.all([cached("race", ["x"], build), cached("race", ["x"], build)]);
    expect(a).toBe(b);
    expect(readdirSync(join(dir, "build")).filter((name) => name.includes("race"))).toHaveLength(1);
  });

  test("a build that fails leaves nothing", async () => {
    const fails = async (out: string) => {
      writeFileSync(join(out, "half"), "");
      throw new Error("no");
    };
    await expect(cached("broken", [], fails)).rejects.toThrow("no");
    expect(readdirSync(join(dir, "build")).filter((name) => name.includes("broken"))).toEqual([]);
  });
});

test("headers of the programs that others include count among what is built from", async () => {
  const root = join(import.meta.dir, "../..");
  const units = ["native-loader", "native-loader/agent", "tests/fuzz"].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith(".c"))
      .map((name) => join(folder, name)),
  );
  const include = ["-Inative-loader", "-Inative-loader/agent"];
  const { stdout, success } = Bun.spawnSync(["cc", "-MM", "-MG", ...include, ...units], { cwd: root });
  expect(success).toBe(true);
  const used = stdout
    .toString()
    .split(/[\s\\]+/)
    .filter((path) => path.includes("embedded-bpf/"))
    .map((path) => resolve(root, path));
  expect(used.map((path) => basename(path))).toContain("thin.h");
  expect(await sharedHeaders()).toEqual(expect.arrayContaining(used));
});

describe("apt's configuration", () => {
  test("one-line entries", () => {
    const text = `# deb http://mirror.invalid/debian bookworm main
deb [arch=amd64 signed-by=/k/a.gpg] http://mirror.invalid/debian bookworm main contrib # note
deb-src http://mirror.invalid/debian bookworm-updates main
nonsense
`;
    expect(parseList(text)).toEqual([
      {
        uris: ["http://mirror.invalid/debian"],
        suites: ["bookworm"],
        components: ["main", "contrib"],
        signedBy: "/k/a.gpg",
      },
      {
        uris: ["http://mirror.invalid/debian"],
        suites: ["bookworm-updates"],
        components: ["main"],
        signedBy: undefined,
      },
    ]);
  });

  test("deb822 entries, with comments, lists over several lines, a key inside, and one switched off", () => {
    const text = `# comment
Types: deb
# comment
URIs: http://a.invalid/x http://b.invalid/x
Suites: noble
 noble-updates
Components: main universe
Signed-By:
 -----BEGIN PGP PUBLIC KEY BLOCK-----
 .
 abc

Enabled: no
Types: deb
URIs: http://c.invalid/x
Suites: noble
Components: main
`;
    const [entry, ...rest] = parseSources(text);
    expect(rest).toEqual([]);
    expect(entry).toMatchObject({
      uris: ["http://a.invalid/x", "http://b.invalid/x"],
      suites: ["noble", "noble-updates"],
      components: ["main", "universe"],
    });
    const again = parseSources(formatEntry(entry!));
    expect(again).toEqual([entry!]);
    expect(formatEntry(entry!)).toContain("Signed-By: \n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n");
  });

  test("only the distribution's own suites of this release are used", () => {
    const entry = (suites: string[], components = ["main", "contrib"], uris = ["http://a.invalid/"]) => ({
      uris,
      suites,
      components,
      signedBy: undefined,
    });
    const kept = ownEntries(
      [
        entry(["bookworm", "bookworm-updates", "bookworm-backports", "trixie"]),
        entry(["bookworm-security"]),
        entry(["bookworm-pgdg"]),
        entry(["nodistro"]),
        entry(["bookworm"], ["stable"]),
        entry(["bookworm"], ["main"], ["cdrom:[Debian]/"]),
      ],
      "bookworm",
    );
    expect(kept).toEqual([
      entry(["bookworm", "bookworm-updates"], ["main"]),
      entry(["bookworm-security"], ["main"]),
    ]);
  });
});
