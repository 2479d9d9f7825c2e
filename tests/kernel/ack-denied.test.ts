// SPDX-License-Identifier: MIT
// Where ACKs are not thinned because of the routing, the command, status and show say why, as it changes.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { AgentHost } from "../support/agent-host.ts";
import { attempts, connectPeers, type Lab, processesOf, until } from "../support/lab.ts";
import type { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";

const RULE = "rule add pref 77 ipproto tcp dport 443 lookup 99";
const WHY = "IPv4 rule 77 goes by protocol, port";
const HERE = "ACKs are not thinned in this network namespace";

describeIf(labRequirement.ok, labRequirement.reason)("where routing denies thinning", () => {
  let a: AgentHost;
  let lab: Lab;
  let host: PrivateHost;

  beforeAll(async () => {
    a = await AgentHost.create();
    ({ lab, host } = a);
  });
  afterEach(() => a.clear());
  afterAll(() => a[Symbol.asyncDispose]());

  const inodeOf = (netns: string) => statSync(`/run/netns/${lab.ns(netns)}`).ino;
  const ip = (netns: string, words: string) => lab.exec(netns, ["ip", ...words.split(" ")]);

  test("the caller's namespace: set, status and show, at once and without a connection", async () => {
    await lab.netns("denied");
    const netns = lab.ns("denied");
    await ip("denied", RULE);
    const words = ["ack", "set", "--every", "8", "--cgroup", a.outer];
    const set = await host.ok(words, { netns, json: true });
    const denied = [{ netns: inodeOf("denied"), what: "thinned", why: WHY }];
    expect(set.json.agent).toMatchObject({ problems: [], denied });
    expect(set.stderr).toContain(`tcpx: warning: ${HERE}: ${WHY}\n`);
    const said = async () => {
      const texts: string[] = [];
      for (const command of [["status"], ["ack", "show"]]) {
        const { json } = await host.ok(command, { netns, json: true });
        const { stdout } = await host.ok(command, { netns });
        texts.push(...json.agent.denied.map(({ why }: { why: string }) => why));
        if (json.agent.denied.length > 0) expect(stdout).toContain(`${HERE}: ${json.agent.denied[0].why}\n`);
        else expect(stdout).not.toContain("not thinned");
      }
      return texts;
    };
    expect(await said()).toEqual([WHY, WHY]);
    await ip("denied", "rule del pref 77");
    expect(await said()).toEqual([]);
    expect((await host.ok(words, { netns })).stderr).toBe("");
    const policy = "src 10.203.0.1 dst 10.203.0.2 dir out";
    await ip("denied", `xfrm policy add ${policy}`);
    expect(await said()).toEqual(Array(2).fill("it has IPsec policies"));
    await ip("denied", `xfrm policy del ${policy}`);
    await lab.netns("gate");
    const { b } = await lab.link("denied", "gate");
    const other = b.v4.replace(/\d+$/, "9");
    await ip("denied", `route add default nexthop via ${b.v4} nexthop via ${other}`);
    expect(await said()).toEqual(Array(2).fill("IPv4 route 0.0.0.0/0 has several next hops"));
  });

  test("rules that thin nothing here say nothing of it", async () => {
    await lab.netns("other");
    const netns = lab.ns("other");
    await ip("other", RULE);
    expect((await host.ok(["ack", "set", "--delay", "20ms", "--cgroup", a.outer], { netns })).stderr).toBe(
      "",
    );
    // where its processes are counts
    lab.spawn([...host.wrap, "sleep", "600"], {
      cgroup: a.outer,
      netns: await lab.netns("within"),
    });
    const set = async () =>
      (await host.ok(["ack", "set", "--every", "8", "--cgroup", a.outer], { netns })).stderr;
    expect(await set()).not.toContain("not thinned");
    await ip("within", RULE);
    expect(await set()).toContain(`not thinned in network namespace net:[${inodeOf("within")}]: ${WHY}\n`);
    for (const pid of processesOf(a.outer)) process.kill(pid, "SIGKILL");
    expect(await until(() => processesOf(a.outer).length === 0)).toBe(true);
  });

  test("another namespace, by its connections: what the agent says, and has followed", async () => {
    await lab.netns("sender");
    await lab.netns("receiver");
    const { b } = await lab.link("sender", "receiver");
    lab.spawn([...host.wrap, "sleep", "600"], { netns: "receiver" }); // by which the agent finds it
    await a.ack("set --every 8 --min-acks-per-rtt 0");
    await lab.exec("sender", ["ip", "link", "set", "to-receiver", "gso_max_segs", "1"]);
    const sender = await lab.peer("sender");
    const receiver = await lab.peer("receiver", a.outer);
    const c = await connectPeers(sender, receiver, b.v4);
    await sender.setopt(c.client, 1, 47, 10_000_000); // SO_MAX_PACING_RATE
    const counted = async () => {
      const [sent, got] = await Promise.all([
        sender.send(c.client, 2_000_000, 20_000),
        receiver.recv(c.server, 2_000_000, 20_000),
      ]);
      expect(got).toBe(sent);
      const { json, stdout } = { ...(await host.ok(["status"], { json: true })) };
      const { counters } = json.ack_rules[0];
      return { stdout, denied: json.agent.denied, dropped: counters.dropped, path: counters.reasons.path };
    };
    const first = await attempts(8, counted, ({ dropped }) => dropped > 5);
    expect(first).toMatchObject({ denied: [], path: 0 });
    expect(first.dropped).toBeGreaterThan(5);
    await ip("receiver", RULE);
    const isTold = async () => (await a.agent()).denied.length > 0;
    expect(await until(isTold)).toBe(true);
    const { dropped } = await counted();
    const then = await attempts(8, counted, ({ path }) => path > 5);
    expect(then.path).toBeGreaterThan(5);
    expect(then.dropped).toBe(dropped);
    expect(then.denied).toEqual([{ netns: inodeOf("receiver"), what: "thinned", why: WHY }]);
    const { stdout } = await host.ok(["status"]);
    expect(stdout).toContain(
      `ACKs are not thinned in network namespace net:[${inodeOf("receiver")}]: ${WHY}`,
    );
    await ip("receiver", "rule del pref 77");
    expect(await until(async () => !(await isTold()))).toBe(true);
    const last = await attempts(8, counted, (now) => now.dropped > then.dropped);
    expect(last.dropped).toBeGreaterThan(then.dropped);
  }, 60_000);
});
