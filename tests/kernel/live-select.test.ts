// SPDX-License-Identifier: MIT
// Which connections --live is for, and what is nobody's business.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, DEFAULT_CAP, DEFAULT_MARK, delackRequirement, markOf } from "../support/ack-lab.ts";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { connectPeers } from "../support/lab.ts";
import { LiveLab, STOCK } from "../support/live-lab.ts";
import type { RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { type TcpxOptions, tcpx } from "../support/tcpx.ts";
import { tcpxOk } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, delackRequirement);

describeIf(needs.ok, needs.reason)("which connections that exist", () => {
  let l: LiveLab;
  let r: RequestLab;

  beforeAll(async () => {
    l = await LiveLab.create();
    r = l.r;
  });
  afterEach(() => l.clear());
  afterAll(() => l[Symbol.asyncDispose]());

  test("selectors: direction, port, address, exemptions; bystanders keep what they have", async () => {
    const [a, b] = [await l.opened("v4", 7101), await l.opened("v4", 7102)];
    const six = await l.opened("v6", 7101);
    const client = async () => {
      const fds = [a.client, b.client, six.client];
      return await Promise.all(fds.map((fd) => r.u.timeout(r.client, fd)));
    };
    expect(await l.live(r.client, "uto set 10s --from 0.0.0.0/0")).toMatchObject({ changed_connections: 0 });
    expect(await l.live(r.client, `uto set 20s --to ${r.server.v4} --port 7101`)).toMatchObject({
      changed_connections: 1,
    });
    expect(await client()).toEqual([20_000, 0, 0]);
    await r.rule(r.client, `uto set none --to ${r.server.v6}`);
    expect(await l.live(r.client, "uto set 30s")).toMatchObject({ changed_connections: 1 }); // not the one with a narrower rule
    expect(await client()).toEqual([20_000, 30_000, 0]);
    expect(await l.live(r.server, "uto set 40s --from 10.0.0.0/8 --port 7102")).toMatchObject({
      changed_connections: 1,
    });
    expect(await r.u.timeout(r.server, b.server)).toBe(40_000);
    expect(await r.u.timeout(r.server, a.server)).toBe(0);
    for (const c of [a, b, six]) await r.exchange(c, 1);
  });

  test("an inner scope with a rule of its own keeps its connections; another scope is not touched", async () => {
    const inner = r.lab.cgroup("inner", r.lab.cgroup("outer"));
    const outer = inner.slice(0, inner.lastIndexOf("/"));
    const [inside, between] = [
      await r.lab.peer(r.client.netns, inner),
      await r.lab.peer(r.client.netns, r.lab.cgroup("beside", outer)),
    ];
    const [x, y, other] = [
      await connectPeers(inside, r.server.peer, r.server.v4),
      await connectPeers(between, r.server.peer, r.server.v4),
      await l.opened(),
    ];
    await r.rule(inner, "uto set 11s");
    expect(await l.live(outer, "uto set 30s")).toMatchObject({ changed_connections: 1 });
    expect(await r.u.timeout({ peer: inside }, x.client)).toBe(0);
    expect(await r.u.timeout({ peer: between }, y.client)).toBe(30_000);
    expect(await l.settings(r.client, other.client)).toEqual(STOCK);
    expect(await l.live(outer, "cc-request set cubic --local")).toMatchObject({ changed_connections: 2 }); // no such rule inside
    await l.live(outer, "cc-request unset");
    await l.live(outer, "uto unset");
    expect(await r.u.timeout({ peer: between }, y.client)).toBe(0);
  });

  test("several network namespaces in one scope", async () => {
    const cgroup = r.lab.cgroup("both");
    const here = await r.lab.peer(r.client.netns, cgroup);
    const there = await r.lab.peer(r.server.netns, cgroup);
    const c = await connectPeers(here, there, r.server.v4);
    expect(await l.live(cgroup, "uto set 30s")).toMatchObject({
      changed_connections: 2,
      namespaces: 2,
      namespaces_checked: 3,
    });
    expect(await r.u.timeout({ peer: here }, c.client)).toBe(30_000);
    expect(await r.u.timeout({ peer: there }, c.server)).toBe(30_000);
    const { stdout } = await tcpxOk(["uto", "unset", "--live", "--cgroup", cgroup, "--wait"]);
    expect(stdout).toContain("restored 2 connection(s) in 2 network namespace(s)");
  });

  test("old listeners are armed in every network namespace of the scope's processes, and nowhere else", async () => {
    const cgroup = r.lab.cgroup("listening");
    for (const { netns, v4, v6 } of [r.client, r.server]) {
      const peer = await r.lab.peer(netns, cgroup);
      for (const address of [v4, v6]) await peer.listen(address);
    }
    await r.server.peer.listen(r.server.v4); // of another scope
    const accept = async () => (await r.rule(cgroup, "uto accept --min 1s")).json.listeners;
    expect(await accept()).toMatchObject({ armed: 4, namespaces: 2 });
    expect(await accept()).toMatchObject({ armed: 0, namespaces: 0 });
  });

  test("a mark of the application's own is nobody's business", async () => {
    const c = await l.opened();
    await r.client.peer.setopt(c.client, SOL_SOCKET, SO_MARK, DEFAULT_MARK | 5);
    expect(await l.live(r.client, "ack set --delay 40ms")).toMatchObject({ changed_connections: 1 });
    expect(await markOf(r.client, c.client)).toBe(DEFAULT_MARK | 5);
    await l.live(r.client, "ack unset");
    expect([await markOf(r.client, c.client), await capOf(r.client, c.client)]).toEqual([
      DEFAULT_MARK | 5,
      DEFAULT_CAP,
    ]);
  });

  test("connections lists them as opened and accepted, as they are", async () => {
    const c = await l.opened();
    for (const [side, direction] of [
      [r.client, "opened"],
      [r.server, "accepted"],
    ] as const) {
      const words = `uto set 30s --no-advertise --port ${c.port}`;
      expect(await l.live(side, words)).toMatchObject({ changed_connections: 1 });
      const args = ["connections", "--cgroup", side.cgroup, "--port", `${c.port}`];
      const { json } = await tcpx(args, { netns: side.netns, json: true });
      expect(json.connections).toMatchObject([{ direction, user_timeout_ms: 30_000 }]);
      expect(json.connections[0].extensions.uto.ours.status).toBe("none");
    }
  });

  test("the caller's own SSH session is pointed out when it is among the changed ones, and only then", async () => {
    const c = await l.opened();
    const [remote, local] = [r.server.v4, r.client.v4];
    const words = (timeout: string) => [
      "uto",
      "set",
      timeout,
      "--live",
      "--wait",
      "--cgroup",
      r.client.cgroup,
    ];
    await r.rule(r.client, "uto set 30s"); // which has it removed afterwards
    const warned = async (timeout: string, options: TcpxOptions) =>
      (await tcpxOk(words(timeout), options)).stderr.includes("your own SSH session");
    const place = ["--cgroup", r.client.cgroup, "--port", `${c.port}`];
    const { json } = await tcpx(["connections", ...place], { netns: r.client.netns, json: true });
    const { port } = json.connections[0].local;
    const session = `${remote} ${c.port} ${local} ${port}`;
    expect(await warned("20s", { env: { SSH_CONNECTION: session } })).toBe(true);
    expect(await warned("20s", { env: { SSH_CONNECTION: session } })).toBe(false);
    expect(await warned("25s", { env: { SSH_CONNECTION: `${remote} ${c.port} ${local} 1` } })).toBe(false);
    // as under sudo
    const wrap = ["env", `SSH_CONNECTION=${session}`, "sh", "-c", 'env -u SSH_CONNECTION "$@"; exit', "sh"];
    expect(await warned("35s", { wrap })).toBe(true);
  });
});
