// SPDX-License-Identifier: MIT
// Congestion controls of others (struct_ops): usable with one command, replaced in one step, and kept by whoever uses
// them until they close.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { congestionOf, connectPeers, ssInfo } from "../support/lab.ts";
import { available, hasLinks, ProgramLab, programRequirement } from "../support/program-lab.ts";
import { describeIf, testIf } from "../support/requires.ts";

describeIf(programRequirement.ok, programRequirement.reason)("congestion controls of others", () => {
  let p: ProgramLab;
  let control: string;

  beforeAll(async () => {
    p = await ProgramLab.create();
    control = await p.object("control");
  });
  afterEach(() => p.clear());
  afterAll(() => p[Symbol.asyncDispose]());

  const connect = () => connectPeers(p.u.client.peer, p.u.server.peer, p.u.server.v4);
  const used = (fd: number) => congestionOf(p.u.client.peer.pid, fd);
  const numbers = async () => (await p.ok("status")).json.site?.algorithm_numbers ?? {};
  const link = async () => {
    const [path] = (await p.host.pins()).filter((pin) => pin.endsWith(`congestion/${p.control}/link`));
    return JSON.parse(await p.host.sh(`bpftool -j link show pinned ${path}`)).id;
  };

  test("before it is loaded nobody's name is refused; with one command it is used, and sends", async () => {
    const before = await p.refused(p.at(`cc-request set ${p.control} --local`));
    expect([before.code, before.stderr]).toEqual([2, expect.stringContaining("is not known")]);
    const { json } = await p.ok(`ext load ${control}`);
    expect(json).toMatchObject({
      changed: true,
      number: 0x8000,
      loaded: { name: p.control, kind: "congestion" },
    });
    expect([available().includes(p.control), await numbers()]).toEqual([true, { [p.control]: 0x8000 }]);
    await p.okAt(`cc-request set ${p.control} --local`);
    const c = await connect();
    expect(await used(c.client)).toBe(p.control);
    const [sent, got] = await Promise.all([
      p.u.client.peer.send(c.client, 2_000_000),
      p.u.server.peer.recv(c.server, 2_000_000),
    ]);
    expect(sent).toBe(got);
    const [socket] = await ssInfo(p.u.lab.ns(p.u.client.netns), ["dport", "=", `${c.port}`]);
    expect(socket?.raw).toContain(p.control);
  });

  test("a client asks for it by its number, and a server accepts it", async () => {
    await p.ok(`ext load ${control} --number 0x9000`);
    await p.okAt(`cc-request set ${p.control}`);
    await p.host.ok(["cc-request", "accept", p.control, "--cgroup", p.u.server.cgroup]);
    const c = await connect();
    expect(await congestionOf(p.u.server.peer.pid, c.server)).toBe(p.control);
    expect(await numbers()).toEqual({ [p.control]: 0x9000 });
  });

  testIf(hasLinks, "links of struct_ops (Linux 6.4)")(
    "again it is no change, or another one by the same link; connections keep the one that they have",
    async () => {
      await p.ok(`ext load ${control}`);
      const id = await link();
      expect((await p.ok(`ext load ${control}`)).json.changed).toBe(false);
      await p.okAt(`cc-request set ${p.control} --local`);
      const c = await connect();
      const linked = await p.object("control", "", '-DSECTION=".struct_ops.link"');
      expect((await p.ok(`ext load ${linked} --set every=1`)).json).toMatchObject({
        changed: true,
        in_place: true,
      });
      expect([await link(), await numbers()]).toEqual([id, { [p.control]: 0x8000 }]);
      expect(await p.loaded()).toMatchObject([{ file: linked, set: { every: "1" }, in_force: true }]);
      const d = await connect();
      expect([await used(c.client), await used(d.client)]).toEqual([p.control, p.control]);
      await p.u.client.peer.reset(d.client);
      await Promise.all([p.u.client.peer.send(c.client, 100_000), p.u.server.peer.recv(c.server, 100_000)]);
      await p.okAt("cc-request unset --all");
      expect((await p.ok(`ext unload ${p.control}`)).json.still_used).toBe(true); // by the older connection
      await p.u.client.peer.reset(c.client);
    },
  );

  test("is not unloaded while a rule names it, but by force; who uses it keeps it, which is told", async () => {
    await p.ok(`ext load ${control}`);
    await p.okAt(`cc-request set ${p.control} --local`);
    const c = await connect();
    const { code, stderr } = await p.refused(["ext", "unload", p.control]);
    expect([code, stderr]).toEqual([2, expect.stringMatching(/is still needed: cc-request local .*--force/)]);
    expect(available()).toContain(p.control);
    expect((await p.ok(`ext unload ${p.control} --force --dry-run`)).json).toMatchObject({ changed: true });
    expect((await p.ok(`ext unload ${p.control} --force`)).json).toMatchObject({
      still_used: true,
      number: null,
    });
    expect([available().includes(p.control), await used(c.client)]).toEqual([false, p.control]);
    expect(await used((await connect()).client)).not.toBe(p.control);
    expect(await numbers()).toEqual({ [p.control]: 0x8000 }); // the rule needs it
    await p.u.client.peer.reset(c.client);
  });

  test("takes its number along when `ext load` has given it, and leaves that of a policy file", async () => {
    await p.ok(`ext load ${control}`);
    expect((await p.ok(`ext unload ${p.control}`)).json).toMatchObject({ still_used: false, number: 0x8000 });
    expect(await numbers()).toEqual({});
    await p.host.ok(["apply", "-"], { stdin: `scope = []\n[algorithms]\n${p.control} = 0x8005\n` });
    expect((await p.ok(`ext load ${control}`)).json.number).toBe(0x8005);
    expect((await p.ok(`ext unload ${p.control}`)).json.number).toBe(null);
    expect(await numbers()).toEqual({ [p.control]: 0x8005 });
  });

  test("a policy brings it with the rules that need it, and takes both away", async () => {
    await p.ok(`ext load ${control} --set every=3`);
    await p.okAt(`cc-request set ${p.control} --local`);
    const policy = (await p.host.ok(["export"])).stdout;
    expect(policy).toContain(`\n[[congestion]]\nfile = "${control}"\n`);
    const apply = (stdin: string, ...flags: string[]) => p.host.tcpx(["apply", "-", ...flags], { stdin });
    expect((await apply(policy)).stdout).toContain("no change");
    const without = policy.replace(/\[\[congestion\]\]\n(.+\n)+/, "");
    expect(await apply(without)).toMatchObject({
      code: 2,
      stderr: expect.stringContaining("which is not in it"),
    });
    expect(await apply("scope = []")).toMatchObject({ code: 0 });
    expect([available().includes(p.control), await p.host.pins()]).toEqual([false, []]);
    expect(await apply(policy, "--dry-run")).toMatchObject({ code: 0, stderr: "" });
    expect([available().includes(p.control), await p.host.pins()]).toEqual([false, []]);
    expect(await apply(policy)).toMatchObject({ code: 0, stderr: "" });
    expect((await p.host.ok(["export"])).stdout).toBe(policy);
    expect(await used((await connect()).client)).toBe(p.control);
  });

  test("refused are names of others and of the kernel, numbers of others, and scopes", async () => {
    const refusal = async (...words: string[]) => {
      const { code, stderr } = await p.refused(["ext", "load", ...words]);
      expect([code, stderr.trim().split("\n")]).toEqual([2, [expect.any(String)]]);
      return stderr;
    };
    const named = (name: string) => p.object("control", "", `-UNAME`, `-DNAME="${name}"`);
    expect(await refusal(await named("cubic"))).toContain("'cubic' is in use");
    expect(await refusal(await named("vegas"))).toContain("of the kernel's own");
    expect(await refusal(await named("a.b"))).toContain("accepted are up to 15 letters");
    expect(await refusal(control, "--name", "other")).toContain(`is called '${p.control}'`);
    expect(await refusal(control, "--cgroup", p.scope)).toContain("for the whole host");
    expect(await refusal(control, "--number", "5")).toContain("from 0x8000 to 0xfffe");
    await p.host.ok(["apply", "-"], { stdin: "[algorithms]\nmine = 0x8000\n[[scope]]\n" });
    expect(await refusal(control, "--number", "0x8000")).toContain("is that of mine");
    expect((await p.ok(`ext load ${control}`)).json.number).toBe(0x8001);
    const count = await p.object("count", p.control);
    expect(await refusal(count, "--cgroup", p.scope)).toContain("a congestion control is called so");
    const host = await p.refused(["ext", "load", control, "--set", "every=x"]);
    expect(host.stderr).toContain("every cannot be 'x'");
    await p.host.ok(["apply", "-"], { stdin: "scope = []" });
    const elsewhere = await p.object("count", "c2");
    expect((await p.refused(p.at(`ext load ${elsewhere} --number 0x8000`))).stderr).toContain(
      "for congestion controls",
    );
  });
});
