// SPDX-License-Identifier: MIT
// `tcpx apply` and `tcpx export` on real scopes of a host of their own.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { rmdirSync } from "node:fs";
import { join } from "node:path";
import { killed, shortest, sweep } from "../support/kills.ts";
import { cgroupMount, Lab, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpxPath } from "../support/tcpx.ts";

const TOP = "/sys/fs/bpf/tcpx";
const EXTENSIONS = ["uto", "cc-request", "iw", "ack"];

const ALL = `
[[scope.uto]]
set = "30s"
to = ["192.0.2.0/24", "2001:db8::/32"]
[[scope.uto]]
accept = true
min = "5s"
port = 443
[[scope.cc-request]]
accept = ["cubic", "reno"]
from = "10.0.0.0/8"
[[scope.iw]]
set = 8
[[scope.ack]]
request = true
every = 10
delay = "rtt/4"
[[scope.ack]]
set = true
delay = "20ms"
`;

describeIf(labRequirement.ok, labRequirement.reason)("policies", () => {
  let lab: Lab;
  let host: PrivateHost;
  let a: string;
  let b: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    [a, b] = [lab.cgroup("a"), lab.cgroup("b")];
  });
  afterEach(async () => {
    await host.ok(["apply", "-", "--wait"], { stdin: "scope = []" });
    expect(await host.pins()).toEqual([]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const below = (path: string) => path.slice(cgroupMount().length);
  const scope = (path: string, rules: string) => `[[scope]]\ncgroup = "${path}"\n${rules}`;
  const uto = (value: string, to: string) => `[[scope.uto]]\nset = "${value}"\nto = "${to}"\n`;
  const apply = (text: string, ...flags: string[]) =>
    host.ok(["apply", "-", ...flags], { stdin: text, json: true });
  const refused = (text: string, ...flags: string[]) => host.tcpx(["apply", "-", ...flags], { stdin: text });
  const exported = async () => (await host.ok(["export"])).stdout;
  /** "uto ask 192.0.2.0/24" of a scope, sorted. */
  async function rules(path: string): Promise<string[]> {
    const { scopes } = (await host.ok(["status", "--cgroup", path], { json: true })).json;
    const found: Record<string, string>[] = scopes[0]?.rules ?? [];
    return found.map(({ extension, kind, address }) => `${extension} ${kind} ${address}`).sort();
  }
  const counts = ({ json }: TcpxResult) =>
    json.scopes.map((s: Record<string, unknown[]>) => [s.added!.length, s.removed!.length, s.unchanged]);

  test("all extensions, in two scopes: applied, shown, and the second time there is nothing to do", async () => {
    const text = scope(a, ALL) + scope(below(b), uto("1min", "198.51.100.0/24"));
    const dry = await apply(text, "--dry-run");
    expect(dry.json).toMatchObject({ schema: 2, command: "apply", changed: true, dry_run: true });
    expect(await host.pins()).toEqual([]);
    const done = await apply(text);
    expect(done.json).toMatchObject({ changed: true, dry_run: false });
    expect(done.json.scopes.map((s: { cgroup: string }) => s.cgroup)).toEqual([below(a), below(b)]);
    expect(done.json.scopes[0].added).toEqual(dry.json.scopes[0].added);
    expect(counts(done)).toEqual([
      [9, 0, 0],
      [2, 0, 0],
    ]);
    expect(new Set((await rules(a)).map((rule) => rule.split(" ")[0]))).toEqual(new Set(EXTENSIONS));
    const before = await host.pins();
    const again = await apply(text);
    expect(again.json.changed).toBe(false);
    expect(counts(again)).toEqual([
      [0, 0, 9],
      [0, 0, 2],
    ]);
    expect(await host.pins()).toEqual(before);
    expect((await host.ok(["apply", "-"], { stdin: text })).stdout).toEndWith("\nno change\n");
  });

  test("applying an export changes nothing, also of what the commands have set", async () => {
    await apply(scope(a, ALL));
    await host.ok(["uto", "set", "1500ms", "--force", "--port", "22,23", "--cgroup", b]);
    await host.ok(["uto", "unset", "ask", "--port", "23", "--cgroup", b]);
    await host.ok(["ack", "accept", "--max-every", "1", "--cgroup", b]);
    const text = await exported();
    const before = await host.pins();
    const again = await apply(text);
    expect(again.json.changed).toBe(false);
    expect(again.json.scopes).toHaveLength(2);
    expect(await host.pins()).toEqual(before);
    await apply("scope = []");
    await apply(text);
    expect(await exported()).toBe(text);
    const { policy } = (await host.ok(["export"], { json: true })).json;
    expect(policy).toBe(text);
  });

  test("what the file does not have goes; with --keep it stays", async () => {
    await apply(
      scope(a, uto("30s", "192.0.2.1") + uto("40s", "192.0.2.2")) + scope(b, uto("50s", "192.0.2.3")),
    );
    const next = scope(a, uto("30s", "192.0.2.1") + uto("41s", "192.0.2.2") + uto("42s", "192.0.2.4"));
    const kept = await apply(scope(a, uto("42s", "192.0.2.4")), "--keep");
    expect(counts(kept)).toEqual([[2, 0, 0]]);
    expect(await rules(a)).toHaveLength(6);
    expect(await rules(b)).toHaveLength(2);
    const { stdout } = await host.ok(["apply", "--dry-run", "-"], { stdin: next });
    const lines = stdout.split("\n");
    expect(lines).toContain(`+ uto local 41s --to 192.0.2.2, cgroup ${below(a)} (was 40s)`);
    expect(lines).toContain(`~ 4 unchanged, cgroup ${below(a)}`);
    expect(lines).toContain(`- uto local 50s --to 192.0.2.3, cgroup ${below(b)}`);
    expect(lines.slice(-2)).toEqual(["nothing was changed (--dry-run)", ""]);
    expect(await rules(b)).toHaveLength(2);
    await apply(next);
    expect(await rules(b)).toEqual([]);
    expect(await rules(a)).toHaveLength(6);
    const removed = await apply(scope(a, uto("30s", "192.0.2.1")));
    expect(counts(removed)).toEqual([[0, 4, 2]]);
  });

  test("a unit is exported by its name, and the name leads back to it", async () => {
    const name = `tcpx-t${process.pid}.service`;
    const unit = lab.cgroup(name);
    await apply(`[[scope]]\nunit = "${name}"\n${ALL}`);
    expect(await rules(unit)).toHaveLength(9);
    const text = await exported();
    expect(text).toInclude(`\n[[scope]]\nunit = "${name}"\n`);
    expect((await apply(text)).json.changed).toBe(false);
  });

  test("rules of a cgroup that is gone are left out, with a word about it", async () => {
    const gone = lab.cgroup("gone");
    await apply(scope(a, uto("30s", "::1")) + scope(gone, uto("30s", "::1")));
    rmdirSync(gone);
    const { stdout, stderr } = await host.ok(["export"]);
    expect(stderr).toBe(`tcpx: warning: cgroup ${below(gone)} is gone: its 2 rule(s) are left out\n`);
    expect(stdout).not.toInclude(below(gone));
    expect((await apply(stdout)).json.changed).toBe(false);
  });

  test("the scope of a running command is none of the file's business", async () => {
    const args = ["run", "--uto", "10s", "--", "sh", "-c", "echo in; exec cat"];
    const child = lab.spawn([...host.wrap, tcpxPath(), ...args], { cgroup: a });
    const { value } = await child.stdout.getReader().read();
    expect(new TextDecoder().decode(value)).toBe("in\n");
    await apply(scope(b, uto("30s", "::1")));
    expect((await apply("scope = []")).json.scopes).toHaveLength(1);
    const { stdout } = await host.ok(["export"]);
    expect(stdout).toEndWith("scope = []\n");
    const shown = (await host.ok(["uto", "show"], { json: true })).json.rules;
    expect(shown).toHaveLength(2);
    child.stdin.end();
    await child.exited;
    expect(await until(async () => (await host.pins()).length === 0, 20_000)).toBe(true);
  });

  test("rules that need the agent start it, and their end ends it", async () => {
    const set = await apply(scope(a, "[[scope.ack]]\nset = true\nevery = 8\n"));
    expect(set.json.agent).toMatchObject({ running: true });
    const gone = await apply("scope = []");
    expect(gone.json).toMatchObject({ changed: true, agent: { running: false } });
    expect((await host.ok(["status"], { json: true })).json.active).toBe(false);
  }, 60_000);

  describe("bad input changes nothing and exits 2:", () => {
    const cases: [string, (path: string) => string, RegExp][] = [
      ["an empty file", () => "", /^tcpx: stdin:1: the file is empty/],
      ["an unknown key", (path) => scope(path, "x = 1\n"), /^tcpx: stdin:3: scope\[0\]\.x: unknown key/],
      [
        "a duplicate",
        (path) => scope(path, uto("1s", "::1") + uto("2s", "::1")),
        /^tcpx: stdin:6: scope\[0\]\.uto\[1\]: duplicate rule/,
      ],
      [
        "no such cgroup",
        (path) => scope(path, uto("1s", "::1")) + scope("/no/such", ""),
        /^tcpx: stdin:7: scope\[1\]\.cgroup: --cgroup '\/no\/such' does not exist; .*--wait-cgroup/,
      ],
      [
        "no such unit",
        () => '[[scope]]\nunit = "no-such-unit"\n',
        /^tcpx: stdin:2: scope\[0\]\.unit: unit no-such-unit\.service does not run/,
      ],
      [
        "a cgroup twice",
        (path) => scope(path, "") + scope(`${path}/../a`, ""),
        /^tcpx: stdin:4: scope\[1\]\.cgroup: names the same cgroup as scope\[0\] \(line 1\)/,
      ],
      [
        "a wrong value behind a good scope",
        (path) => scope(path, uto("1s", "::1")) + scope(b, uto("1", "::1")),
        /^tcpx: stdin:9: scope\[1\]\.uto\[0\]\.set: DURATION '1' is not a duration/,
      ],
      ["too much", () => `# ${"x".repeat(33 << 20)}`, /^tcpx: stdin is too long; accepted is up to 32 MB/],
    ];

    test.each(cases)("%s", async (_, text, said) => {
      await apply(scope(a, uto("30s", "192.0.2.1")));
      const before = await host.pins();
      const result = await refused(text(a));
      expect(result).toMatchObject({ code: 2, stdout: "" });
      expect(result.stderr).toMatch(said);
      expect(result.stderr.split("\n")).toHaveLength(2);
      expect(await host.pins()).toEqual(before);
      expect(await rules(a)).toEqual(["uto ask 192.0.2.1", "uto local 192.0.2.1"]);
    });

    test("bytes that are no UTF-8, no file, a directory", async () => {
      const file = join(lab.dir, "latin1.toml");
      await Bun.write(file, Buffer.from("[[scope]]\n# caf\xe9\n", "latin1"));
      const found = await host.tcpx(["apply", file], { json: true });
      expect(found).toMatchObject({ code: 2, json: { error: { code: 2, file, line: 2 } } });
      expect((await host.tcpx(["apply", join(lab.dir, "none")])).stderr).toInclude("does not exist");
      expect((await host.tcpx(["apply", lab.dir])).stderr).toInclude("is a directory");
    });

    test("told before the lack of permission is", async () => {
      const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
      const bad = await host.tcpx(["apply", "-"], { stdin: scope(a, uto("1s", "::1").repeat(2)), wrap });
      expect(bad).toMatchObject({ code: 2, stdout: "" });
      expect(await host.tcpx(["apply", "-"], { stdin: scope(a, uto("1s", "::1")), wrap })).toMatchObject({
        code: 4,
      });
    });
  });

  test("--wait-cgroup waits for what is not there yet", async () => {
    const late = join(a, "late");
    const text = scope(late, uto("30s", "::1"));
    expect(await refused(text, "--wait-cgroup", "10ms")).toMatchObject({
      code: 2,
      stderr: expect.stringMatching(/; waited 10ms; wait longer with --wait-cgroup\n$/),
    });
    const child = lab.spawn([...host.wrap, tcpxPath(), "apply", "-", "--wait-cgroup", "60s"], {
      stderr: "pipe",
    });
    child.stdin.write(text);
    child.stdin.end();
    const { value } = await (child.stderr as ReadableStream<Uint8Array>).getReader().read();
    expect(new TextDecoder().decode(value)).toMatch(/^tcpx: waiting: --cgroup '.*late' does not exist\n$/);
    lab.cgroup("late", a);
    expect(await child.exited).toBe(0);
    expect(await rules(late)).toEqual(["uto ask ::1", "uto local ::1"]);
  });

  test("while another command holds the lock it exits 5, and changes nothing", async () => {
    await apply(scope(a, uto("30s", "::1")));
    const holder = lab.spawn([...host.wrap, "flock", TOP, "sh", "-c", "echo held; exec cat"]);
    await holder.stdout.getReader().read();
    expect(await refused(scope(a, uto("31s", "::1")), "--no-wait")).toMatchObject({ code: 5, stdout: "" });
    expect((await apply(scope(a, uto("30s", "::1")))).json.changed).toBe(false);
    holder.stdin.end();
    await holder.exited;
  });

  /** Many rules, so that a change takes its time; all of one value. */
  const many = (value: string) => {
    const to = Array.from({ length: 200 }, (_, i) => `"192.0.2.${i}"`);
    return `[[scope.uto]]\nset = "${value}"\nto = [${to.join(", ")}]\n`;
  };

  /** The values in a scope: one, unless a change was made by halves. */
  async function values(path: string): Promise<string> {
    const shown: { timeout_ms: number }[] = (await host.ok(["uto", "show", "--cgroup", path], { json: true }))
      .json.rules;
    expect([0, 400]).toContain(shown.length);
    return [...new Set(shown.map(({ timeout_ms }) => timeout_ms))].join(" ");
  }

  test("SIGKILL at any moment leaves the old rules or the new ones in each scope, and the next command cleans up", async () => {
    const [c] = [lab.cgroup("c")];
    const policy = (value: string) => [a, b, c].map((path) => scope(path, many(value))).join("");
    // the third one loses its rules every other time
    const files = [
      lab.file("40.toml", policy("40s")),
      lab.file("30.toml", [a, b].map((path) => scope(path, many("30s"))).join("")),
    ];
    const wanted = [
      { rest: "40000", last: "40000" },
      { rest: "30000", last: "" },
    ];
    let before: string[] = [];
    let hits = 0;
    const duration = async () => {
      await host.ok(["apply", files[0]!, "--wait"]); // what was killed may still be about to end
      before = [a, b, c].map(() => "40000");
      return await shortest([1, 0, 1, 0].map((i) => () => host.ok(["apply", files[i]!])));
    };
    const round = async (n: number, part: number, whole: number) => {
      const next = wanted[(n + 1) % 2]!;
      const command = `${tcpxPath()} apply ${files[(n + 1) % 2]}`;
      if (await killed(host, command, 1 + whole * 1.1 * part)) hits++;
      const now = await Promise.all([a, b, c].map(values));
      for (const [i, value] of now.entries())
        expect([before[i]!, i < 2 ? next.rest : next.last]).toContain(value);
      before = now;
    };
    await sweep({ rounds: 40, sweeps: 3, duration, round, enough: () => hits >= 10 });
    expect(hits).toBeGreaterThanOrEqual(10); // else the kills did not test anything
    await host.ok(["apply", files[0]!, "--wait"]);
    expect(await Promise.all([a, b, c].map(values))).toEqual(["40000", "40000", "40000"]);
    expect((await host.pins()).filter((path) => /\/gen-\d+$/.test(path))).toHaveLength(3);
  }, 300_000);

  test("what a killed command left goes also when there is nothing to change", async () => {
    const text = scope(a, uto("30s", "::1"));
    await apply(text);
    const before = await host.pins();
    const [current = ""] = before.filter((path) => /\/gen-\d+$/.test(path));
    await host.sh(`mkdir ${current.replace(/\d+$/, "999999")}`);
    expect((await apply(text)).json.changed).toBe(false);
    expect(await host.pins()).toEqual(before);
  });
});
