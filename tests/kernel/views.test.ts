// SPDX-License-Identifier: MIT
// One bpffs, several views of cgroups: a host and its containers. A scope is gone when the kernel has no such
// cgroup any more, and not when somebody cannot see it.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, rmdirSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { cgroupMount, Lab, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import {
  blind,
  container,
  covered,
  mayNotAsk,
  ownRun,
  ownSystemd,
  part,
  showPart,
} from "../support/views.ts";

interface Scope {
  cgroup: string;
  id: number;
  unit: string | null;
  alive: boolean;
  visible: boolean;
  waiting: boolean;
  rules: { timeout_ms: number }[];
}

describeIf(labRequirement.ok, labRequirement.reason)("views of cgroups", () => {
  let lab: Lab;
  let host: PrivateHost;
  /** A container's cgroup, and one below it; one of its host's. */
  let box: string;
  let inner: string;
  let other: string;

  beforeAll(async () => {
    lab = await Lab.create();
    host = await PrivateHost.create(lab);
    box = lab.cgroup("box");
    inner = lab.cgroup("inner", box);
    other = lab.cgroup("other");
  });
  afterEach(async () => {
    await host.ok(["reset"]);
    expect(await host.pins()).toEqual([]);
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const below = (cgroup: string) => cgroup.slice(cgroupMount().length);
  const idOf = (cgroup: string) => statSync(cgroup).ino;
  const uto = (words: string, wrap: string[] = []) => host.ok(["uto", ...words.split(" ")], { wrap });

  async function scopes(wrap: string[] = []): Promise<Record<number, Scope>> {
    const { json } = await host.ok(["status"], { wrap, json: true });
    return Object.fromEntries(json.scopes.map((scope: Scope) => [scope.id, scope]));
  }

  /** Timeouts of the rules by cgroup, as the host sees them. */
  async function rules(): Promise<Record<string, number[]>> {
    const all = Object.values(await scopes()).map((s) => [s.cgroup, s.rules.map((r) => r.timeout_ms / 1000)]);
    return Object.fromEntries(all);
  }

  const gone = /is gone: removed/;

  for (const [what, view] of [
    ["a container", () => container(box)],
    ["a container in a container", () => [...container(box), ...container(`${cgroupMount()}/inner`)]],
    ["a part of the hierarchy", () => part(box)],
    ["root who may not open cgroups by id", () => [...container(box), ...mayNotAsk]],
    ["one whom something mounted over it hides", () => covered(other)],
  ] as const) {
    test(`${what}: a scope that lives and is not visible is told as such, and kept by every change`, async () => {
      await uto(`set 8s --cgroup ${other}`);
      const seen = (await scopes(view()))[idOf(other)]!;
      expect(seen).toMatchObject({ cgroup: below(other), alive: true, visible: false, waiting: false });
      const text = (await host.ok(["status"], { wrap: view() })).stdout;
      expect(text).toInclude(`cgroup ${below(other)} (id ${idOf(other)}, not visible from here;`);
      expect((await uto("show", view())).stdout).toInclude(`${below(other)} (not visible)`);
      const made = await host.ok(["uto", "set", "9s"], { wrap: view(), json: true });
      expect(made.stderr).not.toMatch(gone);
      const mine = made.json.scope.id;
      expect(await scopes()).toMatchObject({
        [idOf(other)]: { cgroup: below(other), visible: true, rules: [{ timeout_ms: 8000 }, {}] },
        [mine]: { visible: true, rules: [{ timeout_ms: 9000 }, {}] },
      });
      // and the other way round
      expect((await uto(`set 10s --cgroup ${other}`)).stderr).not.toMatch(gone);
      expect((await scopes(view()))[mine]).toMatchObject({ alive: true, visible: true });
      await host.ok(["uto", "unset", "--all"], { wrap: view() });
      expect(await rules()).toEqual({ [below(other)]: [10, 10] });
    });
  }

  test("where no cgroups are mounted every scope is kept, and reset removes it", async () => {
    await uto(`set 8s --cgroup ${other}`);
    expect((await scopes(blind))[idOf(other)]).toMatchObject({ alive: true, visible: false });
    const applied = await host.ok(["apply", "-"], { wrap: blind, stdin: "schema = 1\nscope = []\n" });
    expect(applied.stdout).toBe("no change\n");
    expect(await rules()).toEqual({ [below(other)]: [8, 8] });
    const dry = await host.ok(["reset", "--dry-run"], { wrap: blind });
    expect(dry.stdout).toInclude(`${below(other)} (not visible)`);
    expect((await host.ok(["reset"], { wrap: blind })).stdout).toInclude(
      "removed 2 rule(s) in 1 scope(s), 1 of them not visible from here",
    );
    expect(await host.pins()).toEqual([]);
  });

  test("a container's root is not the host's: names are those of who looks, ids say which one it is", async () => {
    await uto("set 9s", container(box));
    await uto("set 7s --cgroup /inner", container(box));
    expect(await rules()).toEqual({ [below(box)]: [9, 9], [below(inner)]: [7, 7] });
    await uto(`set 6s --cgroup ${inner}`);
    const seen = await scopes(container(box));
    expect(seen[idOf(box)]).toMatchObject({ cgroup: "/", visible: true });
    expect(seen[idOf(inner)]).toMatchObject({
      cgroup: "/inner",
      visible: true,
      rules: [{ timeout_ms: 6000 }, {}],
    });
    expect(Object.values(seen)).toHaveLength(2);
    // a path of the same name is another cgroup there
    const twin = lab.cgroup("inner");
    await uto(`set 5s --cgroup ${twin}`);
    await host.ok(["uto", "unset", "--cgroup", "/inner"], { wrap: container(box) });
    expect(await rules()).toEqual({ [below(box)]: [9, 9], [below(twin)]: [5, 5] });
  });

  describe("a policy", () => {
    const policy = (...scopes: string[]) => `schema = 1\n${scopes.length ? scopes.join("") : "scope = []\n"}`;
    const scope = (cgroup: string, set: string) =>
      `[[scope]]\ncgroup = "${cgroup}"\n[[scope.uto]]\nset = "${set}"\n`;

    test("leaves alone what is not visible, and says so; export leaves it out", async () => {
      await uto(`set 8s --cgroup ${other}`);
      const stdin = policy(scope("/inner", "4s"));
      const applied = await host.ok(["apply", "-"], { wrap: container(box), stdin });
      const word = `cgroup ${below(other)} is not visible from here: its 2 rule(s) are left`;
      expect(applied.stderr).toBe(`tcpx: ${word} alone\n`);
      expect(await rules()).toEqual({ [below(other)]: [8, 8], [below(inner)]: [4, 4] });
      const exported = await host.ok(["export"], { wrap: container(box) });
      expect(exported.stderr).toBe(`tcpx: warning: ${word} out, and \`apply\` leaves them alone\n`);
      expect(exported.stdout).toInclude('cgroup = "/inner"');
      expect(exported.stdout).not.toInclude("other");
      const again = await host.ok(["apply", "-"], { wrap: container(box), stdin: exported.stdout });
      expect(again.stdout).toInclude("no change");
    });

    test("of the host is not about rules that a container has for its own network namespace", async () => {
      await uto("set 9s", container(box));
      await uto(`set 8s --cgroup ${other}`);
      const { stdout, stderr } = await host.ok(["export"]);
      expect(stderr).toInclude(`2 rule(s) of a network namespace in cgroup ${below(box)} are left out`);
      expect((await host.ok(["apply", "-"], { stdin: stdout })).stdout).toInclude("no change");
      await host.ok(["apply", "-"], { stdin: policy() });
      expect(await rules()).toEqual({ [below(box)]: [9, 9] });
    });

    test("with another table of the site loads all programs anew, also those of scopes that are not visible", async () => {
      await uto(`set 8s --cgroup ${other}`);
      const stdin = `schema = 1\nscope = []\n[algorithms]\none = 0x8001\n`;
      await host.ok(["apply", "-"], { wrap: container(box), stdin });
      expect((await scopes())[idOf(other)]).toMatchObject({ cgroup: below(other), outdated: false });
      expect(await rules()).toEqual({ [below(other)]: [8, 8] });
    });
  });

  test("a cgroup that is really gone is cleared away from the other side, and one made anew is another", async () => {
    const fleeting = lab.cgroup("fleeting");
    await uto(`set 8s --cgroup ${fleeting}`);
    rmdirSync(fleeting);
    mkdirSync(fleeting); // the same path
    expect(Object.values(await scopes(container(box)))).toMatchObject([{ alive: false }]);
    const made = await uto("set 9s", container(box));
    expect(made.stderr).toBe(`tcpx: cgroup ${below(fleeting)} is gone: removed its 2 rule(s)\n`);
    expect(await rules()).toEqual({ [below(box)]: [9, 9] });
    rmdirSync(fleeting);
  });

  test("who may not open cgroups by id waits for the link, which learns of it a little later", async () => {
    const fleeting = lab.cgroup("fleeting");
    const view = [...container(box), ...mayNotAsk];
    await uto(`set 8s --cgroup ${fleeting}`);
    const id = idOf(fleeting);
    rmdirSync(fleeting);
    expect(await until(async () => (await scopes(view))[id]?.alive === false)).toBe(true);
    expect((await uto("set 9s", view)).stderr).toMatch(gone);
    expect(Object.keys(await scopes())).toEqual([String(idOf(box))]);
  });

  describe("a service that waits for its next start", () => {
    const unit = "tcpx-test.service";
    /** Sees the lab's cgroups as if they were all, so that slices are where systemd has them. */
    let served: PrivateHost;
    const boxThere = `${cgroupMount()}/box`;
    let service: string;

    beforeAll(async () => {
      service = `${lab.cgroup("web.slice")}/${unit}`;
      // the drop-in tells systemd to give the next cgroup the rules: nobody reads it here
      const dropIn = `/run/systemd/system/${unit}.d`;
      const setup = `${showPart(dirname(box))}; mkdir -p ${dropIn}; touch ${dropIn}/50-tcpx.conf`;
      served = await PrivateHost.create(lab, { setup });
    });
    afterEach(async () => {
      await served.ok(["reset"]);
      await served.sh(
        `mkdir -p /run/systemd/system/${unit}.d; touch /run/systemd/system/${unit}.d/50-tcpx.conf`,
      );
    });
    afterAll(() => served.stop());

    const states = async (wrap: string[] = []): Promise<Scope[]> =>
      (await served.ok(["status"], { wrap, json: true })).json.scopes;
    const set = (value: string, cgroup: string, wrap: string[] = []) =>
      served.ok(["uto", "set", value, "--cgroup", cgroup], { wrap });
    const ends = async () => {
      rmdirSync(service);
      expect(await until(async () => (await states())[0]?.alive === false)).toBe(true);
    };
    const waits = { alive: false, waiting: true };

    for (const [what, view, own] of [
      ["a container", () => [...container(boxThere), ...ownRun], "/"],
      ["one without a cgroup namespace", () => ownRun, "/box"],
      ["one without cgroups", () => [...blind, ...ownRun], undefined],
    ] as const) {
      test(`keeps its rules, whatever ${what} does`, async () => {
        mkdirSync(service);
        await set("8s", `/web.slice/${unit}`);
        await ends();
        const there = { ...waits, cgroup: `/web.slice/${unit}` };
        expect(await states()).toMatchObject([{ ...there, visible: true, unit }]);
        expect(await states(view())).toMatchObject([{ ...there, visible: false, unit: null }]);
        const shown = (await served.ok(["uto", "show"], { wrap: view() })).stdout;
        expect(shown).toInclude(`/web.slice/${unit} (not visible, waiting)`);
        await served.ok(["apply", "-"], { wrap: view(), stdin: "schema = 1\nscope = []\n" });
        if (own) await set("9s", own, view());
        if (own) await served.ok(["uto", "unset", "--all", "--cgroup", own], { wrap: view() });
        expect(await states()).toMatchObject([{ ...there, rules: [{ timeout_ms: 8000 }, {}] }]);
      });
    }

    test("its name stays that of the view that looks after it when another one changes its rules", async () => {
      mkdirSync(service);
      await set("8s", `/web.slice/${unit}`);
      await set("9s", `/${unit}`, [...part(`${cgroupMount()}/web.slice`), ...ownRun]);
      await ends();
      expect(await states()).toMatchObject([{ ...waits, cgroup: `/web.slice/${unit}`, unit }]);
    });

    test("of a container's own systemd: it waits as long as the container is there", async () => {
      const whole = lab.cgroup("whole");
      const inWhole = lab.cgroup("web.slice", whole);
      mkdirSync(`${inWhole}/${unit}`);
      await set("8s", `/web.slice/${unit}`, [...container(`${cgroupMount()}/whole`), ...ownSystemd]);
      rmdirSync(`${inWhole}/${unit}`);
      expect(await until(async () => (await states())[0]?.alive === false)).toBe(true);
      await set("9s", "/box");
      expect(await states()).toMatchObject([{ cgroup: "/box" }, { ...waits, visible: false, unit: null }]);
      for (const path of [inWhole, whole]) rmdirSync(path);
      expect((await set("10s", "/box")).stderr).toMatch(gone);
      expect(await states()).toMatchObject([{ cgroup: "/box" }]);
    });

    test("a container's service of the same name is another one, and is gone when it is", async () => {
      const own = `${lab.cgroup("web.slice", box)}/${unit}`;
      const view = [...container(boxThere), ...ownRun];
      mkdirSync(own);
      await set("8s", `/web.slice/${unit}`, view);
      expect(await states(view)).toMatchObject([{ unit, cgroup: `/web.slice/${unit}` }]);
      expect(await states()).toMatchObject([{ cgroup: `/box/web.slice/${unit}` }]);
      rmdirSync(own);
      expect(await until(async () => (await states())[0]?.alive === false)).toBe(true);
      expect(await states()).toMatchObject([{ waiting: false, visible: false, unit: null }]);
      expect((await set("9s", "/box")).stderr).toMatch(gone);
      expect(await states()).toMatchObject([{ cgroup: "/box" }]);
    });
  });

  test("one agent serves the scopes of all who share its /run; who has another /run needs none for theirs", async () => {
    const agent = async (wrap: string[] = []) => (await host.ok(["status"], { wrap, json: true })).json.agent;
    const set = await host.ok(["ack", "set", "--every", "8"], { wrap: container(box), json: true });
    expect(set).toMatchObject({ stderr: "", json: { agent: { running: true } } });
    await host.ok(["ack", "set", "--every", "8", "--cgroup", other]);
    // the container's agent has given way to one that sees all
    const { pid, cgroups, problems } = await agent();
    expect(pid).not.toBe(set.json.agent.pid);
    expect([cgroups.sort(), problems]).toEqual([[below(box), below(other)].sort(), []]);
    const again = await host.ok(["ack", "set", "--every", "9"], { wrap: container(box), json: true });
    expect(again).toMatchObject({ stderr: "", json: { agent: { running: true, pid } } });
    await host.ok(["ack", "unset", "--all"], { wrap: container(box) });
    expect((await agent()).cgroups).toEqual([below(other)]);
    // the host's ack rule is none of this one's
    const elsewhere = [...container(box), ...ownRun];
    const alone = await host.ok(["uto", "set", "9s"], { wrap: elsewhere });
    expect(alone.stderr).toBe("");
    expect(await host.ok(["status"], { wrap: elsewhere })).toMatchObject({ stderr: "" });
    expect(await agent(elsewhere)).toMatchObject({ running: false });
  });

  test("tcpx run of a container and the host's changes leave each other alone", async () => {
    const running = lab.spawn([
      ...host.wrap,
      ...container(box),
      ...[process.env.TCPX_BIN || `${import.meta.dir}/../../dist/tcpx`, "run", "--uto", "7s", "--", "cat"],
    ]);
    const ran = async () => Object.keys(await rules()).find((name) => name.includes("tcpx-run"));
    expect(await until(async () => (await ran()) !== undefined)).toBe(true);
    expect((await uto(`set 8s --cgroup ${other}`)).stderr).not.toMatch(gone);
    expect((await ran())!.startsWith(`${below(box)}/`)).toBe(true);
    running.stdin.end();
    expect(await running.exited).toBe(0);
    expect(await until(async () => (await ran()) === undefined)).toBe(true);
    expect(await rules()).toEqual({ [below(other)]: [8, 8] });
  });
});
