// SPDX-License-Identifier: MIT
// install.sh on hosts where something is in the way: rights, space, another system, rules still there.

import { describe, expect, test } from "bun:test";
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { unitText } from "../../cli/persist/unit.ts";
import { TARGETS } from "../../scripts/lib/targets.ts";
import { Place, releaseOf, type Start, serve } from "../support/installer.ts";
import { testIf } from "../support/requires.ts";
import { AS_NOBODY, give, refused } from "../support/strangers.ts";

/** Mounts of its own, which end with it: `setup` is a shell command that makes them. */
const withMounts = (setup: string, ...args: string[]) => [
  ...["unshare", "--mount", "sh", "-c", `${setup} && n=$1 && shift && shift "$n" && exec "$@"`, "sh"],
  ...[`${args.length}`, ...args],
];

describe("rights", () => {
  test("a prefix of one's own needs no root", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    mkdirSync(place.prefix);
    give(place.prefix);
    expect(await place.install(server.url, { before: AS_NOBODY })).toMatchObject({ code: 0, errors: [] });
    expect(existsSync(join(place.prefix, "bin/tcpx"))).toBe(true);
  });

  test("a prefix of somebody else's, and no sudo", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    refused(
      await place.install(server.url, { before: AS_NOBODY }),
      /installing into .* needs root: run this as root/,
    );
    expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
  });

  test("a sudo that wants a password, and no terminal", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    const sudo = place.script("sudo", "echo a password is required >&2; exit 1");
    const path = `${sudo}:${place.tools("tools", ["sh", "id", "dirname", "mktemp", "uname", "rm", "cat", "curl"])}`;
    const says = /sudo wants a password: run `sudo -v` first/;
    const start: Start = { before: AS_NOBODY, path: `${path}:/usr/bin` };
    refused(await place.install(server.url, start), says);
  });

  testIf(Bun.which("sudo") !== null, "the program sudo")("somebody else's prefix, with sudo", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    writeFileSync(join(place.root, "sudoers"), "nobody ALL=(ALL) NOPASSWD: ALL\n", { mode: 0o440 });
    const mounts = withMounts(`mount --bind "$2" /etc/sudoers`, join(place.root, "sudoers"));
    const before = [...mounts, ...AS_NOBODY];
    const first = await place.install(server.url, { before, downloaders: ["curl", "sudo"] });
    expect(first).toMatchObject({ code: 0, errors: [] });
    expect(place.snapshot()["bin/tcpx"]).toStartWith("755 ");
    const again = { before, downloaders: ["curl", "sudo"], args: ["--uninstall"] };
    expect((await place.install(server.url, again)).code).toBe(0);
    expect(existsSync(join(place.prefix, "bin/tcpx"))).toBe(false);
  });

  test("a read-only prefix, and a file where a folder should be", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    mkdirSync(place.prefix);
    const before = withMounts('mount -t tmpfs -o ro none "$2"', place.prefix);
    refused(await place.install(server.url, { before }), /cannot create .*bin: .*Read-only file system/);
    writeFileSync(join(place.root, "file"), "");
    const args = ["--prefix", join(place.root, "file")];
    refused(await place.install(server.url, { args }), /cannot create .*: .*(Not a directory|File exists)/);
    expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
  });
});

describe("space", () => {
  const small = (dir: string) => withMounts('mount -t tmpfs -o size=96k none "$2"', dir);

  test("none for the download", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    refused(await place.install(server.url, { before: small(place.tmp) }), /cannot download .*x64\.gz: /);
    expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
  });

  test("none for the executable: not even folders are left", async () => {
    using place = new Place();
    using server = serve(releaseOf("0.1.0"));
    mkdirSync(place.prefix);
    const look = 'mount -t tmpfs -o size=96k none "$2" && trap \'find "$2" >"$3"\' EXIT && shift 3 && "$@"';
    const list = join(place.root, "list");
    const before = ["unshare", "--mount", "sh", "-c", look, "sh", "", place.prefix, list];
    // $2 and $3 are gone after the shift: the trap runs with what was there before.
    before[4] = `prefix=$2 list=$3 && ${look.replaceAll("$2", "$prefix").replaceAll("$3", "$list")}`;
    refused(await place.install(server.url, { before }), /cannot write .*bin\/tcpx: .*No space left/);
    expect(readFileSync(list, "utf8")).toBe(`${place.prefix}\n`);
    expect(place.leftovers()).toEqual([]);
  });
});

describe("systems", () => {
  const uname = (system: string, machine: string) => `[ "$1" = -m ] && echo ${machine} || echo ${system}`;
  const CASES: [system: string, machine: string, says: RegExp][] = [
    ["Linux", "riscv64", /not on Linux on riscv64$/],
    ["Linux", "i686", /not on Linux on i686$/],
    ["Darwin", "x86_64", /not on Darwin on x86_64$/],
  ];
  for (const [system, machine, says] of CASES) {
    test(`${system} on ${machine}`, async () => {
      using place = new Place();
      using server = serve(releaseOf("0.1.0"));
      const path = `${place.script("uname", uname(system, machine))}:/usr/bin:/bin`;
      refused(await place.install(server.url, { path }), says);
      expect([place.snapshot(), place.leftovers()]).toEqual([{}, []]);
    });
  }

  const LDD = {
    glibc: 'echo "ldd (Debian GLIBC 2.36-9) 2.36"',
    musl: 'printf "musl libc (x86_64)\\nVersion 1.2.5\\n" >&2; exit 1',
  };
  for (const target of TARGETS) {
    test(`the right file for ${target.name}`, async () => {
      using place = new Place();
      const files = releaseOf("0.1.0");
      const name = `0.1.0/tcpx-linux-${target.name}.gz`;
      for (const path of files.keys()) if (path.endsWith(".gz") && path !== name) files.delete(path);
      using server = serve(files);
      const machine = target.arch === "arm64" ? "aarch64" : "x86_64";
      const scripts = [place.script("uname", uname("Linux", machine)), place.script("ldd", LDD[target.libc])];
      const ended = await place.install(server.url, { path: `${scripts.join(":")}:/usr/bin:/bin` });
      expect(ended).toMatchObject({ code: 0, errors: [] });
      expect(ended.err).toContain(`/${name}\n`);
    });
  }

  test("without any downloader, without a URL, with a wrong one", async () => {
    using place = new Place();
    refused(await place.install("http://127.0.0.1:1", { downloaders: [] }), /curl or wget is needed/);
    refused(await place.install(""), /no URL of releases is known; set TCPX_BASE_URL/);
    refused(await place.install("ftp://127.0.0.1/"), /must begin with https:\/\/ or http:\/\/, and is ftp:/);
    for (const args of [
      ["--version", "../1"],
      ["--version=-x"],
      ["--nonsense"],
      ["--prefix"],
      ["--reset"],
      ["--dev"],
    ]) {
      expect((await place.install("http://127.0.0.1:1", { args })).errors).toHaveLength(1);
    }
    expect(place.snapshot()).toEqual({});
  });
});

