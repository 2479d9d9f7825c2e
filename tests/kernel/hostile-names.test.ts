// SPDX-License-Identifier: MIT
// Whoever may make a cgroup, a process or a file chooses its name. Whatever tcpx prints of it, to whichever
// stream, a terminal shows it and does nothing else; scripts get the name itself.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { rmdirSync } from "node:fs";
import { basename, join } from "node:path";
import { parse } from "smol-toml";
import { run } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import type { TcpxOptions, TcpxResult } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

/** A name, and how it is shown. */
const NAMES: [name: string, shown: string][] = [
  ["terminal\x1b[31m\x1b]0;t\x07", "terminal\\x1b[31m\\x1b]0;t\\x07"],
  ["c0\rb\b\tb\x7f", "c0\\x0db\\x08\\x09b\\x7f"],
  ["c1\u009b31m", "c1\\u009b31m"],
  ["bidi\u202e\u2066\u200e\u200f\u061c", "bidi\\u202e\\u2066\\u200e\\u200f\\u061c"],
  ["nothing\u200b\ufeff\u2028\u{e0041}", "nothing\\u200b\\ufeff\\u2028\\U000e0041"],
  ["Grüße 日本 \u{1f469}\u200d\u{1f680}", "Grüße 日本 \u{1f469}\u200d\u{1f680}"],
];
const HOSTILE = NAMES.filter(([name, shown]) => name !== shown);
/** Written down apart from the code: what a terminal obeys, hides or turns around. */
const UNSAFE =
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  /[\x00-\x09\x0b-\x1f\x7f-\x9f\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u2069\ufeff\u{e0000}-\u{e007f}]/u;

