// SPDX-License-Identifier: MIT
// Extensions that a host has added, as packages in its folder: they are as built-in ones are, in every command, and a
// bad one is in nobody's way.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { chownSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { packExtension } from "../../cli/packages/package.ts";
import { SOL_SOCKET } from "../support/constants.ts";
import { page } from "../support/json-page.ts";
import { type Connection, connectPeers, processesOf, run, sockoptOf, until } from "../support/lab.ts";
import { GRADE, PACE } from "../support/manifests.ts";
import { Folder, OWN_ETC, packed } from "../support/packed.ts";
import { PrivateHost } from "../support/private-host.ts";
import { optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { commOf } from "../support/run-lab.ts";
import { type TcpxOptions, tcpxPath } from "../support/tcpx.ts";
import { type Side, trace, UtoLab } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, captureRequirement, hasTool("clang"));
const SO_PRIORITY = 12;
const SO_MAX_PACING_RATE = 47;
const UNLIMITED = 0xffffffff;
/** 10M, in bytes per second. */
const RATE = 1_250_000;
const RULE = { extension: "pace", kind: "local", rate_bytes_per_second: RATE };

describeIf(needs.ok, needs.reason)("extensions that a host has added", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let folder: Folder;
  let files: { "8-pace.tcpx": Uint8Array; "9-grade.tcpx": Uint8Array };

  const putAll = () => {
    for (const [file, bytes] of Object.entries(files)) folder.put(file, bytes);
  };

  beforeAll(async () => {
    page.added("rate_bytes_per_second", "priority");
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab, { setup: OWN_ETC });
    folder = new Folder(host);
    const [pace, grade] = await Promise.all([
      packed(u.lab.dir, "pace", PACE),
      packed(u.lab.dir, "grade", GRADE),
    ]);
    files = { "8-pace.tcpx": pace, "9-grade.tcpx": grade };
    putAll();
  }, 60_000);
  afterEach(async () => {
    folder.clear();
    putAll();
    await host.ok(["apply", "-"], { stdin: "scope = []" });
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const in_ = (side: Side, words: string, options: TcpxOptions = {}) =>
    host.ok([...words.split(" "), "--cgroup", side.cgroup], options);
  const read = (side: Side, fd: number, name: number) => sockoptOf(side.peer.pid, fd, SOL_SOCKET, name);
  const pacing = async (c: Connection) => (await read(u.client, c.client, SO_MAX_PACING_RATE)) >>> 0;
  const connection = () => connectPeers(u.client.peer, u.server.peer, u.server.v4);

  test("a rule is set, shown and applied, and another process reads it from the socket; unset ends it", async () => {
    const to = `--to ${u.server.v4}`;
    const dry = await in_(u.client, `pace set 10M ${to} --dry-run`);
    expect(dry.stdout).toMatch(/^\+ pace local 10M --to [\d.]+, cgroup [^\n]+\nnothing was changed/);
    expect((await in_(u.client, "pace show", { json: true })).json.rules).toEqual([]);
    const { json } = await in_(u.client, `pace set 10M ${to}`, { json: true });
    expect(json).toMatchObject({ changed: true, added: [RULE] });
    expect((await in_(u.client, `pace set 10M ${to}`, { json: true })).json.changed).toBe(false);
    expect((await in_(u.client, "pace show")).stdout).toMatch(/^pace +local +10M +--to /m);
    expect((await in_(u.client, "status", { json: true })).json.scopes[0].rules).toMatchObject([RULE]);
    expect(await pacing(await connection())).toBe(RATE);
    const how = { json: true, netns: u.client.netns };
    const listed = (await host.ok(["connections", "--to", u.server.v4], how)).json.connections[0];
    expect(listed.extensions.pace.local).toMatchObject({ status: "applied" });
    await in_(u.client, `pace unset ${to}`);
    expect(await pacing(await connection())).toBe(UNLIMITED);
  });

  test("a request of it is asked and answered, and told in words", async () => {
    await in_(u.client, `grade set 6 --to ${u.server.v4}`);
    await in_(u.server, "grade accept --priority 4");
    const c = await connection();
    expect([
      await read(u.client, c.client, SO_PRIORITY),
      await read(u.server, c.server, SO_PRIORITY),
    ]).toEqual([4, 4]);
    const { json } = await in_(u.client, "grade show", { json: true });
    expect(json.rules).toMatchObject([{ kind: "ask", priority: 6, option: "fe067d000006" }]);
    const counters = (await in_(u.client, "status", { json: true })).json.scopes[0].counters;
    expect(counters.grade).toMatchObject({ sent: 1, granted: 1 });
  });

  test("a site's own identifiers are those that travel, and that others are told", async () => {
    await in_(u.client, `grade set 6 --to ${u.server.v4}`);
    await in_(u.server, "grade accept --priority 4");
    const text = (await host.ok(["export"])).stdout;
    const own = text.replace("schema = 1\n", "schema = 1\n\n[exid]\ngrade-ask = 0x1234\n");
    await host.ok(["apply", "-"], { stdin: own });
    expect((await in_(u.client, "grade show", { json: true })).json.rules[0].option).toBe("fe0612340006");
    const capture = await u.capture();
    const c = await connection();
    await u.exchange(c);
    await capture.stop();
    const { all } = await trace(capture, c.port);
    const said = (flags: string) => optionsOf(all.find((packet) => packet.flags === flags)!, 254);
    expect([said("S"), said("SA")]).toEqual(["fe0612340006", "fe067d010004"]);
    const taken = text.replace("schema = 1\n", "schema = 1\n\n[exid]\ngrade-ask = 0x7d01\n");
    const { code, stderr } = await host.tcpx(["apply", "-"], { stdin: taken });
    expect([code, stderr]).toEqual([2, expect.stringContaining("0x7d01 is that of grade-answer")]);
    await host.ok(["apply", "-"], { stdin: text });
  });

  test("values are refused with what is accepted, and nothing has changed", async () => {
    const results = await Promise.all(
      [
        "pace set 10Mbit",
        "pace set 63k",
        "pace set",
        "pace set none --force",
        "grade set 7",
        "grade accept",
      ].map((words) => host.tcpx([...words.split(" "), "--cgroup", u.client.cgroup])),
    );
    expect(results.map(({ code, stderr }) => `${code} ${stderr.trim()}`)).toEqual([
      "2 tcpx: RATE '10Mbit' is not a rate; did you mean 10M? accepted is 64k to 10G, such as 10M (bits per second, in powers of 1000), or none",
      "2 tcpx: RATE '63k' is out of range; accepted is 64k to 10G, such as 10M (bits per second, in powers of 1000), or none",
      "2 tcpx: RATE is missing; see `tcpx pace set --help`",
      "2 tcpx: 'none' takes no --force; leave it out",
      "2 tcpx: PRIORITY '7' is out of range; accepted is 0 to 6, or none",
      "2 tcpx: --priority is missing; accepted is 0 to 6",
    ]);
  });

  test("a policy with its rules is exported, made true again, and its mistakes have their lines", async () => {
    await in_(u.client, "pace set 10M");
    await in_(u.client, "grade set 4 --local --port 80");
    await in_(u.client, "uto set 30s");
    const text = (await host.ok(["export"])).stdout;
    expect(text).toContain('[[scope.pace]]\nset = "10M"\n');
    expect(text).toContain("[[scope.grade]]\nset = 4\nlocal = true\nport = 80\n");
    const policy = (words: string) => join(u.lab.dir, `${Bun.hash(words)}.toml`);
    writeFileSync(policy(text), text);
    await in_(u.client, "pace unset --all");
    const { json } = await host.ok(["apply", policy(text)], { json: true });
    expect(json.scopes[0]).toMatchObject({ added: [RULE], removed: [] });
    expect((await host.ok(["export"])).stdout).toBe(text);
    const wrong = text.replace("10M", "10X");
    writeFileSync(policy(wrong), wrong);
    const { code, stderr } = await host.tcpx(["apply", policy(wrong)]);
    expect([code, stderr]).toEqual([
      2,
      expect.stringMatching(/toml:\d+: scope\[0\]\.pace\[0\]\.set: RATE '10X' is not a rate/),
    ]);
  });

  test("run has its flag, and the command's connections the value; its rule goes with it", async () => {
    const { port } = await u.server.peer.listen(u.server.v4);
    const script = `exec 3<>/dev/tcp/${u.server.v4}/${port}; exec sleep 60`;
    const command = ["run", "--pace", "10M", "--", "bash", "-c", script];
    const child = u.lab.spawn([...host.wrap, tcpxPath(), ...command], {
      cgroup: u.client.cgroup,
      netns: u.client.netns,
    });
    const runs = () => readdirSync(u.client.cgroup).filter((name) => name.startsWith("tcpx-run-"));
    const pids = () => runs().flatMap((name) => processesOf(join(u.client.cgroup, name)));
    const sleeping = () => pids().find((pid) => commOf(pid) === "sleep");
    expect(await until(() => sleeping() !== undefined)).toBe(true);
    expect((await sockoptOf(sleeping()!, 3, SOL_SOCKET, SO_MAX_PACING_RATE)) >>> 0).toBe(RATE);
    const shown = async () => (await host.ok(["pace", "show"], { json: true })).json.rules;
    expect(await shown()).toMatchObject([RULE]);
    process.kill(sleeping()!, "SIGKILL");
    await child.exited;
    expect(await until(() => runs().length === 0)).toBe(true);
    expect(await shown()).toEqual([]);
    const { code, stderr } = await host.tcpx(["run", "--pace", "1X", "--", "true"]);
    expect([code, stderr]).toEqual([125, expect.stringContaining("--pace '1X': RATE '1X' is not a rate")]);
  });

  test("what was running before it was added tells of it by name: metrics and watch", async () => {
    folder.clear();
    await in_(u.server, "uto accept");
    const server = u.lab.spawn([...host.wrap, tcpxPath(), "metrics", "--listen", "9101"], {
      netns: u.client.netns,
    });
    await server.stdout.getReader().read();
    const where = { human: true, wrap: host.wrap, netns: u.client.netns };
    const watch = await Watch.start(u.lab, ["--count", "1"], where);
    const pull = () => run(["curl", "-sS", "http://127.0.0.1:9101/metrics"], { netns: u.client.netns });
    expect(await pull()).not.toContain('extension="grade"');
    putAll();
    await in_(u.client, "grade set 6");
    await in_(u.server, "grade accept --priority 4");
    expect(await pull()).toMatch(/^tcpx_rules\{cgroup="[^"]+",extension="grade",kind="ask"\} 1$/m);
    await u.exchange(await connection());
    expect(await watch.ended()).toBe(0);
    expect(watch.stdout).toMatch(/ grade +granted 4 \(asked 6\)\n$/);
    server.kill("SIGKILL");
    await server.exited;
  });

  describe("for everybody", () => {
    const nobody = { wrap: ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"] };

    test("help, also without being root", async () => {
      const { stdout } = await host.ok(["pace", "set", "--help"], nobody);
      expect(stdout).toContain("RATE  The most that each connection sends, 64k to 10G; none exempts the");
      expect(stdout).toContain("An extension of this host, version 1.0.0, by A. N. Author (MIT).");
      expect((await host.ok(["--help"], nobody)).stdout).toMatch(/^ {2}pace +Paces connections at a rate$/m);
      expect((await host.ok(["watch", "--help"], nobody)).stdout).toContain("|pace|grade,...");
    });

    test("completion, also without being root", async () => {
      const offered = async (line: string) =>
        (await host.ok(["internal-complete", "--", "bash", line, ...line.split(" ")], nobody)).stdout;
      expect(await offered("tcpx pa")).toBe("w pace\n");
      expect(await offered("tcpx pace s")).toMatch(/^w set\n/m);
      expect(await offered("tcpx pace set --f")).toMatch(/^w --force\n/m);
      expect(await offered("tcpx pace set n")).toMatch(/^w none\n/m);
      expect(await offered("tcpx run --p")).toMatch(/^w --pace\n/m);
      expect(await offered("tcpx watch --ext uto,gr")).toMatch(/uto,grade\n/m);
    });
  });

  describe("a file that is not as it has to be is left out, said in one line, and the others work", () => {
    const said = async () => {
      const { code, stdout, stderr } = await host.tcpx(["pace", "show"]);
      expect([code, stdout]).toEqual([0, "no pace rules\n"]);
      expect(stderr.split("\n")).toHaveLength(2);
      return stderr;
    };
    const broken = (text: string) => () => folder.put("9-grade.tcpx", text);
    const putManifest = (file: string, name: string, manifest: string) =>
      folder.put(file, packExtension({ manifest, name, object: new Uint8Array(8) }));
    const of = (file: string) => join(folder.path, file);

    test.each<[string, () => unknown, string]>([
      ["no archive", broken("x".repeat(2000)), "9-grade.tcpx: it is no tar archive"],
      ["empty", broken(""), "9-grade.tcpx: it is no tar archive"],
      [
        "writable by others",
        () => folder.put("9-grade.tcpx", files["9-grade.tcpx"], 0o666),
        "9-grade.tcpx can be written to by others than root; ",
      ],
      [
        "somebody else's",
        () => chownSync(of("9-grade.tcpx"), 65534, 65534),
        "9-grade.tcpx belongs to uid 65534, not to root",
      ],
      [
        "a link",
        () => {
          folder.remove("9-grade.tcpx");
          folder.put("grade", files["9-grade.tcpx"]);
          symlinkSync("grade", of("9-grade.tcpx"));
        },
        "9-grade.tcpx is a symbolic link",
      ],
      [
        "a directory",
        () => {
          folder.remove("9-grade.tcpx");
          mkdirSync(of("9-grade.tcpx"));
        },
        "9-grade.tcpx is a directory",
      ],
      [
        "too long",
        () => folder.put("9-grade.tcpx", new Uint8Array((4 << 20) + 1)),
        "9-grade.tcpx has 4194305 bytes",
      ],
      [
        "of another name",
        () => folder.put("10-other.tcpx", files["9-grade.tcpx"]),
        "10-other.tcpx has the manifest of grade",
      ],
      [
        "of a name that another one has",
        () => folder.put("10-pace.tcpx", files["8-pace.tcpx"]),
        "10-pace.tcpx has the name pace of /etc/tcpx/extensions/8-pace.tcpx",
      ],
      [
        "of a newer tcpx",
        () => putManifest("9-grade.tcpx", "grade", GRADE.replace("api = 1", "api = 2")),
        "9-grade.tcpx: extension.toml:2: api: is version 2 of tcpx_ext.h, and this tcpx knows 1; ",
      ],
      [
        "with a manifest that has a mistake",
        () => putManifest("9-grade.tcpx", "grade", GRADE.replace("refused", "refusde")),
        "9-grade.tcpx: extension.toml:11: request.refusde: unknown key; did you mean refused? ",
      ],
      [
        "of the name of a built-in one",
        () => putManifest("10-uto.tcpx", "uto", PACE.replace('"pace"', '"uto"')),
        "10-uto.tcpx cannot be used: there is an extension uto already",
      ],
      [
        "with another one's identifiers",
        () => putManifest("10-other.tcpx", "other", GRADE.replace('"grade"', '"other"')),
        "10-other.tcpx cannot be used: identifier 0x7d00 is grade-ask, that of grade",
      ],
      [
        "called anything",
        () => folder.put("grade.tcpx", files["9-grade.tcpx"]),
        "grade.tcpx is not called ID-NAME.tcpx, ID from 8 to 15",
      ],
      [
        "called by a number that is not free",
        () => folder.put("7-grade.tcpx", files["9-grade.tcpx"]),
        "7-grade.tcpx is not called ID-NAME.tcpx",
      ],
    ])("%s", async (_, damage, what) => {
      damage();
      expect(await said()).toContain(what);
    });

    test("a folder that others can write to has none", async () => {
      await host.sh("chmod 777 /etc/tcpx/extensions");
      const { code, stderr } = await host.tcpx(["uto", "show"]);
      expect([code, stderr]).toEqual([
        0,
        expect.stringMatching(
          /^tcpx: warning: an extension is left out: \/etc\/tcpx\/extensions can be written to by others .*; and 1 more: `tcpx ext list`\n$/,
        ),
      ]);
      expect((await host.tcpx(["pace", "show"])).code).toBe(2);
    });

    test("sums are compared when the object is needed", async () => {
      const bytes = new Uint8Array(files["8-pace.tcpx"]);
      bytes[5000]! ^= 1;
      folder.put("8-pace.tcpx", bytes);
      expect((await host.tcpx(["pace", "show"])).code).toBe(0);
      const { code, stderr } = await host.tcpx(["pace", "set", "10M", "--cgroup", u.client.cgroup]);
      expect([code, stderr]).toEqual([
        2,
        expect.stringMatching(/^tcpx: \S+8-pace\.tcpx: pace\.bpf\.o is not what SHA256SUMS says; [^\n]+\n$/),
      ]);
    });
  });

  test("without the folder everything is as it was: rules of it are shown by number, and removed", async () => {
    await in_(u.client, "pace set 10M");
    folder.clear();
    expect((await host.tcpx(["pace", "show"])).stderr).toMatch(/^tcpx: unknown command 'pace'/);
    expect((await in_(u.client, "status")).stdout).toMatch(/^ext-8 +local +1250000 0 +all connections/m);
    putAll();
    expect(readFileSync(join(folder.path, "8-pace.tcpx")).length).toBe(files["8-pace.tcpx"].length);
    expect((await in_(u.client, "pace show")).stdout).toMatch(/^pace +local +10M/m);
  });
});
