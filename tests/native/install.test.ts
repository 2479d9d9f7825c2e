// SPDX-License-Identifier: MIT
// install.sh as `curl | sh`, with small stand-ins for tcpx: what it installs, and what it refuses.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { INSTALLER, Place, releaseOf, serve, serveHalves, standIn, TOOLS } from "../support/installer.ts";

const SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"]];
const INSTALLED = [
  "bin/tcpx",
  "share/bash-completion/completions/tcpx",
  "share/fish/vendor_completions.d/tcpx.fish",
  "share/man/man1/tcpx.1",
  "share/tcpx/licences.txt",
  "share/zsh/site-functions/_tcpx",
];
const filesOf = (place: Place) =>
  Object.entries(place.snapshot())
    .filter(([, what]) => !what.endsWith("folder"))
    .map(([name]) => name);

describe("installing a release", () => {
  for (const shell of SHELLS) {
    test(`in ${shell.join(" ")}: all files, the same again, the next version, none`, async () => {
      using place = new Place();
      const files = releaseOf("0.1.0");
      using server = serve(files);
      const first = await place.install(server.url, { shell });
      expect(first).toMatchObject({ code: 0, errors: [], out: "" });
      expect(filesOf(place)).toEqual([...INSTALLED, "share/tcpx/manifest"].sort());
      expect(place.read("bin/tcpx")).toBe(standIn("0.1.0"));
      expect(place.read("share/man/man1/tcpx.1")).toBe("internal-man of 0.1.0\n");
      expect(place.read("share/tcpx/manifest")).toBe(`${INSTALLED.join("\n")}\n`);

      const before = place.snapshot();
      const again = await place.install(server.url, { shell });
      expect(again.err).toStartWith(`install: ${place.prefix}/bin/tcpx is tcpx 0.1.0 already\n`);
      expect(place.snapshot()).toEqual(before);

      for (const [path, body] of releaseOf("0.2.0")) files.set(path, body);
      expect((await place.install(server.url, { shell })).code).toBe(0);
      expect(place.read("bin/tcpx")).toBe(standIn("0.2.0"));
      expect(place.read("share/fish/vendor_completions.d/tcpx.fish")).toBe("completion fish of 0.2.0\n");

      const installed = place.snapshot();
      for (const flag of [["--version", "0.1.0"], ["--version=0.1.0"], ["--downgrade"], ["--dev"]]) {
        const both = await place.install("", { shell, args: ["--uninstall", ...flag] });
        const name = flag[0]!.replace(/=.*/, "");
        expect([both.code, both.err]).toEqual([
          1,
          `install: error: ${name} goes with installing, not with --uninstall\n`,
        ]);
      }
      expect(place.snapshot()).toEqual(installed);
      const gone = await place.install("", { shell, args: ["--uninstall"] });
      expect(gone).toMatchObject({ code: 0, out: "" });
      expect(filesOf(place)).toEqual([]);
      expect(place.leftovers()).toEqual([]);
    });
  }

  test("with GNU's wget, and with nothing but busybox", async () => {
    using server = serve(releaseOf("0.1.0"));
    using gnu = new Place();
    expect(await gnu.install(server.url, { downloaders: ["wget"] })).toMatchObject({ code: 0, errors: [] });
    expect(gnu.read("bin/tcpx")).toBe(standIn("0.1.0"));
    using busybox = new Place();
    const path = busybox.tools("busybox", ["busybox"]);
    Bun.spawnSync([Bun.which("busybox")!, "--install", "-s", path]);
    const ended = await busybox.install(server.url, { shell: ["busybox", "sh"], path });
    expect(ended).toMatchObject({ code: 0, errors: [] });
    expect(busybox.read("bin/tcpx")).toBe(standIn("0.1.0"));
  });

  test("the version and the prefix that are asked for", async () => {
    using place = new Place();
    using server = serve(new Map([...releaseOf("0.1.0"), ...releaseOf("0.2.0")]));
    expect((await place.install(server.url, { args: ["--version", "0.1.0"] })).code).toBe(0);
    expect(place.read("bin/tcpx")).toBe(standIn("0.1.0"));
    expect((await place.install(server.url, { args: ["--prefix=else where", "--version=0.1.0"] })).code).toBe(
      0,
    );
    expect(readFileSync(join(place.root, "else where/bin/tcpx"), "utf8")).toBe(standIn("0.1.0"));
  });

  test("over a version that is running", async () => {
    using place = new Place();
    // A script is read as it runs: in place, `exit` would be another one's.
    const sleeper = standIn("0.0.9").replace(
      "exit\n",
      "[ $# = 0 ] || exit 0\nread -r line\necho 0.0.9 ends\nexit 0\n",
    );
    using server = serve(new Map([...releaseOf("0.2.0"), ...releaseOf("0.0.9", sleeper)]));
    expect(await place.install(server.url, { args: ["--version=0.0.9"] })).toMatchObject({
      code: 0,
      errors: [],
    });
    const running = Bun.spawn([join(place.prefix, "bin/tcpx")], { stdin: "pipe", stdout: "pipe" });
    expect((await place.install(server.url, { args: ["--version=0.2.0"] })).code).toBe(0);
    running.stdin.write("go\n");
    await running.stdin.end();
    expect(await running.stdout.text()).toContain("0.0.9 ends\n");
    expect(place.read("bin/tcpx")).toBe(standIn("0.2.0"));
  });
});

