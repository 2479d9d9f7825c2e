// SPDX-License-Identifier: MIT
// Scopes: nested cgroups, one cgroup in several network namespaces, cgroups that are gone.

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readdirSync, rmdirSync } from "node:fs";
import { LAYOUT_VERSION } from "../../cli/layout/layout.generated.ts";
import { type Connection, connectPeers, type Peer } from "../support/lab.ts";
import { optionsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { scopeOf, tcpxOk, trace, UtoLab, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement);
const UTO_20S = "1c040014";
const UTO_40S = "1c040028";

describeIf(needs.ok, needs.reason)("nested scopes", () => {
  let u: UtoLab;
  /** Below the client's and the server's own cgroups, and a sibling each. */
  let inner: Record<"client" | "server", { cgroup: string; peer: Peer }>;
  let sibling: Peer;

  beforeAll(async () => {
    u = await UtoLab.create();
    const below = async (name: "client" | "server") => {
      const cgroup = u.lab.cgroup("inner", u[name].cgroup);
      return { cgroup, peer: await u.lab.peer(name, cgroup) };
    };
    inner = { client: await below("client"), server: await below("server") };
    sibling = await u.lab.peer("client", u.lab.cgroup("sibling", u.client.cgroup));
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  const timeout = (peer: Peer, fd: number) => u.timeout({ peer }, fd);
  const fromInner = () => connectPeers(inner.client.peer, u.server.peer, u.server.v4);
  const toInner = () => connectPeers(u.client.peer, inner.server.peer, u.server.v4);

  /** First a capture, then a connection with some data; returns the options of both sides. */
  async function options(open: () => Promise<Connection>, client: Peer, server: Peer) {
    const capture = await u.capture();
    const c = await open();
    await server.echo(c.server);
    await client.exchange(c.client, 2, 100);
    await capture.stop();
    const t = await trace(capture, c.port);
    const distinct = (packets: typeof t.all) => [...new Set(packets.map(utoOf))].filter(Boolean);
    return { c, client: distinct(t.client), server: distinct(t.server) };
  }

  test("set in parent and child: the child's value is on the socket and on the wire", async () => {
    await u.rule(u.client.cgroup, "set 20s");
    await u.rule(inner.client.cgroup, "set 40s");
    const seen = await options(fromInner, inner.client.peer, u.server.peer);
    expect(await timeout(inner.client.peer, seen.c.client)).toBe(40_000);
    expect(seen).toMatchObject({ client: [UTO_40S], server: [] });
    const other = await connectPeers(sibling, u.server.peer, u.server.v4);
    expect(await timeout(sibling, other.client)).toBe(20_000);
    const own = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    expect(await timeout(u.client.peer, own.client)).toBe(20_000);
  });

  test("set in parent and child, for accepted connections", async () => {
    await u.rule(u.server.cgroup, "set 20s");
    await u.rule(inner.server.cgroup, "set 40s");
    const seen = await options(toInner, u.client.peer, inner.server.peer);
    expect(await timeout(inner.server.peer, seen.c.server)).toBe(40_000);
    expect(seen).toMatchObject({ client: [], server: [UTO_40S] });
  });

  test("an extension that only the child has is said, whatever else the parent has", async () => {
    const rule = (words: string, cgroup: string) =>
      tcpxOk([...words.split(" "), "--cgroup", cgroup, "--wait"]);
    await rule("iw set 40", inner.client.cgroup);
    try {
      await rule("uto set 20s --no-advertise", u.client.cgroup);
      const capture = await u.capture();
      const c = await fromInner();
      await u.server.peer.echo(c.server);
      await inner.client.peer.exchange(c.client, 2, 100);
      await capture.stop();
      const said = (await trace(capture, c.port)).client
        .map((packet) => optionsOf(packet, 254))
        .filter(Boolean);
      expect(said.slice(0, 2)).toEqual(["fe067c100028", "fe067c100028"]); // the SYN, and the third ACK
      expect(await timeout(inner.client.peer, c.client)).toBe(20_000);
    } finally {
      for (const cgroup of [inner.client.cgroup, u.client.cgroup])
        for (const ext of ["iw", "uto"]) await rule(`${ext} unset --all`, cgroup);
    }
  });

  test("none in the child exempts from the parent's ask and local, on the SYN and on the SYN-ACK", async () => {
    for (const side of ["client", "server"] as const) {
      await u.rule(u[side].cgroup, "set 20s");
      await u.rule(inner[side].cgroup, "set none");
    }
    const out = await options(fromInner, inner.client.peer, u.server.peer);
    expect(await timeout(inner.client.peer, out.c.client)).toBe(0);
    expect(out).toMatchObject({ client: [], server: [UTO_20S] });
    const into = await options(toInner, u.client.peer, inner.server.peer);
    expect(await timeout(inner.server.peer, into.c.server)).toBe(0);
    expect(into).toMatchObject({ client: [UTO_20S], server: [] });
  });

  test("accept in the child and set in the parent combine by the formula", async () => {
    await u.rule(u.client.cgroup, "set 20s");
    await u.rule(inner.client.cgroup, "accept --min 1s --max 100s");
    await u.rule(u.server, "set 40s");
    const larger = await options(fromInner, inner.client.peer, u.server.peer);
    expect(await timeout(inner.client.peer, larger.c.client)).toBe(40_000);
    expect(larger).toMatchObject({ client: [UTO_20S], server: [UTO_40S] });
    await u.rule(u.server, "set 10s");
    const smaller = await fromInner();
    expect(await timeout(inner.client.peer, smaller.client)).toBe(20_000);
    await u.rule(u.server, "set 200s");
    const clamped = await fromInner();
    expect(await timeout(inner.client.peer, clamped.client)).toBe(100_000);
    // the sibling has no accept rule
    const other = await connectPeers(sibling, u.server.peer, u.server.v4);
    expect(await timeout(sibling, other.client)).toBe(20_000);
  });

  test("set in the child and accept in the parent combine, too, when the client opens and when it accepts", async () => {
    await u.rule(u.server.cgroup, "accept --min 1s");
    await u.rule(inner.server.cgroup, "set 20s");
    await u.rule(u.client, "set 40s");
    const into = await options(toInner, u.client.peer, inner.server.peer);
    expect(await timeout(inner.server.peer, into.c.server)).toBe(40_000);
    expect(into).toMatchObject({ client: [UTO_40S], server: [UTO_20S] });
    const { fd, port } = await u.client.peer.listen(u.client.v6);
    const out = await inner.server.peer.connect(u.client.v6, port);
    await u.client.peer.accept(fd);
    expect(await timeout(inner.server.peer, out)).toBe(40_000);
  });

  test("an inner rule for other connections leaves these to the outer one", async () => {
    await u.rule(u.client.cgroup, "set 20s");
    await u.rule(inner.client.cgroup, "set 40s --to 192.0.2.1");
    expect(await timeout(inner.client.peer, (await fromInner()).client)).toBe(20_000);
  });

  test("an outer rule that is narrower does not win over an inner one", async () => {
    await u.rule(u.client.cgroup, `set 20s --to ${u.server.v4} --port 7400`);
    await u.rule(inner.client.cgroup, "set 40s");
    const c = await connectPeers(inner.client.peer, u.server.peer, u.server.v4, { port: 7400 });
    expect(await timeout(inner.client.peer, c.client)).toBe(40_000);
  });

  test("a change of the inner scope's rules takes over while the outer's stay", async () => {
    await u.rule(u.client.cgroup, "set 20s");
    await u.rule(inner.client.cgroup, "set 40s");
    await u.rule(inner.client.cgroup, "set 50s");
    expect(await timeout(inner.client.peer, (await fromInner()).client)).toBe(50_000);
    await u.rule(u.client.cgroup, "set 30s");
    expect(await timeout(inner.client.peer, (await fromInner()).client)).toBe(50_000);
    await u.rule(inner.client.cgroup, "unset");
    expect(await timeout(inner.client.peer, (await fromInner()).client)).toBe(30_000);
  });

  test("a named scope covers every network namespace of its processes", async () => {
    const cgroup = u.lab.cgroup("two");
    const here = await u.lab.peer("client", cgroup);
    const there = await u.lab.peer("server", cgroup);
    await u.rule(cgroup, "set 20s");
    const out = await connectPeers(here, u.server.peer, u.server.v4);
    expect(await timeout(here, out.client)).toBe(20_000);
    const back = await connectPeers(there, u.client.peer, u.client.v6);
    expect(await timeout(there, back.client)).toBe(20_000);
    const between = await connectPeers(here, there, u.server.v6);
    expect(await timeout(there, between.server)).toBe(20_000);
  });

  test("a removed cgroup: status says so, and the next change of another scope clears it away", async () => {
    const doomed = u.lab.cgroup("doomed");
    const id = (await tcpxOk(["uto", "set", "20s", "--cgroup", doomed, "--wait"], { json: true })).json.scope
      .id;
    expect(await scopeOf(doomed)).toMatchObject({ id, alive: true });
    rmdirSync(doomed);
    const gone = async () =>
      (await tcpxOk(["status"], { json: true })).json.scopes.find((scope: { id: string }) => scope.id === id);
    // at once, though the kernel detaches from a removed cgroup in its own time
    expect(await gone()).toMatchObject({ alive: false, rules: [{ kind: "local" }, { kind: "ask" }] });
    expect((await tcpxOk(["status"])).stdout).toMatch(/doomed \(removed/);
    expect((await tcpxOk(["uto", "show"])).stdout).toMatch(/doomed \(gone\)/);
    const named = await tcpx(["uto", "show", "--cgroup", doomed]);
    expect(named.code).toBe(2);
    const next = await tcpxOk(["uto", "set", "30s", "--cgroup", u.client.cgroup, "--wait"]);
    expect(next.stderr).toMatch(/doomed is gone: removed its 2 rule/);
    expect(await gone()).toBeUndefined();
    const pins = `/sys/fs/bpf/tcpx/v${LAYOUT_VERSION}`;
    expect(readdirSync(pins)).not.toContain(id);
    await u.rule(u.client, "unset");
  });

  test("a cgroup of the same name that is made again starts without rules", async () => {
    const name = u.lab.cgroup("again");
    await tcpxOk(["uto", "set", "20s", "--cgroup", name, "--wait"]);
    rmdirSync(name);
    const peer = await u.lab.peer("client", u.lab.cgroup("again"));
    const c = await connectPeers(peer, u.server.peer, u.server.v4);
    expect(await timeout(peer, c.client)).toBe(0);
    expect(await scopeOf(name)).toBeUndefined();
    await u.rule(name, "set 30s");
    const d = await connectPeers(peer, u.server.peer, u.server.v4);
    expect(await timeout(peer, d.client)).toBe(30_000);
  });
});
