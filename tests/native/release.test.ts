// SPDX-License-Identifier: MIT
// `bun run release`: what it makes starts on every target, is the same wherever it is made, and is what
// install.sh installs, on glibc and on musl.

import { afterAll, beforeAll, expect, test } from "bun:test";
import {
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { JSC } from "../../cli/system/runtime-env.ts";
import { cacheDir } from "../../scripts/lib/cache.ts";
import { TARGETS, targetsNamed } from "../../scripts/lib/targets.ts";
import { commandFor, missingFor, muslRoot } from "../../scripts/release/elsewhere.ts";
import { sha256 } from "../../scripts/release/sums.ts";
import { INSTALLER, serve } from "../support/installer.ts";
import { describeIf, testIf } from "../support/requires.ts";

const ROOT = resolve(import.meta.dir, "../..");
const MINUTES = 60_000;

const root = mkdtempSync(join(tmpdir(), "tcpx-release-test-"));
const out = join(root, "out");
const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"));
const server = serve(out);
afterAll(() => {
  server[Symbol.dispose]();
  rmSync(root, { recursive: true, force: true });
});

interface Result {
  code: number;
  out: string;
  err: string;
}

async function runs(argv: string[], env: Record<string, string> = {}, cwd = ROOT): Promise<Result> {
  const options = { cwd, stdin: "ignore", stdout: "pipe", stderr: "pipe", timeout: 5 * MINUTES } as const;
  const child = Bun.spawn(argv, { ...options, env: { ...process.env, ...env } });
  const [text, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  return { code, out: text, err };
}

/** The executable of a target, unpacked. */
function executable(name: string): string {
  const path = join(root, `tcpx-${name}`);
  if (!existsSync(path)) {
    const packed = readFileSync(join(out, version, `tcpx-linux-${name}.gz`));
    writeFileSync(path, Bun.gunzipSync(packed), { mode: 0o755 });
  }
  return path;
}

/** All that a release needs of a checkout, elsewhere, with no result of an earlier build. */
function copyOfCheckout(): { folder: string; cache: string } {
  const folder = join(root, "another place with a longer name");
  const cache = join(root, "c");
  mkdirSync(join(cache, "build"), { recursive: true });
  mkdirSync(folder);
  for (const name of ["cli", "embedded-bpf", "native-loader", "scripts", "install.sh", "LICENSE"]) {
    cpSync(join(ROOT, name), join(folder, name), { recursive: true });
  }
  for (const name of ["package.json", "tsconfig.json"]) copyFileSync(join(ROOT, name), join(folder, name));
  symlinkSync(join(ROOT, "node_modules"), join(folder, "node_modules"));
  // What was downloaded, and compared with its sums, need not be downloaded again.
  for (const name of readdirSync(join(cacheDir(), "build"))) {
    const downloaded = /^(bridge-sources|runtimes|musl-root)-/.test(name);
    if (downloaded) symlinkSync(join(cacheDir(), "build", name), join(cache, "build", name));
  }
  return { folder, cache };
}

/** musl's root is in a mount namespace of its own, where tcpx mounts no bpffs: what the machine has is no matter. */
const OWN_BPFFS = ["unshare", "--mount", "sh", "-c", 'mount -t bpf bpf /sys/fs/bpf && exec "$@"', "sh"];

const compiler = "aarch64-linux-gnu-gcc";
const ready = process.arch === "x64" && Bun.which(compiler) !== null;
const missing = new Map<string, string | undefined>();
for (const target of TARGETS) missing.set(target.name, await missingFor(target));
/** A test that starts executables of these targets. */
const testOf = (...names: string[]) => {
  const why = names.map((name) => missing.get(name)).find((reason) => reason !== undefined);
  return testIf(why === undefined, why ?? "");
};

describeIf(ready, `x86-64 with ${compiler}`)("a release", () => {
  let said = "";

  beforeAll(async () => {
    const made = await runs([process.execPath, "scripts/release.ts", "--out", out, "--base-url", server.url]);
    expect(made).toMatchObject({ code: 0, err: "" });
    said = made.out;
  }, 5 * MINUTES);

  testOf(...TARGETS.map(({ name }) => name))("every executable has been started", () => {
    const lines = said.trim().split("\n");
    expect(lines).toHaveLength(TARGETS.length + 1);
    for (const [i, { name }] of TARGETS.entries()) {
      expect(lines[i]).toMatch(new RegExp(`^tcpx-linux-${name}: .*; starts on .*: tcpx ${version}$`));
    }
  });

  test("its files, their sums and licences", async () => {
    const files = readdirSync(join(out, version)).sort();
    const packed = TARGETS.map(({ name }) => `tcpx-linux-${name}.gz`);
    expect(files).toEqual(["LICENCES.txt", "SHA256SUMS", "install.sh", ...packed].sort());
    const judge = ["sha256sum", "--check", "--strict", "--ignore-missing", "SHA256SUMS"];
    const checked = await runs(judge, {}, join(out, version));
    expect(checked.code).toBe(0);
    expect(checked.out.split("\n").filter((line) => line.endsWith(": OK"))).toHaveLength(files.length - 1);
    const licences = readFileSync(join(out, version, "LICENCES.txt"), "utf8");
    for (const part of ["tcpx", "libbpf", "libelf", "zlib", "citty", "valibot", `Bun ${Bun.version}`]) {
      expect(licences).toContain(`===== ${part}`);
    }
    expect((await runs([executable("x64"), "version", "--licences"])).out).toBe(licences);
    expect(readFileSync(join(out, "latest"), "utf8")).toBe(`${version}\n`);
  });

  test(
    "is the same from another folder, without a cache, with other settings",
    async () => {
      const { folder, cache } = copyOfCheckout();
      // One target: the others differ in what the same steps begin with.
      const names = ["x64"];
      const env = { TCPX_CACHE_DIR: cache, TZ: "Pacific/Kiritimati", LANG: "C.UTF-8", USER: "somebody" };
      const flags = names.flatMap((name) => ["--target", name]);
      const again = join(root, "again");
      const command = ["sh", "-c", 'umask 077 && exec "$@"', "sh", process.execPath, "scripts/release.ts"];
      const made = await runs([...command, "--out", again, "--base-url", server.url, ...flags], env, folder);
      expect(made).toMatchObject({ code: 0, err: "" });
      const built = readdirSync(join(cache, "build")).filter((name) => /^(bpf|bridge-x64)-/.test(name));
      expect(built).toHaveLength(2);
      for (const name of ["LICENCES.txt", "install.sh", ...names.map((n) => `tcpx-linux-${n}.gz`)]) {
        const [one, two] = [out, again].map((place) => sha256(readFileSync(join(place, version, name))));
        expect(`${name} ${two}`).toBe(`${name} ${one}`);
      }
    },
    5 * MINUTES,
  );

  for (const target of targetsNamed(["x64-musl", "arm64", "arm64-musl"])) {
    testOf(target.name)(`${target.name} does and says what x64 does`, async () => {
      const place = await commandFor(target, executable(target.name));
      if ("missing" in place) throw new Error(place.missing);
      for (const args of [["version"], ["--help"], ["completion", "bash"], ["iw", "set", "nonsense"]]) {
        expect(await runs([...place.command, ...args])).toEqual(await runs([executable("x64"), ...args]));
      }
    });

    testOf(target.name)(`${target.name} is steered by no variable of the runtime`, async () => {
      const place = await commandFor(target, executable(target.name));
      if ("missing" in place) throw new Error(place.missing);
      const [code, trace, written] = ["code.js", "ran", "written"].map((name) => join(root, name));
      writeFileSync(code!, `require("node:fs").writeFileSync(${JSON.stringify(trace)}, "")`);
      const env = {
        BUN_OPTIONS: `--preload ${code}`,
        BUN_BE_BUN: "1",
        BUN_INSPECT: `unix://${written}`,
        BUN_INSPECT_CONNECT_TO: `unix://${written}`,
        BUN_BYTECODE_ORDER_OUT: written!,
        BUN_BYTECODE_DIGEST_OUT: written!,
        BUN_JSC_dumpOptions: "2",
        [`${JSC.prefix}useConcurrentJIT`]: "0",
      };
      expect(await runs([...place.command, "version"], env)).toEqual(
        await runs([executable("x64"), "version"]),
      );
      expect([trace, written].filter((path) => existsSync(path!))).toEqual([]);
      const refused = await runs([...place.command, "version"], { [`${JSC.prefix}dumpOptions`]: "2" });
      expect(refused.err).toStartWith("error: invalid JSC environment variable");
    });

    testOf(target.name)(
      `${target.name} loads its bridge, and doctor says what this host can do`,
      async () => {
        const place = await commandFor(target, executable(target.name));
        if ("missing" in place) throw new Error(place.missing);
        const doctor = await runs([...OWN_BPFFS, ...place.command, "doctor"]);
        if (target.arch === "x64") {
          expect(doctor).toMatchObject({ code: 0, err: "" });
          expect(doctor.out).toMatch(/^negotiation +ok /m);
        } else {
          // qemu's user mode has no bpf(2): libbpf was asked, and told so
          expect(doctor.out).toMatch(/^TCP header options +fail +.*\(ENOSYS\)$/m);
          expect(doctor.code).toBe(3);
        }
      },
    );
  }

  test("curl | sh installs it, from where install.sh was published", async () => {
    const prefix = join(root, "prefix");
    const env = { TCPX_PREFIX: prefix, TCPX_CACHE_DIR: join(root, "none"), TCPX_BASE_URL: "" };
    const installed = await runs(["sh", "-c", `curl -fsSL ${server.url}/install.sh | sh`], env);
    expect(installed).toMatchObject({ code: 0, out: "" });
    const tcpx = join(prefix, "bin/tcpx");
    expect(readFileSync(tcpx).equals(readFileSync(executable("x64")))).toBe(true);
    const completion = readFileSync(join(prefix, "share/bash-completion/completions/tcpx"), "utf8");
    expect((await runs([tcpx, "completion", "bash"])).out).toBe(completion);
    const cut = await runs(["sh", "-c", `'${tcpx}' version --licences | head -n 1`]);
    expect(cut).toEqual({ code: 0, out: "===== tcpx =====\n", err: "" });
    expect(readFileSync(join(prefix, "share/man/man1/tcpx.1"), "utf8")).toContain(".TH TCPX");
  });

  testOf("x64-musl")(
    "a host with musl and busybox installs the one for musl; without libstdc++ it says what is missing",
    async () => {
      const host = join(root, "musl");
      cpSync(await muslRoot("x64"), host, { recursive: true, verbatimSymlinks: true });
      mkdirSync(join(host, "bin"));
      copyFileSync(Bun.which("busybox")!, join(host, "bin/busybox"));
      copyFileSync(INSTALLER, join(host, "install.sh"));
      for (const applet of (await runs(["busybox", "--list"])).out.trim().split("\n")) {
        if (applet !== "busybox") symlinkSync("busybox", join(host, "bin", applet));
      }
      const mounts = 'for dir in proc sys dev; do mount --rbind "/$dir" "$0/$dir"; done';
      const shell = `${mounts}; exec chroot "$0" /bin/sh -c 'PATH=/bin sh -s -- --prefix /opt </install.sh && /opt/bin/tcpx version'`;
      const install = () =>
        runs(["unshare", "--mount", "sh", "-c", shell, host], { TCPX_BASE_URL: server.url });
      const installed = await install();
      expect(installed).toMatchObject({ code: 0 });
      expect(installed.out).toStartWith(`tcpx ${version}\n`);
      expect(readFileSync(join(host, "opt/bin/tcpx")).equals(readFileSync(executable("x64-musl")))).toBe(
        true,
      );
      rmSync(join(host, "usr/lib/libstdc++.so.6"));
      rmSync(join(host, "opt"), { recursive: true });
      const refused = await install();
      expect(refused.err).toContain(
        "install: error: tcpx does not run here (on Alpine it needs: apk add libstdc++): ",
      );
      expect([refused.code, existsSync(join(host, "opt"))]).toEqual([1, false]);
    },
  );
});