describe("refusing", () => {
  type Change = (files: Map<string, Uint8Array>) => void;
  const text = (value: string) => Buffer.from(value);
  const GZ = "0.2.0/tcpx-linux-x64.gz";
  const SUMS = "0.2.0/SHA256SUMS";
  const sums = (files: Map<string, Uint8Array>) => Buffer.from(files.get(SUMS)!).toString();
  const CASES: [what: string, change: Change, says: RegExp][] = [
    [
      "a tampered file",
      (f) => (f.get(GZ)![100]! ^= 1),
      /is not the file that SHA256SUMS of 0\.2\.0 describes/,
    ],
    ["a file cut short", (f) => f.set(GZ, f.get(GZ)!.slice(0, -1)), /is not the file that SHA256SUMS/],
    ["an empty file", (f) => f.set(GZ, text("")), /is not the file that SHA256SUMS/],
    ["a missing file", (f) => f.delete(GZ), /cannot download .*x64\.gz: .*404/],
    ["no sums", (f) => f.delete(SUMS), /cannot download .*SHA256SUMS: .*404/],
    ["sums cut short", (f) => f.set(SUMS, text(sums(f).slice(0, 100))), /does not list tcpx-linux-x64/],
    ["sums of others only", (f) => f.set(SUMS, text(sums(f).replace(/.*-x64\n/, ""))), /does not list/],
    ["two sums", (f) => f.set(SUMS, text(sums(f) + sums(f).replaceAll(/^./gm, "0"))), /does not list/],
    ["a page instead of sums", (f) => f.set(SUMS, text("<html>hello</html>")), /does not list/],
    ["no latest", (f) => f.delete("latest"), /cannot download .*latest: .*404/],
    ["a page instead of latest", (f) => f.set("latest", text("<html>")), /does not hold a version/],
    ["a path in latest", (f) => f.set("latest", text("0/../../x\n")), /does not hold a version/],
    [
      "another version than it says",
      (f) =>
        f
          .set(GZ, releaseOf("9.9.9").get("9.9.9/tcpx-linux-x64.gz")!)
          .set(SUMS, releaseOf("9.9.9").get("9.9.9/SHA256SUMS")!),
      /the release 0\.2\.0 holds tcpx 9\.9\.9/,
    ],
    [
      "an executable that does not run here",
      (f) => {
        for (const [path, body] of releaseOf("0.2.0", "\x7fELF no")) f.set(path, body);
      },
      /tcpx does not run here: /,
    ],
  ];
  for (const [what, change, says] of CASES) {
    test(`${what}: one line, nothing changed, in an empty place and over a version`, async () => {
      using place = new Place();
      using good = serve(releaseOf("0.1.0"));
      const files = releaseOf("0.2.0");
      change(files);
      using bad = serve(files);
      for (const round of ["empty", "installed"]) {
        if (round === "installed") expect((await place.install(good.url)).code).toBe(0);
        const before = place.snapshot();
        for (const downloaders of [["curl"], ["wget"]]) {
          const ended = await place.install(bad.url, { downloaders });
          expect(ended.errors).toEqual([expect.stringMatching(says)]);
          expect(ended.code).toBe(1);
          expect(place.snapshot()).toEqual(before);
          expect(place.leftovers()).toEqual([]);
        }
      }
    });
  }

  test("a connection that breaks off, and no server at all", async () => {
    using place = new Place();
    const halves = serveHalves();
    for (const downloaders of [["curl"], ["wget"]]) {
      const ended = await place.install(halves.url, { downloaders });
      expect(ended.errors).toEqual([expect.stringContaining("cannot download")]);
      expect(ended.code).toBe(1);
    }
    halves[Symbol.dispose]();
    const nobody = await place.install(halves.url);
    expect(nobody.errors).toEqual([expect.stringContaining("cannot download")]);
    expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
  });
});

describe("at the same time", () => {
  test("four installers: one result, nothing beside it", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    const path = place.tools("all", [...TOOLS, "curl"]);
    const ended = await Promise.all([1, 2, 3, 4].map(() => place.install(server.url, { path })));
    expect(ended.map(({ code, errors }) => [code, errors])).toEqual(ended.map(() => [0, []]));
    const files = Object.keys(place.snapshot()).filter((name) => name.includes("install."));
    expect([files, place.leftovers()]).toEqual([[], []]);
    expect(place.read("share/tcpx/manifest").split("\n")).toHaveLength(7);
  });

  test("a download that is interrupted leaves nothing", async () => {
    using place = new Place();
    const asked = Promise.withResolvers<void>();
    const files = releaseOf("0.1.0");
    const server = Bun.serve({
      hostname: "127.0.0.1",
      port: 0,
      fetch(request) {
        const body = files.get(new URL(request.url).pathname.slice(1))!;
        if (!request.url.endsWith(".gz")) return new Response(body);
        asked.resolve();
        return new Promise<Response>(() => {}); // never
      },
    });
    const path = `${place.tools("all", [...TOOLS, "curl"])}`;
    // Like Ctrl-C: the whole group hears it.
    const group = ["setsid", "--wait", "sh", "-c", 'echo $$ >"$0" && exec "$@"', join(place.root, "pid")];
    const ended = place.install(`http://127.0.0.1:${server.port}`, { before: group, path });
    await asked.promise;
    process.kill(-Number(readFileSync(join(place.root, "pid"), "utf8")), "SIGTERM");
    expect((await ended).code).toBe(143);
    server.stop(true);
    expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
  });
});

describe("a script that breaks off", () => {
  const script = readFileSync(INSTALLER, "utf8");
  const ends = Array.from({ length: 150 }, (_, i) => script.length - 2 - i);
  for (let end = 1; end < script.length; end += 331) ends.push(end);
  for (const shell of [["dash"], ["bash"], ["busybox", "sh"]]) {
    test(`runs nothing in ${shell.join(" ")}`, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      for (const end of ends) {
        const ended = await place.install(server.url, { shell, script: script.slice(0, end) });
        expect(ended.err).not.toContain("install:");
      }
      expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
    });
  }
});
