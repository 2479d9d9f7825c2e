// SPDX-License-Identifier: MIT
// Packages on a host: added, listed, shown, replaced, removed; and what is refused, which leaves nothing.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  chmodSync,
  chownSync,
  mkdirSync,
  renameSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { manifestOf, objectFrom, paceObject, writePackage } from "../support/ext-packages.ts";
import { Lab } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const needs = every("all", labRequirement, hasTool("clang"));
const FOLDER = "/etc/tcpx/extensions";

describeIf(needs.ok, needs.reason)("packages of extensions", () => {
  let lab: Lab;
  let host: PrivateHost;
  let dir: string;
  let scope: string;
  let object: Uint8Array;
  /** pace 1.0.0 */
  let pace: string;

  beforeAll(async () => {
    lab = await Lab.create();
    dir = lab.dir;
    chmodSync(dir, 0o755);
    scope = lab.cgroup("paced");
    const setup = "mkdir -p /etc/tcpx; mount -t tmpfs -o mode=755 tmpfs /etc/tcpx";
    host = await PrivateHost.create(lab, { setup });
    object = await paceObject(dir);
    pace = await writePackage(dir, "pace", object);
  }, 60_000);
  afterEach(async () => {
    await host.reset();
    await host.sh(`rm -rf /etc/tcpx/*`);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const files = async () => (await host.sh("find /etc/tcpx -type f")).split("\n").filter(Boolean).sort();
  const listed = async () => (await host.ok(["ext", "list"], { json: true })).json.installed;
  // members of such a rule have names that its manifest gives
  const said = async (...args: string[]) => JSON.parse((await host.ok([...args, "--json"])).stdout);
  const rules = async (name: string) => (await said(name, "show")).rules.length;
  const set = (...flags: string[]) => host.ok(["pace", "set", "12M", "--cgroup", scope, ...flags]);

  /** The one line that says why; nothing is left. */
  async function refused(...args: string[]): Promise<[number, string]> {
    const before = [await files(), await host.pins()];
    const { code, stdout, stderr } = await host.tcpx(["ext", "add", ...args]);
    expect([stdout, stderr.split("\n").length]).toEqual(["", 2]);
    expect([await files(), await host.pins()]).toEqual(before);
    return [code, stderr.replaceAll(dir, "DIR").trimEnd()];
  }
  const noticed = async (name: string, what: Uint8Array, manifest?: string) =>
    refused(await writePackage(dir, name, what, manifest, `${name}-x.tcpx`));

  test("one is added, once, is a command, and goes with its rules", async () => {
    expect((await host.ok(["ext", "add", pace, "--dry-run"])).stdout).toContain(
      "would add pace 1.0.0, extension 8",
    );
    expect([await files(), await host.pins()]).toEqual([[], []]);
    expect((await host.ok(["ext", "add", pace], { json: true })).json).toMatchObject({
      ...{ command: "ext add", changed: true },
      package: { number: 8, hooks: expect.arrayContaining(["established", "again"]), rule_count: 0 },
      file: `${FOLDER}/8-pace.tcpx`,
    });
    expect((await host.ok(["ext", "add", pace])).stdout).toBe("pace 1.0.0 is already there\n");
    expect(
      (await host.sh(`stat -c '%a %u' ${FOLDER} ${FOLDER}/8-pace.tcpx`)).split("\n").slice(0, 2),
    ).toEqual([...["755 0", "644 0"]]);
    await set();
    await set("--to", "192.0.2.0/24");
    expect(await listed()).toMatchObject([
      { name: "pace", number: 8, rule_count: 2, problem: null, signed_by: null },
    ]);
    expect((await host.ok(["ext", "show", "pace"])).stdout).toContain("rules in force: 2");
    expect(await said("ext", "remove", "pace", "--dry-run")).toMatchObject({ dry_run: true, rule_count: 2 });
    expect(await rules("pace")).toBe(2);
    const removed = await host.ok(["ext", "remove", "pace"]);
    expect(removed.stdout).toContain("removed pace 1.0.0, with 2 rules of 1 scope");
    expect([await files(), await host.pins(), await listed()]).toEqual([[], [], []]);
    expect((await host.tcpx(["pace", "show"])).stderr).toContain("unknown command 'pace'");
    expect((await host.tcpx(["ext", "remove", "pace"])).code).toBe(2);
  });

  test("numbers are given from the lowest, and what other rules need stays when one goes", async () => {
    for (const name of ["pace", "pace-b", "pace-c"])
      await host.ok(["ext", "add", await writePackage(dir, name, object)]);
    await set();
    await host.ok(["pace-b", "set", "5M", "--cgroup", scope]);
    await host.ok(["ext", "remove", "pace"]);
    expect(
      (await listed()).map(({ name, number }: { name: string; number: number }) => [name, number]),
    ).toEqual([
      ...[
        ["pace-b", 9],
        ["pace-c", 10],
      ],
    ]);
    const pins = (await host.pins()).map((path) => path.split("/").at(-1)!);
    expect([pins.includes("slot0"), pins.includes("slot1")]).toEqual([false, true]);
    expect(await rules("pace-b")).toBe(1);
    expect((await host.ok(["ext", "add", pace], { json: true })).json.package.number).toBe(8);
  });

  test("another version takes the place, and scopes go on with their rules and its program", async () => {
    await host.ok(["ext", "add", pace]);
    await set();
    const program = async () => (await said("status")).scopes[0].program_id;
    const before = await program();
    const next = await writePackage(
      dir,
      "pace",
      object,
      manifestOf("pace", { version: "1.1.0" }),
      "next.tcpx",
    );
    expect((await host.ok(["ext", "add", next], { json: true })).json).toMatchObject({
      ...{ changed: true, version_before: "1.0.0", scopes_reloaded: 1 },
      package: { number: 8, version: "1.1.0", rule_count: 1 },
    });
    expect([await files(), await rules("pace")]).toEqual([[`${FOLDER}/8-pace.tcpx`], 1]);
    expect(await program()).not.toBe(before);
    for (const more of [[], ["--dry-run"]])
      expect(await refused(pace, ...more)).toEqual([
        1,
        expect.stringMatching(
          /: it is version 1\.0\.0, which is older than 1\.1\.0, that is here; --allow-older takes it nevertheless/,
        ),
      ]);
    expect((await listed())[0].version).toBe("1.1.0");
    await host.ok(["ext", "add", pace, "--allow-older"]);
    expect([(await listed())[0].version, await rules("pace")]).toEqual(["1.0.0", 1]);
    const other = manifestOf("pace", { version: "2.0.0" }).replace('"64k"', '"20M"').replace("10M", "30M");
    const [code, why] = await refused(await writePackage(dir, "pace", object, other, "other.tcpx"));
    expect(code).toBe(1);
    expect(why).toContain("1 rule of the present version cannot go on: a rule has 1500000 for rate");
    await host.ok(["pace", "unset", "--all", "--cgroup", scope]);
    await host.ok(["ext", "add", join(dir, "other.tcpx")]);
    expect((await listed())[0].version).toBe("2.0.0");
  });

  test("a version whose program the kernel refuses changes nothing", async () => {
    await host.ok(["ext", "add", pace]);
    await set();
    const bad = await objectFrom(
      dir,
      "TCPX_HOOK(established)\n{\n\treturn ((volatile char *)ctx)[tcpx_value(1, 0)];\n}",
    );
    const [code, why] = await noticed("pace", bad, manifestOf("pace", { version: "1.2.0" }));
    expect([code, await rules("pace"), (await listed())[0].version]).toEqual([3, 1, "1.0.0"]);
    expect(why).toMatch(/the kernel refused extension pace .*\.bpf\.c:5/);
  });

  test("rules of one whose file has gone are listed as ext-N, and removed by that name", async () => {
    await host.ok(["ext", "add", pace]);
    await set();
    await host.sh(`rm ${FOLDER}/8-pace.tcpx`);
    expect(await listed()).toMatchObject([
      { number: 8, name: "ext-8", rule_count: 1, problem: expect.stringContaining("there are rules for it") },
    ]);
    const { stdout, stderr } = await host.ok(["export"]);
    expect(stdout).not.toContain("pace");
    expect(stderr).toContain("1 rule(s) of ext-8, which this host does not have any more, are left out");
    const refused = await host.tcpx(["uto", "set", "30s", "--cgroup", scope]);
    expect(refused.stderr).toContain("`tcpx ext remove NAME` takes them back");
    expect((await host.ok(["ext", "add", pace], { json: true })).json.package.number).toBe(9);
    expect((await said("ext", "remove", "ext-8")).rule_count).toBe(1);
    expect(await host.pins()).toEqual([]);
    await host.ok(["ext", "remove", "pace"]);
  });

  test("one that was put there by hand is looked at before it is loaded, too", async () => {
    const bad = await objectFrom(dir, "TCPX_HOOK(established)\n{\n\treturn tcpx_setsockopt(6, 1, 1);\n}");
    const file = await writePackage(dir, "hand", bad);
    await host.sh(`mkdir -p ${FOLDER} && cp ${file} ${FOLDER}/8-hand.tcpx`);
    const { code, stderr } = await host.tcpx(["hand", "set", "12M", "--cgroup", scope]);
    expect([code, stderr]).toEqual([
      1,
      expect.stringMatching(/8-hand\.tcpx: hand\.bpf\.o: .*hook established sets TCP_NODELAY/),
    ]);
    expect(await host.pins()).toEqual([]);
  });

  describe("a package that is replaced while a command waits is not loaded as it was: add looks again, remove says so", () => {
    test.each(["add", "remove"])("%s", async (verb) => {
      const made = (name: string, version: string) =>
        writePackage(dir, name, object, manifestOf(name, { version }), `${name}-${version}.tcpx`);
      for (const name of ["pace", "pace-b"]) await host.ok(["ext", "add", await made(name, "1.0.0")]);
      await host.ok(["pace-b", "set", "12M", "--cgroup", scope]);
      const [newer, other] = [await made("pace", "1.0.1"), await made("pace-b", "1.0.2")];
      const command = `${tcpxPath()} ext ${verb} ${verb === "add" ? newer : "pace"} --wait --verbose`;
      const before = await files();
      // it says whom it waits for, and has read what is there by then
      const meanwhile = `until grep -q 'waiting' ${dir}/said; do sleep 0.1; done; cp ${other} ${FOLDER}/.x; mv ${FOLDER}/.x ${FOLDER}/9-pace-b.tcpx`;
      await host.sh(
        `: >${dir}/said; flock -o /sys/fs/bpf/tcpx sh -c "${meanwhile}" & sleep 0.2; ${command} >/dev/null 2>>${dir}/said; echo $? >>${dir}/said`,
      );
      const said = await Bun.file(join(dir, "said")).text();
      const versions = (await listed()).map(({ version }: { version: string }) => version);
      if (verb === "add")
        expect([said, versions]).toEqual([expect.stringMatching(/\n0\n$/), ["1.0.1", "1.0.2"]]);
      else expect(said).toContain("another tcpx has changed the extensions of this host meanwhile");
      expect(await files()).toEqual(before);
    });
  });

  test("commands that add at the same time wait for each other: each extension gets a number", async () => {
    const names = ["pace", "pace-b", "pace-c", "pace-d"];
    const packages = await Promise.all(names.map((name) => writePackage(dir, name, object)));
    const add = packages.map((file) => `${tcpxPath()} ext add ${file} >/dev/null || echo failed &`);
    expect(await host.sh(`${add.join(" ")} wait`)).toBe("");
    const found = (await listed()).map(({ name, number }: { name: string; number: number }) => [
      name,
      number,
    ]);
    expect(found.map(([, number]: [string, number]) => number)).toEqual([8, 9, 10, 11]);
    expect(found.map(([name]: [string]) => name).sort()).toEqual(names);
    for (const name of names) await host.ok(["ext", "remove", name]);
  });

  test("a folder that is somebody else's is not used; its owner is to be mended, as a copy would be of no use", async () => {
    await host.ok(["ext", "add", pace]);
    await host.sh(`chown 1 ${FOLDER}`);
    const { stderr } = await host.ok(["ext", "list"]);
    expect(stderr).toContain(`${FOLDER} belongs to uid 1, not to root; look at it, then: chown root`);
    await host.sh(`chown 0 ${FOLDER}`);
    expect((await listed())[0].problem).toBeNull();
    await host.ok(["ext", "remove", "pace"]);
  });

  test("reset takes rules back, and leaves what was added", async () => {
    await host.ok(["ext", "add", pace]);
    await set();
    await host.reset();
    expect([await host.pins(), await files()]).toEqual([[], [`${FOLDER}/8-pace.tcpx`]]);
    expect((await listed())[0]).toMatchObject({ rule_count: 0, problem: null });
  });

  test("a file that is damaged there is listed with the reason, replaced, and removed, with its rules", async () => {
    const damage = () => host.sh(`truncate -s 700 ${FOLDER}/8-pace.tcpx`);
    await host.ok(["ext", "add", pace]);
    await set();
    await damage();
    const problem = expect.stringContaining("cut off");
    expect(await listed()).toMatchObject([{ name: "pace", version: null, rule_count: 1, problem }]);
    await host.ok(["ext", "add", pace]);
    expect(await listed()).toMatchObject([{ version: "1.0.0", rule_count: 1, problem: null }]);
    expect(await rules("pace")).toBe(1);
    await damage();
    expect((await host.ok(["ext", "remove", "pace"])).stdout).toContain(
      "removed pace, with 1 rule of 1 scope",
    );
    expect([await files(), await host.pins()]).toEqual([[], []]);
  });

  test("files that are called otherwise, or have what another one has, are listed with the reason", async () => {
    await host.ok(["ext", "add", pace]);
    await host.sh(
      `cd ${FOLDER} && cp 8-pace.tcpx pace.tcpx && cp 8-pace.tcpx 9-pace.tcpx && cp 8-pace.tcpx 10-other.tcpx`,
    );
    const said = (await listed()).map(({ name, number, problem }: Record<string, unknown>) => [
      name,
      number,
      problem,
    ]);
    expect(said).toEqual([
      ["pace", 8, null],
      ["pace", 9, expect.stringContaining("has the name pace of")],
      ["other", 10, expect.stringContaining("has the extension pace")],
      ["pace.tcpx", null, expect.stringContaining("is not called ID-NAME.tcpx")],
    ]);
  });

  test("a folder is built and added, and not when others can change what is in it", async () => {
    const folder = join(dir, "made");
    await host.ok(["ext", "new", "made", "--kind", "local"], { wrap: ["env", "-C", dir] });
    await host.ok(["ext", "add", folder]);
    expect(await listed()).toMatchObject([{ name: "made", problem: null }]);
    await host.ok(["ext", "remove", "made"]);
    chmodSync(join(folder, "made.bpf.c"), 0o666);
    expect(await refused(folder)).toEqual([
      4,
      expect.stringContaining("made.bpf.c can be written to by others"),
    ]);
    chmodSync(join(folder, "made.bpf.c"), 0o644);
    symlinkSync("made.bpf.c", join(folder, "other.h"));
    expect(await refused(folder)).toEqual([4, expect.stringContaining("other.h is a symbolic link")]);
    symlinkSync("made", join(dir, "made-link"));
    expect(await refused(join(dir, "made-link"))).toEqual([4, expect.stringContaining("is a symbolic link")]);
  });

  test("an object that is newer than its sources is taken as it is, without a compiler", async () => {
    const folder = join(dir, "ready");
    await host.ok(["ext", "new", "ready", "--kind", "local"], { wrap: ["env", "-C", dir] });
    await host.ok(["ext", "build", folder]);
    const none = ["env", "PATH=/nowhere"];
    expect((await host.ok(["ext", "add", folder], { wrap: none })).stderr).toContain("not compiled again");
    await host.sh(`touch -d '1 minute' ${folder}/ready.bpf.c`);
    expect((await host.ok(["ext", "add", folder])).stderr).not.toContain("not compiled again");
  });

  describe("refused", () => {
    test("what is no package, or not whole", async () => {
      const file = join(dir, "bad.tcpx");
      const add = async (bytes: Uint8Array | string) => {
        await Bun.write(file, bytes);
        return refused(file);
      };
      const whole = await Bun.file(pace).bytes();
      expect(await add(whole.subarray(0, 5000))).toEqual([
        2,
        expect.stringContaining("DIR/bad.tcpx: the archive is cut off in member pace.bpf.o"),
      ]);
      expect(await add(object)).toEqual([2, expect.stringContaining("it is an object, and no package")]);
      expect(await add(new Uint8Array(1024).fill(7))).toEqual([
        2,
        expect.stringContaining("it is no tar archive"),
      ]);
      expect(await add(whole.with(600, 1))).toEqual([2, expect.stringContaining("extension.toml is not")]);
      expect(await add("")).toEqual([2, expect.stringContaining("it is no tar archive")]);
      truncateSync(file, 500e6);
      expect(await refused(file)).toEqual([2, expect.stringContaining("DIR/bad.tcpx has 500000000 bytes")]);
      expect(await refused(join(dir, "none.tcpx"))).toEqual([2, expect.stringContaining("is not there")]);
      expect(await refused(pace, "--sha256", "0".repeat(64))).toEqual([
        2,
        expect.stringContaining("pace.tcpx is not what --sha256 says"),
      ]);
    });

    test("objects that are none, or for another machine, or without their types", async () => {
      const source = join(dir, "x.c");
      writeFileSync(source, "int x;\n");
      Bun.spawnSync(["clang", "-c", source, "-o", join(dir, "x86.o")]);
      const x86 = await Bun.file(join(dir, "x86.o")).bytes();
      const hook = "TCPX_HOOK(established)\n{\n\treturn 0;\n}";
      const big = await objectFrom(dir, hook, "-target", "bpfeb");
      const bare = await objectFrom(dir, hook, "-g0");
      expect(await noticed("bad", new Uint8Array(1000))).toEqual([
        2,
        expect.stringContaining("is no object file (ELF)"),
      ]);
      expect(await noticed("bad", x86)).toEqual([
        2,
        expect.stringContaining("is for another machine: BPF is needed"),
      ]);
      expect(await noticed("bad", big)).toEqual([2, expect.stringContaining("is for another machine")]);
      expect(await noticed("bad", bare)).toEqual([1, expect.stringContaining("no type information")]);
      expect((await noticed("bad", object.subarray(0, 3000)))[0]).toBe(2);
      const other = await objectFrom(dir, "int tcpx2_slot0_established(void *c) { return 0; }");
      expect(await noticed("bad", other)).toEqual([
        2,
        expect.stringContaining("is made for version 2 of tcpx_ext.h"),
      ]);
    });

    test("one that loops, by the line", async () => {
      const loops = await objectFrom(
        dir,
        "TCPX_HOOK(established)\n{\n\tvolatile int on = 1;\n\n\twhile (on)\n\t\t;\n\treturn 0;\n}",
      );
      const [code, why] = await noticed("loops", loops);
      expect(code).toBe(3);
      expect(why).toMatch(/loops-x\.tcpx: the kernel refused extension loops .*\.bpf\.c:[78].*loop/);
    });

    test("manifests with wrong types, and one of another version", async () => {
      const wrong = async (from: string, to: string) =>
        noticed("pace-d", object, manifestOf("pace-d").replace(from, to));
      expect(await wrong('summary = "Paces', 'summary = 7 # "')).toEqual([
        2,
        expect.stringContaining("extension.toml:5: summary"),
      ]);
      expect(await wrong("api = 1", "api = 2")).toEqual([
        2,
        expect.stringContaining("version 2 of tcpx_ext.h"),
      ]);
      expect(await wrong('name = "pace-d"', 'name = "pace-e"')).toEqual([
        2,
        expect.stringContaining("is not called pace-e"),
      ]);
    });

    test("names, commands, option kinds and identifiers that are taken", async () => {
      const kind = "\n[option]\nkind = 77\nlength = 6\n";
      const exid = "\n[option]\nexid = 0x7d10\nlength = 6\n";
      for (const [name, option] of [
        ["kind-a", kind],
        ["exid-a", exid],
      ] as const)
        await host.ok([
          "ext",
          "add",
          await writePackage(dir, name, object, manifestOf(name, { kind: option })),
        ]);
      const taken = (name: string, option = "") => noticed(name, object, manifestOf(name, { kind: option }));
      expect(await taken("kind-b", kind)).toEqual([
        1,
        expect.stringContaining("option kind 77 is that of kind-a"),
      ]);
      expect(await taken("exid-b", exid)).toEqual([1, expect.stringContaining("0x7d10 is")]);
      expect(await taken("uto")).toEqual([1, expect.stringContaining("there is an extension uto already")]);
      expect(await taken("status")).toEqual([1, expect.stringContaining("status is a command of tcpx")]);
      expect(await taken("dry-run")).toEqual([1, expect.stringContaining("is a flag of `tcpx run`")]);
    });

    test("files of others, files that others can write to, links, and what is behind links", async () => {
      const file = await writePackage(dir, "own", object);
      chownSync(file, 65_534, 0);
      expect(await refused(file)).toEqual([4, expect.stringContaining("DIR/own.tcpx belongs to uid 65534")]);
      chownSync(file, 0, 0);
      chmodSync(file, 0o664);
      expect(await refused(file)).toEqual([
        4,
        expect.stringContaining("can be written to by others than root"),
      ]);
      chmodSync(file, 0o644);
      symlinkSync(file, join(dir, "link.tcpx"));
      expect(await refused(join(dir, "link.tcpx"))).toEqual([
        4,
        expect.stringContaining("is a symbolic link"),
      ]);
      mkdirSync(join(dir, "real"));
      renameSync(file, join(dir, "real", "own.tcpx"));
      symlinkSync("real", join(dir, "through"));
      expect(await refused(join(dir, "through", "own.tcpx"))).toEqual([
        4,
        expect.stringContaining("DIR/through is a symbolic link"),
      ]);
    });

    test("where others can write to the folder that it would be kept in", async () => {
      const said = expect.stringContaining("/etc/tcpx can be written to by others than root");
      await host.sh("chmod 777 /etc/tcpx");
      expect(await refused(pace)).toEqual([4, said]);
      await host.sh("chmod 755 /etc/tcpx");
    });

    test("to all but root", async () => {
      const { code, stderr } = await host.tcpx(["ext", "add", pace], {
        wrap: ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"],
      });
      expect([code, stderr]).toEqual([4, expect.stringMatching(/^tcpx: not permitted: /)]);
    });
  });
});
