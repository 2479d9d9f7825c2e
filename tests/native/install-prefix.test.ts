// SPDX-License-Identifier: MIT
// Where install.sh installs and removes, when others have a say there: the prefix, its manifest, the cache.

import { describe, expect, test } from "bun:test";
import { chownSync, existsSync, mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { Place, releaseOf, serve } from "../support/installer.ts";
import { folder, plant, ran, refused } from "../support/strangers.ts";

describe("a prefix that others can change", () => {
  const PREFIXES: [what: string, prefix: (place: Place) => string][] = [
    ["theirs", (place) => folder(place, "pre fix", "theirs")],
    ["everybody's", (place) => folder(place, "pre fix", 0o777)],
    ["with their bin", (place) => dirname(folder(place, "pre fix/bin", "theirs"))],
    [
      "with a bin for everybody, and the sticky bit",
      (place) => dirname(folder(place, "pre fix/bin", 0o1777)),
    ],
    ["below theirs", (place) => join(folder(place, "other", "theirs"), "prefix")],
  ];
  for (const [what, prefixOf] of PREFIXES) {
    test(`${what}: root installs nothing there, removes nothing, runs nothing`, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      const prefix = prefixOf(place);
      const says = /cannot use the prefix .*: (.* belongs to \S+ \(65534\)|everybody may write to)/;
      refused(await place.install(server.url, { args: ["--prefix", prefix] }), says);
      for (const name of ["bin", "share/tcpx"]) mkdirSync(join(prefix, name), { recursive: true });
      plant(place, join(prefix, "bin"), "tcpx", "true");
      writeFileSync(join(prefix, "share/tcpx/manifest"), "bin/tcpx\n");
      const before = place.snapshot(prefix);
      for (const args of [["--uninstall"], ["--uninstall", "--reset"]]) {
        refused(await place.install(server.url, { args: [...args, "--prefix", prefix] }), says);
      }
      expect([place.snapshot(prefix), ran(place)]).toEqual([before, false]);
    });
  }

  test("in a folder for everybody with the sticky bit, such as /tmp, is made anew", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    const args = ["--prefix", join(folder(place, "shared", 0o1777), "prefix")];
    expect(await place.install(server.url, { args })).toMatchObject({ code: 0, errors: [] });
  });

  test("of a group with more than its own user is refused, of a user's own group not", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    const prefix = folder(place, "pre fix", 0o775);
    const passwd = "root:x:0:0::/:/bin/sh\\nalice:x:4711:4711::/:/bin/sh\\nbob:x:4712:4712::/:/bin/sh\\n";
    const installed = (gid: number, members: string) => {
      chownSync(prefix, 4711, gid);
      const groups = `root:x:0:\\nalice:x:4711:${members}\\nteam:x:4713:${members}\\n`;
      const mount = [
        `printf '${passwd}' >etc-passwd && mount --bind etc-passwd /etc/passwd`,
        `printf '${groups}' >etc-group && mount --bind etc-group /etc/group && exec "$@"`,
      ].join(" && ");
      const before = ["unshare", "--mount", "sh", "-c", mount, "sh"];
      return place.install(server.url, {
        before,
        env: { SUDO_UID: "4711" },
        downloaders: ["curl", "getent"],
      });
    };
    const says = (gid: number) =>
      new RegExp(`cannot use the prefix .*: the group ${gid} may write to .*pre fix`);
    refused(await installed(4711, "bob"), says(4711));
    refused(await installed(4711, "alice,bob"), says(4711));
    refused(await installed(4713, ""), says(4713));
    expect(place.snapshot()).toEqual({});
    expect(await installed(4711, "alice")).toMatchObject({ code: 0, errors: [] });
  });
});

test("a manifest removes what tcpx installs, and nothing else that it names", async () => {
  using place = new Place();
  using server = serve(releaseOf("0.1.0"));
  expect((await place.install(server.url)).code).toBe(0);
  const kept = ["outside", "pre fix/etc/kept", "pre fix/bin/sub/kept", "pre fix/share/tcpx/sub/kept"];
  for (const name of kept) {
    mkdirSync(dirname(join(place.root, name)), { recursive: true });
    writeFileSync(join(place.root, name), "");
  }
  const names = ["bin/../../outside", "../outside", join(place.root, "outside"), "etc/kept", "bin/sub/kept"];
  const more = ["share/tcpx/sub/kept", "bin/./../etc/kept", "share/tcpx/..", "bin/", "", "bin/\u001b[2Jtcpx"];
  writeFileSync(join(place.prefix, "share/tcpx/manifest"), `${["bin/tcpx", ...names, ...more].join("\n")}\n`);
  const ended = await place.install("", { args: ["--uninstall"] });
  expect(ended).toMatchObject({ code: 0, errors: [] });
  for (const name of kept) expect([name, existsSync(join(place.root, name))]).toEqual([name, true]);
  expect(existsSync(join(place.prefix, "bin/tcpx"))).toBe(false);
  expect(ended.err).toContain("install: left alone, because no tcpx installs it: ../outside\n");
  expect(ended.err).not.toContain("\u001b");
});

test("another's cache is not removed through a symbolic link", async () => {
  using place = new Place();
  using server = serve(releaseOf("0.1.0"));
  expect((await place.install(server.url)).code).toBe(0);
  const kept = folder(place, "precious/bun", 0o755);
  symlinkSync(dirname(kept), join(folder(place, "home", "theirs"), "cache"));
  const env = { TCPX_CACHE_DIR: join(place.root, "home/cache") };
  expect((await place.install("", { args: ["--uninstall"], env })).code).toBe(0);
  expect(existsSync(kept)).toBe(true);
});
