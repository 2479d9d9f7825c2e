// SPDX-License-Identifier: MIT
// When install.sh takes the folder that it is in for a checkout, and builds it: only when it was called by its path,
// and nobody but root, the caller and who called sudo can change what would be run.

import { describe, expect, test } from "bun:test";
import { chmodSync, chownSync, mkdirSync, renameSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Ended, INSTALLER, Place, releaseOf, type Start, serve, standIn } from "../support/installer.ts";
import { AS_NOBODY, give, NOBODY, refused, SHELLS } from "../support/strangers.ts";

/** With the Bun that runs this test. */
const PATH = `${dirname(process.execPath)}:/usr/bin:/bin:/usr/sbin:/sbin`;

function notBuilt(place: Place, ended: Ended, says: RegExp): void {
  refused(ended, says);
  expect([place.ran(), place.snapshot(), place.leftovers()]).toEqual([[], {}, []]);
}

/** A folder where everybody may put files, and somebody has put what would be a checkout of shells' names. */
function sharedFolder(place: Place, manager?: string): string {
  const folder = place.checkout({ folder: join(place.root, "shared"), ...(manager ? { manager } : {}) });
  chmodSync(folder, 0o1777);
  for (const name of ["sh", "-sh", "dash", "bash", "busybox", "main"]) {
    writeFileSync(join(folder, name), "# Installs tcpx: as ./install.sh of a checkout\n");
    give(join(folder, name));
  }
  for (const name of ["install.sh", "package.json", "stand-in"]) give(join(folder, name));
  return folder;
}

describe("a shell that reads the script takes no folder for a checkout", () => {
  const installer = `'${INSTALLER}'`;
  const CALLS: [call: string, command: string[]][] = [
    ...SHELLS.map((shell): [string, string[]] => [`${shell.join(" ")} -s`, [...shell, "-s", "--"]]),
    ["sh, named like a login shell", ["bash", "-c", "exec -a -sh dash -s"]],
    ["sh, by its path", ["/bin/sh"]],
    ["sh -c", ["sh", "-c", `sh -c "$(cat ${installer})"`]],
    ["sh -c, with a name", ["sh", "-c", `sh -c "$(cat ${installer})" sh`]],
    ["bash with a process substitution", ["bash", "-c", `bash <(cat ${installer})`]],
    ["the dot of bash", ["bash", "-c", `. ${installer}`]],
    ["the dot of sh", ["sh", "-c", `. ${installer}`]],
    ["a path of the standard input", ["sh", "-c", `sh /dev/stdin <${installer}`]],
  ];
  for (const [call, command] of CALLS) {
    test(call, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      const ended = await place.call(server.url, command, { cwd: sharedFolder(place), path: PATH });
      expect(ended).toMatchObject({ code: 0, errors: [] });
      expect([place.ran(), place.read("bin/tcpx")]).toEqual([[], standIn("0.1.0")]);
    });
  }
});

describe("called by its path, it builds", () => {
  async function builds(place: Place, call: string[], start: Start, users: string[]): Promise<void> {
    const ended = await place.call("", call, { path: PATH, ...start });
    expect(ended).toMatchObject({ code: 0, errors: ["tcpx 0.1.0"] });
    expect([place.ran(), place.read("bin/tcpx")]).toEqual([users, standIn("0.1.0")]);
    expect(place.leftovers()).toEqual([]);
  }

  const CALLS: [call: string, command: string[], cwd: string][] = [
    ["./install.sh", ["./install.sh"], "check out"],
    ["a path from elsewhere", ["check out/install.sh"], "."],
    ...SHELLS.map((shell): [string, string[], string] => [
      `${shell.join(" ")} ./install.sh`,
      [...shell, "./install.sh"],
      "check out",
    ]),
  ];
  for (const [call, command, cwd] of CALLS) {
    test(call, async () => {
      using place = new Place();
      const folder = place.checkout();
      // CDPATH leads `cd` to a folder of the same name elsewhere.
      const elsewhere = join(place.root, "elsewhere");
      mkdirSync(join(elsewhere, "check out"), { recursive: true });
      await builds(place, command, { cwd: join(place.root, cwd), env: { CDPATH: elsewhere } }, ["0"]);
      expect(
        Object.keys(place.snapshot(folder)).filter((name) => /install\.|node_modules/.test(name)),
      ).toEqual(["install.sh"]);
    });
  }

  test("one's own, without root", async () => {
    using place = new Place();
    const folder = place.checkout();
    give(folder, join(folder, "install.sh"), join(folder, "package.json"));
    for (const dir of [place.prefix, join(place.root, "cache")]) {
      mkdirSync(dir);
      give(dir);
    }
    await builds(place, [join(folder, "install.sh")], { before: AS_NOBODY }, ["65534"]);
  });

  test("that of who called sudo, and of no other user that says so", async () => {
    using place = new Place();
    const folder = place.checkout();
    give(folder);
    const env = { SUDO_UID: String(NOBODY) };
    await builds(place, [join(folder, "install.sh")], { env }, ["0"]);
    using other = new Place();
    const theirs = other.checkout();
    give(theirs);
    const before = ["setpriv", "--reuid=1", "--regid=1", "--clear-groups", "--"];
    const ended = await other.call("", [join(theirs, "install.sh")], { env, before, path: PATH });
    notBuilt(other, ended, /check out belongs to \S+ \(65534\)/);
  });

  test("above which somebody has put a package.json for a workspace, and programs", async () => {
    using place = new Place();
    chmodSync(place.root, 0o1777);
    place.checkout();
    const scripts = { preinstall: "echo workspace >>ran" };
    writeFileSync(join(place.root, "package.json"), JSON.stringify({ workspaces: ["*"], scripts }));
    give(join(place.root, "package.json"));
    const programs = join(place.root, "node_modules/.bin");
    mkdirSync(programs, { recursive: true });
    writeFileSync(join(programs, "cp"), "#!/bin/sh\necho program >>ran\n", { mode: 0o755 });
    await builds(place, ["check out/install.sh"], {}, ["0"]);
  });

  test("where nobody else may write above it", async () => {
    using place = new Place();
    const mount = "mount -t tmpfs -o mode=755 none /mnt && cp -a 'check out' /mnt/here && exec \"$@\"";
    place.checkout();
    await builds(
      place,
      ["/mnt/here/install.sh"],
      { before: ["unshare", "--mount", "sh", "-c", mount, "sh"] },
      ["0"],
    );
  });
});

