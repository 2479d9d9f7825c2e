// SPDX-License-Identifier: MIT
// The ACK agent without systemd: what the kernel says of the privileges of each of its threads. That it does
// its work with them is what the other tests of the agent are about.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { AgentHost } from "../support/agent-host.ts";
import { until } from "../support/lab.ts";
import { CAP, confinedTo, privileges, statusOf } from "../support/privileges.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

const NEEDED = [CAP.NET_ADMIN, CAP.NET_RAW, CAP.SYS_PTRACE, CAP.SYS_ADMIN, CAP.PERFMON, CAP.BPF];
const CONFINED = confinedTo(NEEDED);

describeIf(labRequirement.ok, labRequirement.reason)("privileges of the ACK agent", () => {
  let a: AgentHost;

  beforeAll(async () => {
    a = await AgentHost.create();
  });
  afterEach(() => a.clear());
  afterAll(() => a[Symbol.asyncDispose]());

  const privilegesOf = async (pid: number) => privileges(await a.host.sh(statusOf(pid)));

  const expectConfined = async (pid: number, wanted = CONFINED) => {
    const threads = await privilegesOf(pid);
    expect(threads.length).toBeGreaterThan(1);
    for (const thread of threads) expect(thread).toEqual(wanted);
  };

  test("started by a rule", async () => {
    const { agent } = (await a.ack("set --every 8")).json;
    expect(agent.problems).toEqual([]);
    await expectConfined(agent.pid);
  });

  test("and so has the guard of its routes", async () => {
    const netns = await a.lab.netns("guarded");
    a.lab.spawn([...a.host.wrap, "sleep", "600"], { netns, cgroup: a.outer });
    const words = ["ack", "set", "--every", "1", "--cgroup", a.outer];
    await a.host.ok(words, { json: true, netns });
    const guards = (await a.host.sh("pgrep -x tcpx-guard")).trim().split("\n").map(Number);
    expect(guards.length).toBeGreaterThan(0);
    for (const pid of guards) expect(await privilegesOf(pid)).toEqual([CONFINED]);
  });

  /** Runs `tcpx agent` in the foreground behind a command, while `inspect` looks at it. */
  async function inForeground(
    wrap: string[],
    inspect: (pid: number) => Promise<void>,
    problems: unknown[] = [],
  ) {
    await a.ack("set --every 8");
    await a.host.ok(["agent", "--stop"]);
    const child = a.lab.spawn([...a.host.wrap, ...wrap, tcpxPath(), "agent"]);
    expect(await until(async () => (await a.agent()).running)).toBe(true);
    expect((await a.agent()).problems).toEqual(problems);
    await inspect((await a.agent()).pid);
    await a.host.ok(["agent", "--stop"]);
    await child.exited;
  }

  test("in the foreground", () => inForeground([], (pid) => expectConfined(pid)));

  test("where its starter lacks some of them, it has the others", () =>
    inForeground(
      ["setpriv", "--bounding-set", "-net_raw,-perfmon", "--"],
      (pid) => {
        const left = NEEDED.filter((n) => n !== CAP.NET_RAW && n !== CAP.PERFMON);
        return expectConfined(pid, confinedTo(left));
      },
      [expect.stringContaining("CAP_NET_RAW is missing")],
    ));

  test("where the bounding set may not be changed, it has no others all the same", () =>
    inForeground(["setpriv", "--bounding-set", "-setpcap", "--"], async (pid) => {
      const threads = await privilegesOf(pid);
      const [{ CapBnd } = { CapBnd: undefined }] = threads;
      expect(CapBnd).not.toBe(CONFINED.CapBnd);
      for (const thread of threads) expect(thread).toEqual({ ...CONFINED, CapBnd: CapBnd! });
    }));

  test("where its starter gives it inheritable and ambient ones, it has none", () =>
    inForeground(["setpriv", "--inh-caps", "+chown,+net_admin", "--ambient-caps", "+chown", "--"], (pid) =>
      expectConfined(pid),
    ));

  test("an executable that only its owner may read, who is not root", async () => {
    const other = `${a.lab.dir}/tcpx`;
    await a.host.sh(`cp ${tcpxPath()} ${other} && chmod 700 ${other} && chown 65534 ${other}`);
    const { json } = await a.host.ok(["ack", "set", "--every", "8", "--cgroup", a.outer], {
      json: true,
      program: other,
    });
    expect(json.agent).toMatchObject({ running: true, problems: [] });
    await expectConfined(json.agent.pid);
    await a.host.ok(["agent", "--stop"]);
  });
});
