// SPDX-License-Identifier: MIT
// The life of the ACK agent: one per host, started by the rules that need it and ended with the last of
// them. What befalls it meanwhile is in ack-agent-trouble.test.ts.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { AgentHost } from "../support/agent-host.ts";
import { SOL_SOCKET } from "../support/constants.ts";
import { attempts, type Connection, connectPeers, type Lab, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { SO_MAX_PACING_RATE } from "../support/thinner-lab.ts";

describeIf(labRequirement.ok, labRequirement.reason)("the ACK agent", () => {
  let a: AgentHost;
  let lab: Lab;
  let host: PrivateHost;
  let outer: string;
  let inner: string;

  beforeAll(async () => {
    a = await AgentHost.create();
    ({ lab, host, outer, inner } = a);
  });
  afterEach(() => a.clear());
  afterAll(() => a[Symbol.asyncDispose]());

  test("a rule starts it, another one does not start a second, the last one's end is its end", async () => {
    const first = (await a.ack("set --every 8")).json;
    expect(first).toMatchObject({ changed: true, agent: { running: true, problems: [] } });
    const { pid } = first.agent;
    expect((await a.agents()).map((agent) => agent.pid)).toEqual([pid]);
    expect((await a.ack("set --every 16")).json.agent.pid).toBe(pid);
    expect((await a.ack("set --every 1", inner)).json.agent).toMatchObject({ pid, mark_bits: 1 << 13 });
    expect((await a.ack("unset --all")).json.agent).toMatchObject({ running: true, pid, cgroups: [] });
    expect((await a.ack("unset --all", inner)).json.agent).toMatchObject({ running: false });
    expect(await a.remains()).toEqual([]);
  });

  test("it is attached to the topmost scopes only", async () => {
    const scopes = async () => (await a.agent()).cgroups.map((name: string) => name.split("/").at(-1));
    await a.ack("set --every 8", inner);
    expect(await scopes()).toEqual(["inner"]);
    await a.ack("set --every 4");
    expect(await scopes()).toEqual(["outer"]);
    await a.ack("unset --all");
    expect(await scopes()).toEqual(["inner"]);
  });

  test("rules of others and --dry-run do not start it; a delay alone does not need it", async () => {
    await host.ok(["ack", "set", "--every", "8", "--cgroup", outer, "--dry-run"]);
    await host.ok(["uto", "set", "30s", "--cgroup", outer]);
    await a.ack("set --delay 20ms");
    expect(await a.agents()).toEqual([]);
    expect(await a.agent()).toEqual({ running: false, pid: null });
    await host.ok(["uto", "unset", "--all", "--cgroup", outer]);
  });

  test("in a session of its own, without terminal, directory, descriptors or namespace of its starter", async () => {
    const ns = await lab.netns("starter");
    const words = `${tcpxPath()} ack set --every 8 --cgroup ${outer}`;
    // the shell that started it is gone before we look; descriptor 9 would keep a file busy
    await lab.exec(ns, [...host.wrap, "sh", "-c", `cd /run && exec 9</proc/self/status && ${words}`]);
    const [agent] = await a.agents();
    expect(agent).toMatchObject({ ppid: expect.any(Number), sid: agent!.pid, tty: "?" });
    expect((await a.processes()).some(({ pid }) => pid === agent!.ppid && pid > 1)).toBe(false);
    const { pid } = agent!;
    const of = (path: string) => host.sh(`readlink /proc/${pid}/${path}`).then((text) => text.trim());
    expect(await of("cwd")).toBe("/");
    for (const fd of [0, 1, 2]) expect(await of(`fd/${fd}`)).toBe("/dev/null");
    expect(await host.sh(`ls -l /proc/${pid}/fd`)).not.toContain("/proc/");
    expect(await of("ns/net")).toBe((await host.sh("readlink /proc/1/ns/net")).trim());
    expect(await host.sh(`readlink /proc/${pid}/task/*/ns/net | sort -u | wc -l`)).toBe("1\n");
    expect((await host.sh("stat -c '%a %u' /run/tcpx")).trim()).toBe("700 0");
  });

  test("routes for ACKs at once come with the rule, and go with it, and with a killed agent", async () => {
    const netns = await lab.netns("routed");
    const ours = async () =>
      (await lab.exec(netns, ["sh", "-c", "ip rule; ip -6 rule"]))
        .split("\n")
        .filter((l) => l.includes("31904"));
    const set = () =>
      host.ok(["ack", "set", "--every", "1", "--cgroup", outer], { json: true, netns: lab.ns("routed") });
    const sleeper = lab.spawn([...host.wrap, "sleep", "600"], { netns, cgroup: inner });
    expect((await set()).json.agent).toMatchObject({ namespaces: 1, problems: [], mark_bits: 1 << 13 });
    expect(await ours()).toHaveLength(2);
    await a.ack("unset --all");
    expect(await ours()).toEqual([]);
    await set();
    expect(await ours()).toHaveLength(2);
    await a.kill();
    expect(await until(async () => (await ours()).length === 0)).toBe(true);
    sleeper.kill("SIGKILL");
    await sleeper.exited;
  });

  test("status and show tell what was thinned, by rule; a killed agent's connection goes on", async () => {
    await lab.netns("sender");
    await lab.netns("receiver");
    const { b } = await lab.link("sender", "receiver");
    // a process of the private host, by which its agent finds the namespace
    lab.spawn([...host.wrap, "sleep", "600"], { netns: "receiver" });
    // one segment, one packet: a receiver that is given 64 KB at once has few ACKs to hold back
    await lab.exec("sender", ["ip", "link", "set", "to-receiver", "gso_max_segs", "1"]);
    await a.ack("set --every 8 --min-acks-per-rtt 0");
    const sender = await lab.peer("sender");
    const receiver = await lab.peer("receiver", outer);
    const bulk = async (c: Connection) => {
      const [sent, got] = await Promise.all([
        sender.send(c.client, 3_000_000, 20_000),
        receiver.recv(c.server, 3_000_000, 20_000),
      ]);
      expect(got).toBe(sent);
    };
    const c = await connectPeers(sender, receiver, b.v4);
    await sender.setopt(c.client, SOL_SOCKET, SO_MAX_PACING_RATE, 10_000_000);
    // how many are held back depends on how busy the machine is
    const thinned = async () => {
      await bulk(c);
      return (await host.ok(["status"], { json: true })).json.ack_rules[0];
    };
    const isEvery = (of: Awaited<ReturnType<typeof thinned>>) => of.counters.reasons.every > 0;
    const figures = await attempts(8, thinned, isEvery);
    expect(figures).toMatchObject({ extension: "ack", every: 8, kind: "local" });
    const { passed, dropped, reasons } = figures.counters;
    expect(dropped).toBeGreaterThan(0);
    expect(reasons.every).toBeGreaterThan(0);
    expect((await a.agent()).namespaces).toBe(1);
    expect(Object.values<number>(reasons).reduce((sum, n) => sum + n, 0)).toBe(passed);
    expect((await a.ack("show")).json.ack_rules[0].counters.dropped).toBeGreaterThanOrEqual(dropped);
    expect((await host.ok(["status"])).stdout).toMatch(
      /\nlocal every 8, min 0\/rtt all connections .* \d+ +\d+ +\d+ .*every \d+/,
    );
    await a.kill();
    await bulk(c);
    expect((await a.ack("set --every 8")).json.agent.running).toBe(true);
    await bulk(c);
  });

  test("a namespace in which no process of the scope lives is left alone", async () => {
    const netns = await lab.netns("other");
    const { json } = await host.ok(["ack", "set", "--every", "1", "--cgroup", outer], { json: true, netns });
    expect(json.agent).toMatchObject({ running: true, namespaces: 0 });
    expect(await lab.exec(netns, ["ip", "rule"])).not.toContain("31904");
  });

  test("two commands at the same time: one agent serves both", async () => {
    const cgroups = Array.from({ length: 4 }, (_, i) => lab.cgroup(`many${i}`));
    const set = (cgroup: string) =>
      host.ok(["ack", "set", "--every", "8", "--wait", "--cgroup", cgroup], { json: true });
    const made = await Promise.all(cgroups.map(set));
    expect(new Set(made.map(({ json }) => json.agent.pid)).size).toBe(1);
    await until(async () => (await a.agents()).length === 1);
    expect((await a.agent()).cgroups).toHaveLength(4);
    const unset = (cgroup: string) => host.ok(["ack", "unset", "--all", "--wait", "--cgroup", cgroup]);
    await Promise.all(cgroups.map(unset));
    expect(await a.remains()).toEqual([]);
  });

  test("a rule that comes while it ends gets the next one", async () => {
    await a.ack("set --every 8");
    for (let round = 0; round < 5; round++) {
      const [, set] = await Promise.all([
        host.ok(["ack", "unset", "--all", "--wait", "--cgroup", outer]),
        host.ok(["ack", "set", "--every", "8", "--wait", "--cgroup", inner], { json: true }),
      ]);
      expect(set.json.agent.running).toBe(true);
      expect((await a.agent()).running).toBe(true);
      await Promise.all([a.ack("set --every 8 --wait"), a.ack("unset --all --wait", inner)]);
      expect(await a.agent()).toMatchObject({ running: true, cgroups: [expect.stringMatching(/outer$/)] });
    }
  });

  test("--stop ends it, rules stay; once more is no error", async () => {
    const { pid } = (await a.ack("set --every 8")).json.agent;
    expect((await host.ok(["agent", "--stop"], { json: true })).json).toMatchObject({
      changed: true,
      stopped: pid,
      killed: false,
    });
    expect(await a.remains()).toEqual([]);
    expect((await host.ok(["agent", "--stop"])).stdout).toBe("no agent runs\n");
    expect((await a.ack("show")).json.rules).toHaveLength(1);
  });

  test("in the foreground: serves until the last rule goes; a second one says who runs", async () => {
    await a.ack("set --every 8");
    await host.ok(["agent", "--stop"]);
    const running = host.ok(["agent"]);
    expect(await until(async () => (await a.agent()).running)).toBe(true);
    const [{ pid } = { pid: 0 }] = await a.agents();
    expect((await host.ok(["agent"])).stdout).toBe(`the agent runs already, pid ${pid}\n`);
    await a.ack("unset --all");
    const { stdout } = await running;
    expect(stdout).toMatch(/^agent: pid \d+, .*\nno rule needs the agent any more\n$/s);
    expect((await host.ok(["agent"])).stdout).toBe("no rule needs the agent\n");
  });

  test("reset does not end it while another command has the lock", async () => {
    const { pid } = (await a.ack("set --every 8")).json.agent;
    const argv = ["flock", "/sys/fs/bpf/tcpx", "sh", "-c", "echo held; exec cat"];
    const holder = lab.spawn([...host.wrap, ...argv]);
    await holder.stdout.getReader().read();
    expect(await host.tcpx(["reset", "--no-wait"])).toMatchObject({ code: 5, stdout: "" });
    expect(await a.agent()).toMatchObject({ running: true, pid });
    holder.stdin.end();
    await holder.exited;
  });

  test("reset ends it first, and proves that nothing is left", async () => {
    const alone = await PrivateHost.create(lab);
    const { pid } = (await alone.ok(["ack", "set", "--every", "8", "--cgroup", outer], { json: true })).json
      .agent;
    expect((await alone.ok(["reset", "--dry-run"], { json: true })).json).toMatchObject({ agent_pid: pid });
    const { json } = await alone.tcpx(["reset"], { json: true });
    expect(json).toMatchObject({
      agent_pid: pid,
      rule_count: 1,
      proof: { agent_left: false, namespaces_with_routes_left: 0, pins_left: [] },
    });
    expect(
      await alone.sh("ls -d /run/tcpx 2>/dev/null; ps -eo args= | grep '[i]nternal-agent' || true"),
    ).toBe("");
    await alone.stop();
  });
});