describe("what others can change is not built", () => {
  type Change = (folder: string, place: Place) => void;
  const CASES: [what: string, change: Change, says: RegExp][] = [
    ["the folder", (f) => give(f), /check out belongs to \S+ \(65534\)/],
    ["install.sh", (f) => give(join(f, "install.sh")), /install\.sh belongs to \S+ \(65534\)/],
    ["package.json", (f) => give(join(f, "package.json")), /package\.json belongs to \S+ \(65534\)/],
    [
      "a script below it",
      (f) => {
        mkdirSync(join(f, "scripts"));
        writeFileSync(join(f, "scripts/build.ts"), "");
        give(join(f, "scripts/build.ts"));
      },
      /scripts\/build\.ts belongs to \S+ \(65534\)/,
    ],
    [
      "a symbolic link below it",
      (f) => {
        symlinkSync("/nonexistent", join(f, "bunfig.toml"));
        Bun.spawnSync(["chown", "-h", "65534", join(f, "bunfig.toml")]);
      },
      /bunfig\.toml belongs to \S+ \(65534\)/,
    ],
    [
      "a file for everybody",
      (f) => chmodSync(join(f, "stand-in"), 0o777),
      /everybody may write to \S.*stand-in/,
    ],
    [
      "a folder for everybody, with the sticky bit",
      (f) => chmodSync(f, 0o1777),
      /everybody may write to \S.*check out/,
    ],
    [
      "a file for a group",
      (f) => {
        chownSync(join(f, "package.json"), 0, 65534);
        chmodSync(join(f, "package.json"), 0o664);
      },
      /the group 65534 may write to \S.*package\.json/,
    ],
    [
      "a folder above it, without the sticky bit",
      (_, place) => chmodSync(place.root, 0o777),
      /everybody may write to \S.*tcpx install/,
    ],
    ["a folder above it that is somebody's", (_, place) => give(place.root), /belongs to \S+ \(65534\)/],
    [
      "what a symbolic link leads to",
      (f, place) => {
        const target = join(place.root, "target");
        mkdirSync(target);
        give(target);
        renameSync(f, join(target, "check out"));
        symlinkSync(join(target, "check out"), f);
      },
      /target belongs to \S+ \(65534\)/,
    ],
  ];
  for (const [what, change, says] of CASES) {
    test(what, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      const folder = place.checkout();
      change(folder, place);
      const call = [join(folder, "install.sh")];
      notBuilt(place, await place.call(server.url, call, { path: PATH }), says);
      const release = await place.call(server.url, [...call, "--version=0.1.0"], { path: PATH });
      if (!what.includes("above")) expect([release.code, place.ran()]).toEqual([0, []]);
    });
  }

  for (const shell of SHELLS) {
    test(`${shell.join(" ")} install.sh, which is no path`, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      const start = { cwd: place.checkout(), path: PATH };
      const says = /called by a path, as \.\/install\.sh, not as install\.sh; --version VERSION downloads/;
      notBuilt(place, await place.call(server.url, [...shell, "install.sh"], start), says);
    });
  }

  const MANAGERS = ["", "bun@", "bun@../../world/b", "bun@1.4", "bun@1.4.5/..", "bun@1.4.5 x", "npm@1.4.5"];
  for (const manager of [...MANAGERS, "bun@1.4.5+sha512.00", "bun@-1.4.5"]) {
    test(`the Bun ${JSON.stringify(manager)}`, async () => {
      using place = new Place();
      const says = /package\.json must name bun@N\.N\.N in packageManager, and has (none|[ -~]+)$/;
      const call = [join(place.checkout({ manager }), "install.sh")];
      notBuilt(place, await place.call("", call, { path: PATH }), says);
    });
  }
});
