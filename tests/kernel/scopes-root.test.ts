// SPDX-License-Identifier: MIT
// The root scope: rules of one network namespace, of all of them, and tcpx started by `ip netns exec`.
// These attach to the real root cgroup, so every selector or namespace is the lab's, and all is undone.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { cgroupMount, connectPeers, type Peer, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { NETNS_DIR } from "../support/process.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpx } from "../support/tcpx.ts";
import { type Side, tcpxOk, UtoLab } from "../support/uto-lab.ts";

describeIf(labRequirement.ok, labRequirement.reason)("the root scope", () => {
  let u: UtoLab;
  /** In no cgroup of the lab: only the root scope's rules are for them. */
  let client: Peer;
  let server: Peer;

  beforeAll(async () => {
    u = await UtoLab.create();
    client = await u.lab.peer("client");
    server = await u.lab.peer("server");
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const root = (side: Side, words: string) =>
    tcpxOk(["uto", ...words.split(" "), "--wait"], { netns: side.netns, json: true });
  const inode = (side: Side) => statSync(`${NETNS_DIR}/${side.netns}`).ino;

  /** Timeouts in seconds of a connection from the client and of one from the server. */
  async function seconds(): Promise<[fromClient: number, fromServer: number]> {
    const there = await connectPeers(client, server, u.server.v4);
    const back = await connectPeers(server, client, u.client.v4);
    const both = [u.timeout({ peer: client }, there.client), u.timeout({ peer: server }, back.client)];
    const [a = -1, b = -1] = await Promise.all(both);
    return [a / 1000, b / 1000];
  }

  /** Runs the body and takes back what it may have left in the root scope, for these two namespaces. */
  async function undone(body: () => Promise<unknown>, more: string[] = []): Promise<void> {
    try {
      await body();
    } finally {
      for (const side of [u.client, u.server]) {
        for (const words of ["unset", ...more]) await root(side, words);
      }
      const left = (await tcpxOk(["uto", "show"], { json: true })).json.rules;
      const inodes = [inode(u.client), inode(u.server)];
      expect(left.filter((rule: { netns: number | null }) => inodes.includes(rule.netns ?? 0))).toEqual([]);
    }
  }

  test("without --cgroup a rule is for the caller's network namespace alone", () =>
    undone(async () => {
      const made = await root(u.client, "set 20s");
      expect(made.json.added).toMatchObject([{ netns: inode(u.client) }, { kind: "ask" }]);
      expect(await seconds()).toEqual([20, 0]);
      await root(u.server, "set 30s");
      expect(await seconds()).toEqual([20, 30]);
      await root(u.client, "unset");
      expect(await seconds()).toEqual([0, 30]);
      expect((await root(u.client, "set 30s --dry-run")).json.changed).toBe(true);
      expect((await root(u.server, "set 30s --dry-run")).json.changed).toBe(false);
    }));

  test("--all-netns is for all of them, and the rule of one namespace is the narrower one", async () => {
    const selector = `--to ${u.client.v4},${u.server.v4}`;
    await undone(async () => {
      const made = await root(u.client, `set 40s --all-netns ${selector}`);
      expect(made.json.added.map((rule: { netns: unknown }) => rule.netns)).toEqual([null, null, null, null]);
      expect(await seconds()).toEqual([40, 40]);
      await root(u.server, `set 50s ${selector}`);
      expect(await seconds()).toEqual([40, 50]);
      await root(u.client, `unset --all-netns ${selector}`);
      expect(await seconds()).toEqual([0, 50]);
    }, [`unset ${selector}`, `unset --all-netns ${selector}`]);
  });

  test("a rule of a lab's cgroup goes before the root scope's", () =>
    undone(async () => {
      await root(u.client, "set 20s");
      await u.rule(u.client, "set 40s");
      const c = await connectPeers(u.client.peer, server, u.server.v4);
      expect(await u.timeout(u.client, c.client)).toBe(40_000);
      expect(await seconds()).toEqual([20, 0]);
      await u.rule(u.client, "set none");
      const exempt = await connectPeers(u.client.peer, server, u.server.v4);
      expect(await u.timeout(u.client, exempt.client)).toBe(0);
      await u.clear();
      const d = await connectPeers(u.client.peer, server, u.server.v4);
      expect(await u.timeout(u.client, d.client)).toBe(20_000);
    }));

  test("show names the namespace: 'this' to callers in it, its inode number to others", () =>
    undone(async () => {
      await root(u.client, "set 20s");
      const inside = (await tcpxOk(["uto", "show"], { netns: u.client.netns })).stdout;
      expect(inside).toMatch(/uto +local +20s +all connections +this +\/\n/);
      const outside = (await tcpxOk(["uto", "show"], { netns: u.server.netns })).stdout;
      expect(outside).toMatch(new RegExp(`uto +local +20s +all connections +${inode(u.client)} +/\\n`));
    }));

  /** `ip netns exec` mounts a new /sys: bpffs and the cgroups are hidden from tcpx. */
  const netnsExec = (words: string, wrap: string[] = [], json = false): Promise<TcpxResult> =>
    tcpx(["uto", ...words.split(" ")], { wrap: [...wrap, "ip", "netns", "exec", u.client.netns], json });

  test("ip netns exec NS tcpx: the rule is made, stays, and is seen from outside", async () => {
    const host = await PrivateHost.create(u.lab, { ownRun: false });
    const made = await netnsExec("set 20s", host.wrap, true);
    expect(made).toMatchObject({ code: 0, stderr: "" });
    expect(made.json.added).toMatchObject([{ netns: inode(u.client) }, {}]);
    expect(await seconds()).toEqual([20, 0]);
    const outside = (await host.ok(["uto", "show"], { json: true })).json.rules;
    expect((await netnsExec("show", host.wrap, true)).json.rules).toEqual(outside);
    expect(outside).toMatchObject([{ cgroup: "/", kind: "ask", timeout_ms: 20_000 }, { kind: "local" }]);
    const named = await netnsExec(`set 30s --cgroup ${u.server.cgroup}`, host.wrap, true);
    expect(named).toMatchObject({
      code: 0,
      stderr: "",
      json: { scope: { cgroup: u.server.cgroup.slice(cgroupMount().length) } },
    });
    const c = await connectPeers(u.server.peer, client, u.client.v4);
    expect(await u.timeout(u.server, c.client)).toBe(30_000);
    expect((await netnsExec("unset", host.wrap, true)).json.removed).toHaveLength(2);
    await host.ok(["uto", "unset", "--cgroup", u.server.cgroup]);
    expect(await host.pins()).toEqual([]);
    await host.stop();
  });

  test("ip netns exec NS tcpx where bpffs was not mounted mounts it for everybody", async () => {
    const host = await PrivateHost.create(u.lab, { bpffs: false, ownRun: false });
    expect(await netnsExec("set 20s", host.wrap)).toMatchObject({ code: 0, stderr: "" });
    expect(await host.bpffs()).toBe("tcpx");
    expect((await host.ok(["uto", "show"], { json: true })).json.rules).toHaveLength(2);
    expect(await seconds()).toEqual([20, 0]);
    await host.stop();
    // the kernel takes the bpffs apart some time after its last process
    let left: number[] = [];
    await until(async () => {
      left = await seconds();
      return left[0] === 0;
    }, 10_000);
    expect(left).toEqual([0, 0]);
  });

  test("ip netns exec on this host, even where process 1 is out of reach: its ancestors' view will do", () =>
    undone(async () => {
      await u.rule(u.client, "set 30s"); // bpffs is mounted now
      expect(await netnsExec("set 20s --wait")).toMatchObject({ code: 0, stderr: "" });
      expect(await seconds()).toEqual([20, 0]);
      const shown = (await netnsExec("show", [], true)).json.rules;
      expect(shown).toEqual((await tcpxOk(["uto", "show"], { json: true })).json.rules);
      expect(shown.length).toBeGreaterThanOrEqual(4);
      expect(await netnsExec("unset --wait")).toMatchObject({ code: 0, stderr: "" });
      expect(await seconds()).toEqual([0, 0]);
    }));
});
