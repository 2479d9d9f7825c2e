// SPDX-License-Identifier: MIT
// Scopes by process and by unit. There is no systemd in a lab: its units are cgroups of their names.

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupMount, connectPeers, type Peer, until } from "../support/lab.ts";
import { describeIf, labRequirement, requirement, testIf } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { scopeOf, tcpxOk, UtoLab } from "../support/uto-lab.ts";

const noSystemd = requirement("no systemd", !existsSync("/run/systemd/system"), "a host without systemd");
const inRoot = requirement(
  "root cgroup",
  readFileSync("/proc/self/cgroup", "utf8").split("\n").includes("0::/"),
  "tests that run in the root cgroup",
);

describeIf(labRequirement.ok, labRequirement.reason)("named scopes", () => {
  let u: UtoLab;
  const name = `tcpx-t${process.pid}-demo`;
  const unit = `${name}.service`;
  let service: string;
  let peer: Peer;
  const below = (path: string) => path.slice(cgroupMount().length);

  beforeAll(async () => {
    u = await UtoLab.create();
    service = u.lab.cgroup(unit, u.lab.cgroup("web.slice"));
    peer = await u.lab.peer("client", service);
  });
  afterEach(async () => {
    for (const cgroup of [service, u.client.cgroup]) {
      await tcpxOk(["uto", "unset", "--all", "--cgroup", cgroup, "--wait"]);
    }
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const set = (...flags: string[]) => tcpx(["uto", "set", "20s", "--wait", ...flags], { json: true });
  async function refused(code: number, what: string, ...flags: string[]) {
    const result = await tcpx(["uto", "set", "20s", ...flags]);
    expect([result.code, result.stderr]).toEqual([code, expect.stringContaining(what)]);
    return result.stderr;
  }

  /** The first child of a process, once it has one. */
  async function childOf(pid: number): Promise<string> {
    const children = () => readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").trim().split(" ");
    expect(await until(() => children()[0] !== "")).toBe(true);
    return children()[0]!;
  }

  test("--pid: the cgroup of that process, and its new connections only", async () => {
    const { code, json } = await set("--pid", `${peer.pid}`);
    expect(code).toBe(0);
    expect(json.scope).toMatchObject({ cgroup: below(service), unit });
    const c = await connectPeers(peer, u.server.peer, u.server.v4);
    expect(await u.timeout({ peer }, c.client)).toBe(20_000);
    const other = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    expect(await u.timeout(u.client, other.client)).toBe(0);
  });

  test("--pid of a process with TCP sockets: one line about where sockets belong", async () => {
    const idle = u.lab.spawn(["sleep", "60"], { cgroup: service });
    const there = () => readFileSync(`/proc/${idle.pid}/cgroup`, "utf8").includes(`${below(service)}\n`);
    expect(await until(there)).toBe(true); // it moves there by itself
    expect((await set("--pid", `${idle.pid}`, "--dry-run")).stderr).toBe("");
    const c = await connectPeers(peer, u.server.peer, u.server.v4);
    const { stderr, code } = await set("--pid", `${peer.pid}`);
    expect([code, stderr.trim().split("\n").length]).toEqual([0, 1]);
    expect(stderr).toMatch(/a socket belongs to the cgroup that it was created in/);
    await peer.close(c.client);
  });

  test("a process that was moved: its old socket stays where it was made, new ones are in the scope", async () => {
    const moved = await u.lab.peer("client", u.lab.cgroup("before"));
    const old = await moved.socket(4);
    await Bun.write(join(service, "cgroup.procs"), `${moved.pid}`);
    await set("--pid", `${moved.pid}`);
    const { port } = await u.server.peer.listen(u.server.v4);
    await moved.connectFd(old, u.server.v4, port);
    expect(await u.timeout({ peer: moved }, old)).toBe(0);
    const fresh = await moved.connect(u.server.v4, port);
    expect(await u.timeout({ peer: moved }, fresh)).toBe(20_000);
  });

  test("--pid of another pid namespace's process, and from another mount namespace", async () => {
    const inside = u.lab.spawn(["unshare", "--pid", "--fork", "--cgroup", "sleep", "60"], {
      cgroup: service,
    });
    const child = await childOf(inside.pid);
    expect((await set("--pid", child, "--dry-run")).json.scope.cgroup).toBe(below(service));
    const words = ["uto", "set", "20s", "--pid", `${peer.pid}`, "--dry-run"];
    const hidden = await tcpx(words, { json: true, wrap: ["ip", "netns", "exec", u.client.netns] });
    expect(hidden.json.scope.cgroup).toBe(below(service));
  });

  test("--pid seen from a cgroup namespace: below it, and out of its sight", async () => {
    const wrap = ["unshare", "--cgroup", "--"];
    const words = (pid: number) => ["uto", "set", "20s", "--pid", `${pid}`, "--dry-run"];
    const own = await tcpx(words(peer.pid), { json: true, wrap, cgroup: service });
    expect([own.code, own.json.scope.id]).toEqual([
      0,
      (await set("--cgroup", service, "--dry-run")).json.scope.id,
    ]);
    // the mount is the machine's, and so the walk through it finds what a path with /.. cannot say
    const other = await tcpx(words(u.client.peer.pid), { json: true, wrap, cgroup: service });
    expect(other.json.scope.id).toBe((await set("--cgroup", u.client.cgroup, "--dry-run")).json.scope.id);
  });

  test("--pid of none, of a kernel thread, of an ended process", async () => {
    for (const word of ["0", "-1", "x", "1.5", "99999999999"]) {
      await refused(2, "is not a process id", "--pid", word);
    }
    await refused(2, "there is no such process", "--pid", "4194305");
    const kthreadd = readdirSync("/proc").find(
      (pid) => /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/comm`, "utf8") === "kthreadd\n",
    );
    if (kthreadd) await refused(2, "is a kernel thread", "--pid", kthreadd);
    const parent = u.lab.spawn(["sh", "-c", "sleep 0 & exec sleep 60"]);
    const zombie = await childOf(parent.pid);
    const state = () => readFileSync(`/proc/${zombie}/stat`, "utf8").split(") ")[1]?.[0];
    expect(await until(() => state() === "Z")).toBe(true);
    await refused(2, "has ended", "--pid", zombie);
  });

  testIf(inRoot.ok, inRoot.reason)(
    "--pid in the root cgroup: a warning that it is every process",
    async () => {
      const { stderr, json } = await set("--pid", `${process.pid}`, "--dry-run");
      expect(json.scope).toMatchObject({ cgroup: "/", unit: null });
      expect(stderr).toContain("not only it, but every process");
    },
  );

  testIf(noSystemd.ok, noSystemd.reason)("--unit without systemd: the cgroup of its name", async () => {
    for (const text of [name, unit]) {
      const { code, json } = await set("--unit", text);
      expect([code, json?.scope]).toEqual([0, expect.objectContaining({ cgroup: below(service), unit })]);
    }
    const c = await connectPeers(peer, u.server.peer, u.server.v4);
    expect(await u.timeout({ peer }, c.client)).toBe(20_000);
    const gone = await tcpxOk(["uto", "unset", "--unit", name, "--wait"], { json: true });
    expect(gone.json.removed.length).toBe(2);
  });

  testIf(noSystemd.ok, noSystemd.reason)("--unit: not running, ambiguous, a user's", async () => {
    expect(await refused(2, `${name}-none.service does not run`, "--unit", `${name}-none`)).toContain(
      "start it",
    );
    const other = u.lab.cgroup(unit, u.lab.cgroup("other.slice"));
    expect(await refused(2, `several cgroups are called ${unit}`, "--unit", unit)).toContain(below(other));
    const users = u.lab.cgroup("app.slice", u.lab.cgroup("user@4711.service"));
    const app = u.lab.cgroup(`${name}-app.service`, users);
    expect(await refused(2, "does not run", "--unit", `${name}-app`)).toContain("add --user 4711");
    const { json } = await set("--unit", `${name}-app`, "--user", "4711", "--dry-run");
    expect(json.scope).toMatchObject({ cgroup: below(app), unit: `${name}-app.service` });
    await refused(2, "is not a user of this host", "--unit", name, "--user", "no-such-user");
    await refused(2, "of user 0 does not run", "--unit", unit, "--user", "root");
  });

  testIf(noSystemd.ok, noSystemd.reason)("--unit: a name that systemd escapes", async () => {
    const path = join(service, `_cpu.tcpx-t${process.pid}.slice`);
    mkdirSync(path);
    const { json } = await set("--unit", `cpu.tcpx-t${process.pid}.slice`, "--dry-run");
    expect(json.scope).toMatchObject({ cgroup: below(path), unit: `cpu.tcpx-t${process.pid}.slice` });
  });

  test("two names exclude each other, in every command", async () => {
    for (const words of [["uto", "set", "20s"], ["uto", "unset"], ["uto", "show"], ["status"]]) {
      const { code, stderr } = await tcpx([...words, "--cgroup", service, "--pid", "1"]);
      expect([code, stderr]).toEqual([2, expect.stringContaining("--cgroup and --pid exclude each other")]);
    }
    await refused(2, "--unit and --pid exclude each other", "--unit", "a", "--pid", "1");
    await refused(2, "--user is only for --unit", "--user", "root");
  });

  test("status and show name the unit", async () => {
    await set("--cgroup", service);
    expect(await scopeOf(service)).toMatchObject({ cgroup: below(service), unit });
    const flags = ["--pid", `${peer.pid}`];
    const status = await tcpxOk(["status", ...flags]);
    expect(status.stdout).toStartWith(`${unit}, cgroup ${below(service)}:\n`);
    expect((await tcpxOk(["uto", "show", ...flags])).stdout).toMatch(new RegExp(` ${unit}$`, "m"));
    const shown = await tcpxOk(["uto", "show", ...flags], { json: true });
    expect(shown.json.rules[0]).toMatchObject({ cgroup: below(service), unit });
  });
});