describe("rules that are still there", () => {
  /** A host of which /sys/fs/bpf/tcpx exists, and nothing of the real one's. */
  const RULES = withMounts("mount -t tmpfs none /sys/fs/bpf && mkdir /sys/fs/bpf/tcpx");
  const wasReset = (place: Place) => existsSync(join(place.prefix, "was-reset"));

  async function installed(): Promise<Place> {
    const place = new Place();
    using server = serve(releaseOf("0.1.0"));
    expect((await place.install(server.url)).code).toBe(0);
    return place;
  }

  test("without a terminal they stay, and --reset ends them", async () => {
    using place = await installed();
    const kept = await place.install("", { args: ["--uninstall"], before: RULES });
    expect(kept.err).toContain("tcpx still has rules in /sys/fs/bpf/tcpx");
    expect([kept.code, wasReset(place), existsSync(join(place.prefix, "bin/tcpx"))]).toEqual([
      0,
      false,
      false,
    ]);
    using other = await installed();
    const ended = await other.install("", { args: ["--uninstall", "--reset"], before: RULES });
    expect([ended.code, wasReset(other), existsSync(join(other.prefix, "bin/tcpx"))]).toEqual([
      0,
      true,
      false,
    ]);
  });

  test("a reset that fails leaves everything", async () => {
    using place = await installed();
    const before = place.snapshot();
    writeFileSync(join(place.prefix, "bin/tcpx"), "#!/bin/sh\nexit 1\n");
    refused(
      await place.install("", { args: ["--uninstall", "--reset"] }),
      /tcpx reset failed; nothing was removed/,
    );
    expect(Object.keys(place.snapshot())).toEqual(Object.keys(before));
  });

  for (const [answer, reset] of [
    ["y", true],
    ["n", false],
    ["", false],
  ] as const) {
    test(`on a terminal: ${answer || "only enter"}`, async () => {
      using place = await installed();
      const script = join(import.meta.dir, "../../install.sh");
      const command = `sh '${script}' --uninstall --prefix '${place.prefix}'`;
      const child = Bun.spawn([...RULES, "script", "-qec", command, "/dev/null"], {
        env: { PATH: "/usr/bin:/bin", HOME: place.root, SHELL: "/bin/sh" },
        stdin: Buffer.from(`${answer}\n`),
        stdout: "pipe",
        stderr: "pipe",
      });
      expect(await child.stdout.text()).toContain('End them, with "tcpx reset"? [y/N]');
      expect(await child.exited).toBe(0);
      expect([wasReset(place), existsSync(join(place.prefix, "bin/tcpx"))]).toEqual([reset, false]);
    });
  }
});

describe("a unit of `persist on`", () => {
  /** Uninstalls where systemd has a unit that starts this executable. */
  async function uninstalled(place: Place, executable: string, program?: string) {
    using server = serve(releaseOf("0.1.0"));
    expect((await place.install(server.url)).code).toBe(0);
    if (program !== undefined) writeFileSync(join(place.prefix, "bin/tcpx"), program);
    const kept = join(place.root, "unit");
    writeFileSync(kept, unitText([executable]));
    const units = "/etc/systemd/system";
    const before = withMounts(`mount -t tmpfs none ${units} && cp '${kept}' ${units}/tcpx.service`);
    const { code, err } = await place.install("", { args: ["--uninstall"], before });
    expect([code, existsSync(join(place.prefix, "bin/tcpx"))]).toEqual([0, false]);
    return { off: existsSync(join(place.prefix, "was-off")), err };
  }

  test("ends with the executable that it starts", async () => {
    using place = new Place();
    const { off, err } = await uninstalled(place, join(place.prefix, "bin/tcpx"));
    expect(off).toBe(true);
    expect(err).toContain("removed /etc/systemd/system/tcpx.service; /etc/tcpx/policy.toml stays");
  });

  test("stays when it starts another one", async () => {
    using place = new Place();
    const { off, err } = await uninstalled(place, "/opt/other/bin/tcpx");
    expect(off).toBe(false);
    expect(err).not.toContain("tcpx.service");
  });

  test("what to do is said when it cannot be ended", async () => {
    using place = new Place();
    const { err } = await uninstalled(place, join(place.prefix, "bin/tcpx"), "#!/bin/sh\nexit 1\n");
    expect(err).toContain("tcpx.service stays, and fails at every start");
    expect(err).toContain("as root: systemctl disable tcpx.service; rm /etc/systemd/system/tcpx.service");
  });
});
