// SPDX-License-Identifier: MIT
// The order of versions in install.sh: it does not go back to an older one unless that is asked for.

import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { INSTALLER, Place, releaseOf, serve, standIn } from "../support/installer.ts";
import { refused, SHELLS } from "../support/strangers.ts";

/** From the oldest to the newest; the first line is the example of semver.org. */
const ORDER = [
  ...["1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2", "1.0.0-beta.11"],
  ...["1.0.0-rc.1", "1.0.0", "1.0.1-0", "1.0.1-1", "1.0.1-9", "1.0.1-10", "1.0.1-10.0", "1.0.1--", "1.0.1-A"],
  ...["1.0.1-a", "1.0.1-a-b", "1.0.1", "1.0.10", "1.2.0", "1.10.0-0", "1.10.0", "2.0.0", "10.0.0"],
  ...["10.0.20240101120000", "10.0.99999999999999999999", "10.0.100000000000000000000"],
];
const VERSIONS = [...ORDER, "0.1.0", "1.2.3+build.01", "1.2.3-rc.1+0a", "1.0.0-0a"];
const NO_VERSIONS = [
  ...[
    "",
    "1",
    "1.2",
    "1.2.3.4",
    "1.2.x",
    "01.2.3",
    "1.02.3",
    "1.2.03",
    "v1.2.3",
    " 1.2.3",
    "1.2.3 ",
    "-1.2.3",
  ],
  ...[
    "1.2.3-",
    "1.2.3+",
    "1.2.3-a.",
    "1.2.3-.a",
    "1.2.3-a..b",
    "1.2.3+a..b",
    "1.2.3+a+b",
    "1.2.3+a.",
    "1.2.3-+b",
  ],
  ...[
    "1.2.3-a_b",
    "1.2.3/..",
    "../1.2.3",
    "1.2.3\n",
    "1.2.3\n/x",
    "1.2.3-ä",
    "1.2.3;x",
    `1.2.3-${"a".repeat(64)}`,
  ],
];

/** Whether this command, of the functions of install.sh, succeeds with each line as `$pair`: its words, and tabs between. */
function asked(shell: string[], command: string, lines: string[][]): string[] {
  const functions = readFileSync(INSTALLER, "utf8").replace(/\nif :; then main.*\n$/, "\n");
  const script = `${functions}\nfor pair in "$@"; do if ${command}; then echo yes; else echo no; fi; done\n`;
  const pairs = lines.map((words) => words.join("\t"));
  const ended = Bun.spawnSync([...shell, "-c", script, "sh", ...pairs]);
  expect(ended.stderr.toString()).toBe("");
  return ended.stdout.toString().trim().split("\n");
}

for (const shell of SHELLS) {
  test(`the order of semver.org in ${shell.join(" ")}`, () => {
    const near = (i: number) => ORDER.slice(Math.max(i - 2, 0), i + 3);
    const pairs = ORDER.flatMap((one, i) => near(i).map((two) => [one, two]));
    const older = asked(shell, `older "\${pair%%\t*}" "\${pair#*\t}"`, pairs);
    const wrong = pairs.filter(([one, two], i) => {
      return (older[i] === "yes") !== ORDER.indexOf(one!) < ORDER.indexOf(two!);
    });
    expect([older.length, wrong]).toEqual([pairs.length, []]);
    const same = asked(shell, 'older "1.0.0+a" "1.0.0+b" || older "1.0.0-a+b" "1.0.0-a"', [["x"]]);
    expect(same).toEqual(["no"]);
  });

  test(`what is a version in ${shell.join(" ")}`, () => {
    const all = [...VERSIONS, ...NO_VERSIONS];
    const answers = asked(
      shell,
      'check_version "$pair"',
      all.map((version) => [version]),
    );
    const taken = all.filter((_, i) => answers[i] === "yes");
    expect([answers.length, taken]).toEqual([all.length, VERSIONS]);
  });
}

describe("a newer tcpx", () => {
  const says = (prefix: string) =>
    new RegExp(
      `error: ${prefix}/bin/tcpx is 0\\.2\\.0, newer than 0\\.2\\.0-rc\\.1; --downgrade .*TCPX_DOWNGRADE=1`,
    );

  async function installed(version: string): Promise<Place> {
    const place = new Place();
    using server = serve(releaseOf(version));
    expect((await place.install(server.url)).code).toBe(0);
    return place;
  }

  test("is not replaced by an older release, whether it is the latest there or named", async () => {
    using place = await installed("0.2.0");
    using server = serve(releaseOf("0.2.0-rc.1"));
    const before = place.snapshot();
    const version = "0.2.0-rc.1";
    for (const start of [{}, { args: ["--version", version] }, { env: { TCPX_VERSION: version } }]) {
      refused(await place.install(server.url, start), says(place.prefix));
    }
    const off = { TCPX_DOWNGRADE: "0" };
    refused(await place.install(server.url, { env: off }), says(place.prefix));
    expect([place.snapshot(), place.leftovers()]).toEqual([before, []]);
  });

  for (const [how, start] of [
    ["--downgrade", { args: ["--downgrade"] }],
    ["TCPX_DOWNGRADE", { env: { TCPX_DOWNGRADE: "1" } }],
  ] as const) {
    test(`is replaced with ${how}`, async () => {
      using place = await installed("0.2.0");
      using server = serve(releaseOf("0.2.0-rc.1"));
      const ended = await place.install(server.url, {
        ...start,
        args: [...("args" in start ? start.args : [])],
      });
      expect(ended).toMatchObject({ code: 0, errors: [] });
      expect(place.read("bin/tcpx")).toBe(standIn("0.2.0-rc.1"));
    });
  }

  test("is not replaced by an older checkout, and nothing of that is run", async () => {
    using place = await installed("0.2.0");
    const call = [join(place.checkout({ version: "0.2.0-rc.1" }), "install.sh")];
    const path = `${dirname(process.execPath)}:/usr/bin:/bin:/usr/sbin:/sbin`;
    refused(await place.call("", call, { path }), says(place.prefix));
    expect(place.ran()).toEqual([]);
    expect((await place.call("", [...call, "--downgrade"], { path })).code).toBe(0);
    expect(place.read("bin/tcpx")).toBe(standIn("0.2.0-rc.1"));
  });

  test("that does not say its version is replaced", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    mkdirSync(join(place.prefix, "bin"), { recursive: true });
    for (const program of ["exit 1", "echo tcpx of somebody", "echo tcpx 9", "echo 9.9.9"]) {
      writeFileSync(join(place.prefix, "bin/tcpx"), `#!/bin/sh\n${program}\n`, { mode: 0o755 });
      expect(await place.install(server.url)).toMatchObject({ code: 0, errors: [] });
      expect(place.read("bin/tcpx")).toBe(standIn("0.1.0"));
    }
  });
});