describeIf(labRequirement.ok, labRequirement.reason)("names that others choose", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let root: string;
  let cgroups: string[];

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    root = u.lab.cgroup("names");
    cgroups = NAMES.map(([name]) => u.lab.cgroup(name, root));
  });
  afterAll(() => u[Symbol.asyncDispose]());

  function expectSafe(words: readonly string[], { stdout, stderr }: TcpxResult): void {
    expect([words, UNSAFE.exec(stdout)?.[0], UNSAFE.exec(stderr)?.[0]]).toEqual([
      words,
      undefined,
      undefined,
    ]);
  }

  /** One that ends with 0, for people and for scripts, and how much of it with --verbose. */
  async function said(words: readonly string[], options: TcpxOptions = {}): Promise<TcpxResult> {
    const result = await host.tcpx(words, options);
    expectSafe(words, result);
    expect({ words, code: result.code, stderr: result.stderr }).toMatchObject({ words, code: 0 });
    return result;
  }

  async function refused(words: readonly string[], options: TcpxOptions = {}): Promise<TcpxResult> {
    for (const more of [["--verbose"], ["--json"], []]) {
      const result = await host.tcpx([...words, ...more], options);
      expectSafe(words, result);
      expect([words, result.code > 0]).toEqual([words, true]);
      if (more.length > 0) continue;
      expect(result.stderr).toMatch(/^tcpx: [^\n]+\n$/);
      return result;
    }
    throw new Error("not reached");
  }

  test("changes of rules", async () => {
    for (const [i, [, shown]] of NAMES.entries()) {
      const where = ["--cgroup", cgroups[i]!];
      expect((await said(["uto", "set", "4s", ...where, "--dry-run"])).stdout).toContain(shown);
      expect((await said(["uto", "set", "4s", ...where, "--verbose"])).stdout).toContain(shown);
      expect((await said(["uto", "set", "4s", ...where])).stdout).toContain(shown);
      const { json } = await said(["uto", "set", "5s", ...where], { json: true });
      expect(basename(json.scope.cgroup)).toBe(NAMES[i]![0]);
      expect((await said(["iw", "accept", "--max", "20", ...where])).stdout).toContain(shown);
      expect((await said(["iw", "unset", "--all", ...where])).stdout).toContain(shown);
      expect((await said(["uto", "show", ...where])).stdout).toContain("5s");
    }
  });

  test("what lists rules, in columns that stand under each other", async () => {
    for (const words of ["status", "uto show", "reset --dry-run", "metrics"]) {
      const { stdout } = await said(words.split(" "));
      for (const [, shown] of NAMES) {
        expect(stdout).toContain(words === "metrics" ? shown.replaceAll("\\", "\\\\") : shown);
      }
      await said([...words.split(" "), "--verbose"]);
    }
    const lines = (await said(["uto", "show"])).stdout.split("\n");
    const column = lines[0]!.indexOf("SCOPE");
    for (const [, shown] of NAMES) {
      const line = lines.find((l) => l.endsWith(`/${shown}`))!;
      expect(Bun.stringWidth(line.slice(0, line.indexOf("/")))).toBe(column);
    }
  });

  test("documents have the names themselves", async () => {
    for (const words of ["status", "uto show", "metrics", "reset --dry-run"]) {
      const { json } = await said(words.split(" "), { json: true });
      for (const [name] of NAMES) expect(JSON.stringify(json)).toContain(JSON.stringify(name).slice(1, -1));
    }
  });

  test("a policy has them, too: exported and applied nothing changes", async () => {
    const { stdout: text } = await said(["export"]);
    const { scope } = parse(text) as { scope: { cgroup: string }[] };
    const names = scope.map(({ cgroup }) => basename(cgroup));
    expect(names.sort()).toEqual(NAMES.map(([name]) => name).sort());
    const stdin = text.replaceAll("5s", "6s");
    expect((await said(["apply", "-", "--dry-run"], { stdin })).stdout).toContain("(was 5s)");
    const { stdout } = await said(["apply", "-", "--verbose"], { stdin });
    for (const [, shown] of NAMES) expect(stdout).toContain(shown);
    expect((await said(["apply", "-"], { stdin, json: true })).json.changed).toBe(false);
    expect((await said(["export"], { json: true })).json.policy).toBe(stdin);
    await host.tcpx(["persist", "on", "--dry-run"]).then((result) => expectSafe(["persist"], result));
  });

  test("a process of any name in such a cgroup, and a command run there", async () => {
    for (const [i, [, shown]] of HOSTILE.entries()) {
      const script = `printf '%s' "$1" >/proc/self/comm; echo $$; exec 3<&0; read x <&3`;
      const argv = [...host.wrap, "bash", "-c", script, "-", "\x1b[7m\n\u202e"];
      const named = u.lab.spawn(argv, { cgroup: cgroups[i]! });
      const { value } = await named.stdout.getReader().read();
      const pid = new TextDecoder().decode(value).trim();
      expect((await said(["uto", "set", "7s", "--wait", "--pid", pid])).stdout).toContain(shown);
      await said(["run", "--uto", "9s", "--verbose", "--", "true"], { cgroup: cgroups[i]! });
      await host.sh(`kill -KILL ${pid}`);
      await named.exited;
    }
  });

  test("connections and negotiations", async () => {
    for (const [i, [, shown]] of HOSTILE.entries()) {
      await said(["connections", "--cgroup", cgroups[i]!]);
      await said(["connections", "--cgroup", cgroups[i]!], { json: true });
      const watch = await Watch.start(u.lab, ["--cgroup", cgroups[i]!], { wrap: host.wrap, human: true });
      // nsenter is between it and us
      await host.sh(
        "for p in /proc/[0-9]*; do grep -qsz ^watch$ $p/cmdline && kill $(basename $p); done; true",
      );
      await watch.child.exited;
      expect(watch.stderr).toContain(shown);
      expectSafe(["watch"], { code: 0, stdout: watch.stdout, stderr: watch.stderr, json: undefined });
    }
  });

  test("the agent and what it does", async () => {
    for (const cgroup of cgroups) await host.tcpx(["ack", "set", "--every", "4", "--cgroup", cgroup]);
    for (const words of ["agent --start", "status", "ack show", "metrics", "status --verbose"]) {
      await said(words.split(" "));
      await said(words.split(" "), { json: true });
    }
    await said(["agent", "--stop"]);
    expectSafe(["ack show"], await host.tcpx(["ack", "show"]));
    for (const cgroup of cgroups) await said(["ack", "unset", "--all", "--cgroup", cgroup]);
  });

  test("what is refused", async () => {
    const [name, shown] = [0, 1].map((i) => HOSTILE.map((names) => names[i]).join("")) as [string, string];
    const missing = await refused(["uto", "set", "5s", "--cgroup", join(root, `no${name}`)]);
    expect(missing.stderr).toContain(`no${shown}`);
    const quoted = JSON.stringify(name).replaceAll("\x7f", "\\u007f"); // TOML wants one escape more than JSON
    const policy = u.lab.file(`${name}.toml`, `[[scope]]\n${quoted} = "x"\n`);
    expect((await refused(["apply", policy])).stderr).toContain(shown);
    const value = u.lab.file("value.toml", `[[scope]]\n[[scope.uto]]\nset = ${quoted}\n`);
    expect((await refused(["apply", value])).stderr).toContain(shown);
    u.lab.file("broken.toml", `[[scope]]\n${name} =\n`);
    await refused(["apply", join(u.lab.dir, "broken.toml")]);
    await refused(["apply", join(u.lab.dir, `none${name}`)]);
    for (const words of [
      [name],
      ["uto", name],
      ["uto", "set", name],
      ["uto", "set", "5s", "--to", name],
      ["uto", "set", "5s", `--${name}`],
      ["uto", "set", "5s", "--unit", name],
      ["uto", "set", "5s", "--pid", name],
      ["status", "--unit", "x", "--user", name],
      ["cc-request", "set", name, "--cgroup", cgroups[0]!],
      ["watch", "--ext", name],
      ["metrics", "--listen", name],
      ["metrics", "--output", join(u.lab.dir, name, "x")],
    ]) {
      expect((await refused(words)).stderr).toContain(shown);
    }
  });

  test("cgroups that are gone, and the end of all rules", async () => {
    for (const cgroup of cgroups) rmdirSync(cgroup);
    for (const words of ["status", "uto show", "export", "reset --dry-run"]) {
      await said(words.split(" "));
      await said(words.split(" "), { json: true });
    }
    const [, shown] = HOSTILE[0]!;
    expect((await said(["export"])).stderr).toContain(`${shown} is gone`);
    expect((await said(["uto", "set", "5s", "--cgroup", u.client.cgroup])).stderr).toContain(shown);
    // what other instances have on this machine's cgroups is no part of this
    for (const words of [["reset"], ["reset", "--dry-run", "--json"]])
      expectSafe(words, await host.tcpx(words));
    expect(await host.pins()).toEqual([]);
  });

  test("a name that is no UTF-8 is in nobody's way", async () => {
    const odd = (what: string) => run(["bash", "-c", `${what} "$0"/$'\\xff\\x1b'`, root]);
    await odd("mkdir");
    try {
      for (const words of ["status", "reset --dry-run", "reset"]) {
        const result = await host.tcpx(words.split(" "));
        expectSafe([words], result);
        expect(result.stderr).toMatch(/^(?:tcpx: still there: program .*\n)?$/); // other instances are of this machine
      }
    } finally {
      await odd("rmdir");
    }
  });
});
