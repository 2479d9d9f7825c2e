// SPDX-License-Identifier: MIT
// Whole programs of others for a scope: attached beside ours, replaced in one step, told of, and nothing else touched.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync, readFileSync, symlinkSync, truncateSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { connectPeers, run } from "../support/lab.ts";
import { ProgramLab, programRequirement } from "../support/program-lab.ts";
import { describeIf, straceRequirement as strace, testIf } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

describeIf(programRequirement.ok, programRequirement.reason)("sock_ops programs of others", () => {
  let p: ProgramLab;
  let count: string;

  beforeAll(async () => {
    p = await ProgramLab.create();
    count = await p.object("count", "count");
  });
  afterEach(() => p.clear());
  afterAll(() => p[Symbol.asyncDispose]());

  const connect = () => connectPeers(p.u.client.peer, p.u.server.peer, p.u.server.v4);
  const links = async () => (await p.host.pins()).filter((path) => path.endsWith("/link"));
  const linkIds = async () =>
    Promise.all(
      (await links()).map(
        async (path) => JSON.parse(await p.host.sh(`bpftool -j link show pinned ${path}`)).id,
      ),
    );

  test("is attached beside ours, does what its variables say, and goes", async () => {
    await p.okAt("uto set 30s");
    const ours = (await p.attached()).map(({ name }) => name);
    const { json } = await p.okAt(`ext load ${count} --set step=5`);
    expect(json).toMatchObject({ changed: true, in_place: false, number: null });
    expect(json.loaded).toMatchObject({ name: "count", kind: "sock_ops", file: count, set: { step: "5" } });
    expect((await p.attached()).map(({ name }) => name)).toEqual([...ours, "count"]);
    const c = await connect();
    expect([await p.counted(), await p.u.timeout(p.u.client, c.client)]).toEqual([5, 30_000]);
    expect(await p.loaded()).toMatchObject([{ name: "count", in_force: true, set: { step: "5" } }]);
    expect((await p.host.ok(["status"])).stdout).toMatch(/programs of others:\n.*\ncount +sock_ops .*step=5/);
    expect((await p.okAt("ext unload count")).json).toMatchObject({ changed: true, still_used: false });
    expect((await p.attached()).map(({ name }) => name)).toEqual(ours);
    expect((await p.okAt("ext unload count")).json).toMatchObject({ changed: false, unloaded: null });
  });

  test("again under its name: no change, or another one by the same link", async () => {
    await p.okAt(`ext load ${count} --name mine`);
    const before = [await linkIds(), await p.attached()];
    expect((await p.okAt(`ext load ${count} --name mine`)).json.changed).toBe(false);
    expect((await p.okAt(`ext load ${count} --name mine --set step=2 --dry-run`)).json.changed).toBe(true);
    expect([await linkIds(), await p.attached()]).toEqual(before);
    expect((await p.okAt(`ext load ${count} --name mine --set step=2`)).json.in_place).toBe(true);
    expect(await linkIds()).toEqual(before[0] as number[]);
    await connect();
    expect(await p.counted()).toBe(2);
    expect((await p.host.pins()).filter((path) => /\/gen-\d+$/.test(path))).toHaveLength(1);
    await p.okAt(`ext load ${count} --name mine --set step=2,off=true`);
    await connect();
    expect(await p.counted()).toBe(0);
  });

  test("two names are two programs, and only what is ours goes", async () => {
    const pin = "/sys/fs/bpf/somebody";
    await p.host.sh(
      `bpftool prog load ${count} ${pin} && bpftool cgroup attach ${p.scope} sock_ops pinned ${pin} multi`,
    );
    await p.okAt(`ext load ${count} --name one`);
    await p.okAt(`ext load ${count} --name two`);
    expect(await p.attached()).toHaveLength(3);
    await p.okAt("ext unload one");
    expect(await p.attached()).toHaveLength(2);
    await p.host.reset(["--wait"]);
    expect(await p.attached()).toHaveLength(1);
    expect(await p.host.pins()).toEqual([pin]);
    await p.host.sh(`bpftool cgroup detach ${p.scope} sock_ops pinned ${pin} && rm ${pin}`);
  });

  test("export says what is loaded, apply makes it so, and a file without it takes it away", async () => {
    await p.okAt(`ext load ${count} --set step=7,off=false,least=-3`);
    const policy = (await p.host.ok(["export"])).stdout;
    expect(policy).toContain(`[[scope.program]]\nfile = "${count}"\nname = "count"\nsha256 = "`);
    expect(policy).toContain("set = { least = -3, off = false, step = 7 }");
    const apply = async (text: string, ...flags: string[]) =>
      (await p.host.ok(["apply", "-", ...flags], { stdin: text, json: true })).json;
    expect(await apply(policy)).toMatchObject({ changed: false, loaded_programs: [] });
    expect(await apply("scope = []", "--keep")).toMatchObject({ changed: false });
    expect((await apply("scope = []", "--dry-run")).unloaded_programs).toHaveLength(1);
    expect((await apply("scope = []")).unloaded_programs).toMatchObject([{ name: "count" }]);
    expect(await p.attached()).toEqual([]);
    expect((await apply(policy)).loaded_programs).toMatchObject([{ name: "count", set: { step: "7" } }]);
    expect((await p.host.ok(["export"])).stdout).toBe(policy);
    const wrong = policy.replace(/sha256 = "../, 'sha256 = "zz');
    expect((await p.host.tcpx(["apply", "-"], { stdin: wrong })).stderr).toContain(
      "scope[0].program[0].sha256",
    );
    const other = policy.replace(/sha256 = "(.)/, (_, c) => `sha256 = "${c === "0" ? 1 : 0}`);
    const refused = await p.host.tcpx(["apply", "-"], { stdin: other });
    expect([refused.code, refused.stderr]).toEqual([1, expect.stringContaining("has another sum")]);
    const booting = await p.host.tcpx(["apply", "-", "--prepare-units"], { stdin: other });
    expect([booting.code, booting.stderr]).toEqual([1, expect.stringContaining("the program is left out")]);
  });

  test("what somebody has detached is told, and comes back with the same command", async () => {
    await p.okAt(`ext load ${count}`);
    const [link] = await links();
    await p.host.sh(`bpftool link detach pinned ${link}`);
    expect(await p.loaded()).toMatchObject([{ name: "count", in_force: false }]);
    expect((await p.host.ok(["status"])).stdout).toContain("not in force");
    expect((await p.okAt(`ext load ${count}`)).json).toMatchObject({ changed: true, in_place: false });
    expect(await p.loaded()).toMatchObject([{ name: "count", in_force: true }]);
  });

  test("goes with its cgroup, and the next command clears that up", async () => {
    const inner = p.u.lab.cgroup("inner", p.scope);
    await p.ok(`ext load ${count} --cgroup ${inner}`);
    await run(["rmdir", inner]);
    await p.okAt("uto set 30s");
    expect((await p.host.pins()).filter((path) => path.includes("/programs"))).toEqual([]);
  });

  const VARIABLES = [
    ["stepp=1", "did you mean step? there are "],
    ["step=4294967296", "accepted is a number from 0 to 4294967295"],
    ["step=-1", "accepted is a number from 0 to 4294967295"],
    ["least=-129", "accepted is a number from -128 to 127"],
    ["off=2", "accepted is true or false"],
    ["wide=18446744073709551616", "from 0 to 18446744073709551615"],
    ["step", "is no NAME=VALUE"],
    ["step=1,step=2", "names step twice"],
  ] as const;
  test.each(VARIABLES)("--set %s is refused, and says what is accepted", async (set, text) => {
    const { code, stderr } = await p.refused(p.at(`ext load ${count} --set ${set}`));
    expect([code, stderr]).toEqual([2, expect.stringContaining(text)]);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect(await p.host.pins()).toEqual([]);
  });

  const file = (name: string, make: (path: string) => void) => () => {
    const path = join(p.u.lab.dir, name);
    make(path);
    return Promise.resolve(path);
  };
  const OBJECTS: [what: string, make: () => Promise<string>, code: number, text: string][] = [
    ["no ELF", file("a.bpf.o", (path) => writeFileSync(path, "no")), 2, "is no object file (ELF)"],
    ["an empty one", file("b.bpf.o", (path) => writeFileSync(path, "")), 2, "is no object file (ELF)"],
    [
      "noise",
      file("c.bpf.o", (path) => writeFileSync(path, crypto.getRandomValues(new Uint8Array(60_000)))),
      2,
      "is no object",
    ],
    ["a program of this machine", () => Promise.resolve("/usr/bin/true"), 2, "is for another machine"],
    [
      "a truncated one",
      file("d.bpf.o", (path) => {
        copyFileSync(count, path);
        truncateSync(path, readFileSync(count).length - 200);
      }),
      2,
      "is cut off",
    ],
    ["one without types", () => p.object("count", "e", "-g0"), 2, "has no type information"],
    ["two programs", () => p.object("count", "f", "-DSECOND"), 2, "has 2 sock_ops programs (count, second)"],
    ["a program of another type", () => p.object("count", "g", "-DOTHER"), 2, "'cgroup/connect4'"],
    ["both kinds", () => p.object("control", "h", "-DBOTH"), 2, "has programs of both kinds"],
    ["a mask that the guard sees", () => p.object("count", "i", "-DMASK"), 1, "callback flags"],
    ["one that loops", () => p.object("count", "j", "-DENDLESS"), 3, "this kernel refuses "],
    [
      "one that reads elsewhere",
      () => p.object("count", "k", "-DOUTSIDE"),
      3,
      "count.bpf.c:32: invalid bpf_context access",
    ],
    ["a name that is none", () => p.object("count", "l.m"), 2, "give it one with --name"],
    ["nothing", () => Promise.resolve("/nowhere/x.bpf.o"), 2, "is not there"],
  ];
  test.each(OBJECTS)("%s is refused in one line, and nothing is left", async (_, make, code, text) => {
    const { stderr, ...done } = await p.refused(p.at(`ext load ${await make()}`));
    expect([done.code, stderr]).toEqual([code, expect.stringContaining(text)]);
    expect(stderr.trim().split("\n")).toHaveLength(1);
    expect([await p.host.pins(), await p.attached()]).toEqual([[], []]);
  });

  test("a congestion control that the guard does not like is refused", async () => {
    const cases = [
      [
        "-DNODELAY",
        /^tcpx: \S*: control\.bpf\.c:\d+: cong_avoid\(\) sets TCP_NODELAY in a congestion control/,
      ],
      ["-DLARGE", /^tcpx: \S*: its maps have \d+\.0 MiB .* lower max_entries of large/],
    ] as const;
    for (const [flag, text] of cases) {
      const { code, stderr } = await p.refused(["ext", "load", await p.object("control", "", flag)]);
      expect([code, stderr]).toEqual([1, expect.stringMatching(text)]);
    }
    expect(await p.host.pins()).toEqual([]);
  });

  testIf(strace.ok, strace.reason)(
    "what is too much for the verifier is tried once: it takes seconds",
    async () => {
      const object = await p.object("count", "much", "-DMUCH");
      const log = join(p.u.lab.dir, "loads");
      const command = `${tcpxPath()} ext load ${object} --cgroup ${p.scope}`;
      const said = await p.host.sh(`strace -f -qq -o ${log} -e trace=bpf ${command} 2>&1 || true`);
      expect(said).toContain("BPF program is too large");
      const much = readFileSync(log, "utf8")
        .split("\n")
        .filter((line) => line.includes("E2BIG"));
      expect(much).toHaveLength(1);
    },
    60_000,
  );

  test("a file that others could change is refused, in a folder of theirs, too", async () => {
    const refusal = async (path: string) => {
      const { code, stderr } = await p.refused(p.at(`ext load ${path}`));
      expect(code).toBe(4);
      return stderr;
    };
    const own = join(p.u.lab.dir, "own.bpf.o");
    copyFileSync(count, own);
    chmodSync(own, 0o666);
    expect(await refusal(own)).toContain("can be written to by others");
    chmodSync(own, 0o644);
    await run(["chown", "65534", own]);
    expect(await refusal(own)).toContain("belongs to uid 65534");
    symlinkSync(count, join(p.u.lab.dir, "link.bpf.o"));
    expect(await refusal(join(p.u.lab.dir, "link.bpf.o"))).toContain("is a symbolic link");
    await run([
      "sh",
      "-c",
      `mkdir ${p.u.lab.dir}/open && chmod 777 ${p.u.lab.dir}/open && cp ${count} ${p.u.lab.dir}/open`,
    ]);
    expect(await refusal(join(p.u.lab.dir, "open/count.bpf.o"))).toContain(
      "open can be written to by others",
    );
  });
});
