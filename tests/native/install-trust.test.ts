// SPDX-License-Identifier: MIT
// What install.sh runs and reads where others have a say: PATH, HOME, TMPDIR, the cache. And what becomes a URL.

import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, readdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Place, releaseOf, serve, standIn, TOOLS } from "../support/installer.ts";
import { folder, plant, ran, refused } from "../support/strangers.ts";

describe("PATH", () => {
  const PLACES: [what: string, entry: (place: Place) => string][] = [
    ["the current folder", () => "."],
    ["the current folder, as nothing", () => ""],
    ["a relative folder", () => "./bin"],
    ["a folder for everybody", (place) => folder(place, "bin", 0o777)],
    ["a folder for everybody, with the sticky bit", (place) => folder(place, "bin", 0o1777)],
    ["a folder of somebody else's", (place) => folder(place, "bin", "theirs")],
    [
      "a symbolic link to one",
      (place) => {
        symlinkSync(folder(place, "bin", "theirs"), join(place.root, "link"));
        return join(place.root, "link");
      },
    ],
  ];
  for (const [what, entryOf] of PLACES) {
    test(`no program of ${what} is run`, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      const entry = entryOf(place);
      const cwd = folder(place, "cwd", 0o1777);
      const where = entry === "" ? cwd : join(entry.startsWith("/") ? "/" : cwd, entry);
      mkdirSync(where, { recursive: true });
      // bun would be run in a checkout only
      for (const name of ["curl", "ls", "id", "sed", "mktemp", "dirname", "cat"]) plant(place, where, name);
      const path = `${entry}:${place.tools("tools", [...TOOLS, "curl"])}`;
      const ended = await place.install(server.url, { path, cwd });
      expect(ended).toMatchObject({ code: 0, errors: [] });
      expect(ended.err).toStartWith("install: left out of PATH, because others may change it: ");
      expect([ran(place), place.read("bin/tcpx")]).toEqual([false, standIn("0.1.0")]);
    });
  }

  test("nothing is run where no folder of it is left", async () => {
    using place = new Place();
    const path = folder(place, "bin", "theirs");
    for (const name of TOOLS) plant(place, path, name);
    const setup = 'mount -t tmpfs none /usr/sbin && exec "$@"';
    const before = ["unshare", "--mount", "sh", "-c", setup, "sh"];
    refused(
      await place.install("", { path, before }),
      /no folder of PATH is used, because others may change all/,
    );
    expect(ran(place)).toBe(false);
  });
});

describe("in a checkout", () => {
  const bun = dirname(process.execPath);
  const path = `${bun}:/usr/bin:/bin:/usr/sbin:/sbin`;

  test("the bun of somebody else's cache is not run, nor of a folder for everybody on the PATH", async () => {
    using place = new Place();
    const call = [join(place.checkout(), "install.sh")];
    const cache = folder(place, "cache/bun", "theirs");
    plant(place, folder(place, `cache/bun/${Bun.version}`, 0o755), "bun", process.execPath);
    const shared = folder(place, "bin", 0o777);
    plant(place, shared, "bun", process.execPath);
    const ended = await place.call("", call, { path: `${shared}:/usr/bin:/bin:/usr/sbin:/sbin` });
    refused(ended, /the cache is not used: .*cache\/bun belongs to .*TCPX_CACHE_DIR names another place/);
    expect(place.ran()).toEqual([]);
    chownSync(cache, 0, 0);
    chmodSync(cache, 0o777);
    refused(
      await place.call("", call, { path }),
      /the cache is not used: everybody may write to .*cache\/bun/,
    );
    expect(place.ran()).toEqual([]);
  });

  test("settings in the home of somebody else are not read", async () => {
    using place = new Place();
    const home = folder(place, "home", "theirs");
    const preload = join(home, "preload.ts");
    writeFileSync(preload, `require("fs").appendFileSync("${join(place.root, "ran")}", "preload\\n");\n`);
    writeFileSync(
      join(home, ".bunfig.toml"),
      `preload = ["${preload}"]\n[install]\nregistry = "http://127.0.0.1:1/"\n`,
    );
    const ended = await place.call("", [join(place.checkout(), "install.sh")], {
      path,
      env: { HOME: home, XDG_CONFIG_HOME: home, BUN_INSTALL: join(home, ".bun") },
    });
    expect(ended.code).toBe(0);
    expect([place.ran(), readdirSync(home).sort()]).toEqual([["0"], [".bunfig.toml", "preload.ts"]]);
  });
});

describe("for a release", () => {
  test("settings in the home of somebody else are not read", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    const home = folder(place, "home", "theirs");
    writeFileSync(join(home, ".curlrc"), `trace-ascii = "${join(place.root, "ran")}"\n`);
    expect(await place.install(server.url, { env: { HOME: home } })).toMatchObject({ code: 0, errors: [] });
    expect(ran(place)).toBe(false);
  });

  test("a TMPDIR that others can rename things in", async () => {
    using place = new Place();
    const shared = folder(place, "temporary", 0o777);
    const start = { env: { TMPDIR: shared } };
    refused(
      await place.install("http://127.0.0.1:1", start),
      /TMPDIR .*: everybody may write to .*temporary;/,
    );
    expect(readdirSync(shared)).toEqual([]);
  });

  const URLS = ["http://127.0.0.1:1/a b", "http://127.0.0.1:1/{a,b}", 'http://127.0.0.1:1/"', "http://a\\b"];
  for (const url of [
    ...URLS,
    "http://127.0.0.1:1/\u001b[2J",
    "http://127.0.0.1:1/\nx",
    "http://127.0.0.1:1/?a",
  ]) {
    test(`the URL ${JSON.stringify(url)}`, async () => {
      using place = new Place();
      for (const shell of [["dash"], ["bash"], ["busybox", "sh"]]) {
        const ended = await place.install(url, { shell });
        refused(ended, /TCPX_BASE_URL has characters that a URL does not have, and is http:[ -~]*$/);
      }
    });
  }

  test("an address of IPv6 in brackets is one", async () => {
    using place = new Place();
    refused(
      await place.install("http://[::1]:1/a,b(c)"),
      /cannot download http:\/\/\[::1\]:1\/a,b\(c\)\/latest: /,
    );
  });
});
