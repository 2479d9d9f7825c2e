// SPDX-License-Identifier: MIT
// Extensions begun, built and tried with the executable and clang alone: on a host without any header of its own.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  appendFileSync,
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Child, cgroupMount, Lab, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { type TcpxOptions, tcpxPath } from "../support/tcpx.ts";

const needs = every("all", labRequirement, hasTool("clang"));

/** Headers of libraries and of the kernel are away; and /etc/tcpx is there for nobody else. */
const SETUP = `mount -t tmpfs tmpfs /usr/include
mkdir -p /etc/tcpx; mount -t tmpfs -o mode=755 tmpfs /etc/tcpx`;
/** Neither is there any clang. */
const WITHOUT = "for file in /usr/bin/clang*; do mount --bind /dev/null $(realpath $file); done; ";

describeIf(needs.ok, needs.reason)("the tools for extensions of one's own", () => {
  let lab: Lab;
  let host: PrivateHost;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab, { setup: SETUP });
  }, 30_000);
  afterEach(async () => {
    expect(await left()).toEqual([]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** What a trial could leave: its cgroup, its folder, its processes, pins. Others may try something meanwhile. */
  async function left(): Promise<string[]> {
    const ours = await host.sh("stat -L -c %i /proc/1/ns/pid");
    const named = (name: string) => name.startsWith(`tcpx-ext-${ours.trim()}-`);
    const processes = await host.sh(
      "ps -e -o args= | grep -e 'unshare --[m]ount' -e 'internal-[e]xt' || true",
    );
    return [...readdirSync(cgroupMount()).filter(named), ...processes.split("\n").filter(Boolean)];
  }

  const at = (...parts: string[]) => join(lab.dir, ...parts);
  const change = (file: string, from: string, to: string) => {
    const text = readFileSync(file, "utf8");
    expect(text).toContain(from);
    writeFileSync(file, text.replace(from, to));
  };
  const begun = async (name: string, kind = "local") => {
    await host.ok(["ext", "new", name, "--kind", kind, "--dir", lab.dir]);
    return at(name);
  };
  const tried = (folder: string, options: TcpxOptions = {}) =>
    host.ok(["ext", "test", folder], { json: true, ...options });
  /** The one line on stderr behind what clang has said, and the exit code. */
  async function refused(...args: string[]): Promise<[number, string]> {
    const { code, stdout, stderr } = await host.tcpx(args);
    expect(stdout).toBe("");
    return [code, stderr.trimEnd().split("\n").at(-1)!.replaceAll(lab.dir, "DIR")];
  }

  test("there is no header of the host", async () => {
    writeFileSync(at("plain.c"), "#include <linux/bpf.h>\n");
    const words = ["clang", "-target", "bpf", "-c", at("plain.c"), "-o", "/dev/null"];
    expect(await host.sh(`${words.join(" ")} 2>&1 || true`)).toContain("'linux/bpf.h' file not found");
  });

  test("local: what begins as one works as it is, and can be added", async () => {
    const folder = await begun("my-pace");
    const { made } = (await host.ok(["ext", "build", folder], { json: true })).json;
    expect(made.map(({ name }: { name: string }) => name)).toEqual(["my-pace.bpf.o", "my-pace.tcpx"]);
    const { json } = await tried(folder);
    expect(json).toMatchObject({ ok: true, name: "my-pace", test: { exit_code: 0 } });
    expect(json.ends).toMatchObject([
      { end: "client", command: "tcpx my-pace set 8M", counters: { applied: json.tried.length } },
      { end: "server", command: null },
    ]);
    for (const { syn, syn_ack, later, client, server } of json.tried) {
      expect([syn, syn_ack, later]).toEqual([[], [], []]);
      expect([client, server].map((end) => end.pacing_bytes_per_second)).toEqual([1_000_000, null]);
    }
    expect((await host.ok(["ext", "list"], { json: true })).json.installed).toEqual([]);
    await host.ok(["ext", "add", join(folder, "my-pace.tcpx")]);
    await host.ok(["ext", "remove", "my-pace"]);
  }, 20_000);

  test("option: its bytes are on SYN and SYN-ACK, its values are marks of the sockets", async () => {
    const { json } = await tried(await begun("my-tag", "option"));
    const exid = /exid = 0x([0-9a-f]{4})/.exec(readFileSync(at("my-tag", "extension.toml"), "utf8"))![1];
    for (const { syn, syn_ack, later, client, server } of json.tried) {
      expect([syn, syn_ack, later]).toEqual([[`fe08${exid}00000028`], [`fe08${exid}00000007`], []]);
      expect([client.mark, server.mark]).toEqual([7, 40]);
    }
    expect(json.tried[0].family).toBe(4);
  }, 20_000);

  test("request: it is asked and answered, and both sockets have what was granted", async () => {
    const { stdout } = await host.ok(["ext", "test", await begun("my-wish", "request")]);
    expect(stdout).toMatch(/SYN +fe06[0-9a-f]{4}0006 +my-wish asks for 6/);
    expect(stdout).toMatch(/SYN-ACK +fe06[0-9a-f]{4}0004 +my-wish grants 4/);
    expect(stdout).toContain("client$ tcpx my-wish set 6\nserver$ tcpx my-wish accept --max 4\n");
    expect(stdout).toContain("test.sh: ok");
  }, 20_000);

  test("congestion: transfers use it, and it is gone with them", async () => {
    const name = `t-${crypto.randomUUID().slice(0, 6)}`;
    const control = name.replace("-", "_");
    const folder = await begun(name, "congestion");
    const { made } = (await host.ok(["ext", "build", folder], { json: true })).json;
    expect(made).toHaveLength(1);
    const { json } = await tried(folder);
    for (const { client, server } of json.tried)
      expect([client, server].map((end) => end.congestion_control)).toEqual([control, control]);
    const available = () => readFileSync("/proc/sys/net/ipv4/tcp_available_congestion_control", "utf8");
    expect(await until(() => !available().includes(control))).toBe(true);
  }, 20_000);

  test("the same folder gives the same bytes, wherever it is", async () => {
    const folder = await begun("same", "option");
    const source = join(folder, "same.bpf.c");
    const all = ["bpf_endian", "bpf_core_read", "bpf_tracing"].map((name) => `#include <bpf/${name}.h>\n`);
    writeFileSync(source, readFileSync(source, "utf8") + all.join(""));
    const sums = async (dir: string) =>
      (await host.ok(["ext", "build", dir], { json: true })).json.made.map(
        ({ sha256 }: { sha256: string }) => sha256,
      );
    cpSync(folder, at("elsewhere", "deep"), { recursive: true });
    expect(await sums(at("elsewhere", "deep"))).toEqual(await sums(folder));
    expect(await sums(folder)).toEqual(await sums(folder));
  }, 20_000);

  test("test.sh has the extension on a host of its own, and its exit code is the test's", async () => {
    const folder = await begun("probe-it");
    const script = `set -eu
[ "$($TCPX ext list --json | grep -c '"name":"probe-it"')" = 1 ]
$TCPX_CLIENT $TCPX connections --json >"$TCPX_TMP/list"
grep -q '"name":"${"probe-it"}"\\|probe-it' "$TCPX_TMP/list"
[ "$($TCPX_SERVER cat /proc/self/cgroup | sed -n 's/^0:://p')" = /server ]
$TCPX_CLIENT ip address show | grep -q "$TCPX_CLIENT_ADDRESS6"
$TCPX uto set 7s
[ "$(ls "$TCPX_TMP")" = list ]
echo reached
exit 7
`;
    writeFileSync(join(folder, "test.sh"), script);
    const { code, stdout, stderr } = await host.tcpx(["ext", "test", folder]);
    expect([code, stdout.includes("reached\ntest.sh: failed with 7"), stderr]).toEqual([
      1,
      true,
      `tcpx: probe-it: its test failed\n`,
    ]);
    expect((await host.ok(["uto", "show"], { json: true })).json.rules).toEqual([]);
    expect(existsSync("/etc/tcpx/extensions")).toBe(false);
  }, 20_000);

  test("what clang, the linker, the verifier or the manifest has against it is one line, with its place", async () => {
    const folder = await begun("odd", "option");
    const [source, manifest] = [join(folder, "odd.bpf.c"), join(folder, "extension.toml")];
    const good = readFileSync(source, "utf8");
    change(source, "tcpx_speak(0);", "tcpx_speak(0)");
    const { code, stderr } = await host.tcpx(["ext", "build", folder]);
    expect([code, stderr]).toEqual([1, expect.stringMatching(/^odd\.bpf\.c:\d+:\d+: error: /)]);
    expect(stderr).toEndWith("tcpx: odd.bpf.c does not compile\n");
    writeFileSync(source, good.replace("tcpx_speak(0);", "int unused = 1;\n\ttcpx_speak(0);"));
    expect((await host.ok(["ext", "build", folder])).stderr).toMatch(/^odd\.bpf\.c:\d+:6: warning: unused/);
    writeFileSync(source, good.replace("tcpx_speak(0);", "while (tcpx_word(0) != 1)\n\t\ttcpx_speak(0);"));
    const [verified, why] = await refused("ext", "test", folder);
    expect([verified, why]).toEqual([3, expect.stringContaining("the kernel refused")]);
    writeFileSync(source, '#include "tcpx_ext.h"\nint nothing;\n');
    expect((await refused("ext", "build", folder))[1]).toContain("has no hook");
    writeFileSync(source, "#include <linux/tcp.h>\n");
    expect(await refused("ext", "build", folder)).toEqual([
      1,
      expect.stringMatching(
        /^tcpx: odd\.bpf\.c does not compile; .*inside are bpf\/.* tcpx_ext\.h; others go/,
      ),
    ]);
    change(manifest, 'name = "odd"', 'name = "even"');
    expect((await refused("ext", "build", folder))[1]).toContain("DIR/odd has no even.bpf.c, but odd.bpf.c");
    change(manifest, 'name = "even"', "name = 5");
    expect(await refused("ext", "test", folder)).toEqual([
      2,
      expect.stringContaining("extension.toml:4: name"),
    ]);
    rmSync(manifest);
    expect((await refused("ext", "build", folder))[1]).toContain("DIR/odd has no extension.toml");
  }, 30_000);

  test("names that are taken are no names of new ones, and nothing is written", async () => {
    const before = readdirSync(lab.dir);
    for (const name of ["uto", "run", "set", "internal-x"])
      expect((await refused("ext", "new", name, "--dir", lab.dir))[0]).toBe(2);
    expect(readdirSync(lab.dir)).toEqual(before);
  });

  test("without clang it is said what to install", async () => {
    const folder = await begun("bare");
    const wrap = ["unshare", "--mount", "sh", "-c", `${WITHOUT}exec "$@"`, "sh"];
    const { code, stderr } = await host.tcpx(["ext", "build", folder], { wrap });
    expect([code, stderr]).toEqual([
      3,
      "tcpx: the program 'clang' is missing; install the package clang, or name one with --clang PATH\n",
    ]);
  });

  /** Ends when the test does. @returns what it has printed so far */
  function developing(folder: string): { child: Child; said: () => string } {
    const child = lab.spawn([...host.wrap, tcpxPath(), "ext", "dev", folder], { stderr: "pipe" });
    let text = "";
    for (const stream of [child.stdout, child.stderr as ReadableStream<Uint8Array>])
      void (async () => {
        for await (const chunk of stream) text += new TextDecoder().decode(chunk);
      })();
    return { child, said: () => text };
  }

  test("dev tries it at every save, with events, and Ctrl-C leaves nothing", async () => {
    const folder = await begun("again", "option");
    const { child, said } = developing(folder);
    const trials = (n: number) => until(() => said().split("test.sh: ok").length > n);
    expect(await trials(1)).toBe(true);
    expect(said()).toMatch(/ > 192\.0\.2\.2:7001 +again +said/);
    const source = join(folder, "again.bpf.c");
    appendFileSync(source, "oops\n");
    expect(await until(() => said().includes("again.bpf.c does not compile"))).toBe(true);
    change(source, "oops\n", "");
    expect(await trials(2)).toBe(true);
    await host.sh(`kill -INT $(pgrep -f '^${tcpxPath()} ext dev')`);
    expect([await child.exited, await left()]).toEqual([0, []]);
  }, 30_000);

  test("killed, it leaves nothing either", async () => {
    const folders = () => readdirSync(tmpdir()).filter((name) => name.startsWith("tcpx-ext-"));
    const before = folders();
    const { said } = developing(await begun("brief"));
    expect(await until(() => said().includes("test.sh: ok"))).toBe(true);
    const own = folders().filter((name) => !before.includes(name));
    expect((await left()).length).toBeGreaterThan(0);
    await host.sh(`kill -KILL $(pgrep -f '^${tcpxPath()} ext dev')`);
    expect(await until(async () => (await left()).length === 0)).toBe(true);
    expect(await until(() => !own.some((name) => folders().includes(name)))).toBe(true);
  }, 30_000);
});
