// SPDX-License-Identifier: MIT
// A rule never makes keep-alive find a dead peer later: the timeout is that of the rule, or the time that keep-alive
// takes by itself, whichever is less.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { IPPROTO_TCP, TCP_FASTOPEN, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { KEEPALIVE_ON, keepalive, keepaliveTimes, type SocketOption, setAll } from "../support/keepalive.ts";
import { connectPeers, type Wire } from "../support/lab.ts";
import { describeIf, labRequirement, mptcpRequirement, testIf } from "../support/requires.ts";
import { tcpxOk, UtoLab } from "../support/uto-lab.ts";

/** 2 s + 5 x 2 s */
const FAST = keepalive(2, 2, 5);
const FAST_MS = 12_000;
const FAMILIES = ["v4", "v6"] as const;

describeIf(labRequirement.ok, labRequirement.reason)("keep-alive and a user timeout", () => {
  let u: UtoLab;
  let wire: Wire;

  beforeAll(async () => {
    u = await UtoLab.create();
    wire = await u.wire(u.server);
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  /** The client's timeout of a new connection. */
  async function opened(options: readonly SocketOption[], family: "v4" | "v6" = "v4"): Promise<number> {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server[family], { options });
    return await u.timeout(u.client, c.client);
  }

  async function listen(options: readonly SocketOption[], address = u.server.v4) {
    const listener = await u.server.peer.listen(address);
    await setAll(u.server.peer, listener.fd, options);
    return listener;
  }

  /** The server's timeout of a new connection, to a listener with these options. */
  async function accepted(options: readonly SocketOption[], family: "v4" | "v6" = "v4"): Promise<number> {
    const { fd: listener, port } = await listen(options, u.server[family]);
    await u.client.peer.connect(u.server[family], port);
    return await u.timeout(u.server, (await u.server.peer.accept(listener)).fd);
  }

  test.each(FAMILIES)("a rule above what keep-alive needs is lowered to it, %s", async (family) => {
    await u.rule(u.client, "set 40s");
    await u.rule(u.server, "set 40s");
    expect(await opened(FAST, family)).toBe(FAST_MS);
    expect(await accepted(FAST, family)).toBe(FAST_MS);
    for (const side of [u.client, u.server])
      expect(await u.counters(side)).toMatchObject({ keepalive_lowered: 1, keepalive_short: 0, kept: 0 });
  });

  test("an IPv4 connection of an IPv6 socket, too", async () => {
    await u.rule(u.server, "set 40s");
    const { fd, port } = await u.server.peer.listen("::", 0, { v6only: false });
    await setAll(u.server.peer, fd, FAST);
    await u.client.peer.connect(u.server.v4, port);
    expect(await u.timeout(u.server, (await u.server.peer.accept(fd)).fd)).toBe(FAST_MS);
  });

  test.each([
    ["3s", 3000, 1],
    ["4s", 4000, 1], // idle + interval: the second probe finds it over
    ["4001ms", 4001, 0],
    ["12s", 12_000, 0],
    ["12001ms", 12_000, 0],
  ])("a rule of %s is %i ms; of them %i too short for a second probe", async (rule, ms, short) => {
    await u.rule(u.client, `set ${rule}`);
    expect(await opened(FAST)).toBe(ms);
    expect(await u.counters(u.client)).toMatchObject({
      applied: 1,
      keepalive_short: short,
      keepalive_lowered: rule === "12001ms" ? 1 : 0,
    });
  });

  test("a single probe is the application's own wish", async () => {
    await u.rule(u.client, "set 3s");
    expect(await opened(keepalive(2, 2, 1))).toBe(3000);
    await u.rule(u.client, "set 30s");
    expect(await opened(keepalive(2, 2, 1))).toBe(4000);
    expect(await u.counters(u.client)).toMatchObject({ keepalive_lowered: 1, keepalive_short: 0 });
  });

  test("times without SO_KEEPALIVE do nothing", async () => {
    await u.rule(u.client, "set 40s");
    expect(await opened(keepaliveTimes(2, 2, 5))).toBe(40_000);
    expect(await u.counters(u.client)).toMatchObject({ keepalive_lowered: 0, keepalive_short: 0 });
  });

  test("what the socket does not say is what the sysctls of its namespace say", async () => {
    const DEFAULTS = { time: 7200, intvl: 75, probes: 9 };
    const set = async (netns: string, values: typeof DEFAULTS) => {
      for (const [name, value] of Object.entries(values))
        await u.lab.sysctl(netns, `net.ipv4.tcp_keepalive_${name}`, value);
    };
    await u.rule(u.client, "set 3h");
    await u.rule(u.server, "set 3h");
    expect(await opened([KEEPALIVE_ON])).toBe((7200 + 9 * 75) * 1000);
    await set(u.client.netns, { time: 5, intvl: 3, probes: 4 });
    expect(await opened([KEEPALIVE_ON])).toBe(17_000);
    expect(await opened([KEEPALIVE_ON, keepaliveTimes(2, 2, 5)[0]!])).toBe(14_000);
    expect(await opened([KEEPALIVE_ON, keepaliveTimes(2, 2, 5)[1]!])).toBe(13_000);
    expect(await opened([KEEPALIVE_ON, keepaliveTimes(2, 2, 5)[2]!])).toBe(20_000);
    expect(await accepted([KEEPALIVE_ON])).toBe((7200 + 9 * 75) * 1000);
    await u.rule(u.client, "set 30s");
    await set(u.client.netns, DEFAULTS);
    expect(await opened([KEEPALIVE_ON])).toBe(30_000);
  });

  test("the longest times that there can be", async () => {
    await u.rule(u.client, "set 32767min");
    expect(await opened(keepalive(32_767, 32_767, 127))).toBe(32_767 * 60_000);
  });

  test.each(FAMILIES)("what a peer is granted is lowered, too, %s", async (family) => {
    await u.rule(u.client, "set 40s");
    await u.rule(u.server, "accept --min 1s");
    expect(await accepted(FAST, family)).toBe(FAST_MS);
    expect(await u.counters(u.server)).toMatchObject({ received: 1, applied: 1, keepalive_lowered: 1 });
    await u.rule(u.server, "accept"); // L_LIMIT is 100 s
    expect(await accepted(FAST, family)).toBe(FAST_MS);
  });

  test("the side that opened, too", async () => {
    await u.rule(u.server, "set 40s");
    await u.rule(u.client, "accept --min 1s");
    expect(await opened(FAST)).toBe(FAST_MS);
  });

  test("a peer that changes its mind in the middle of a connection", async () => {
    await u.rule(u.server, "accept --min 1s");
    const { fd: listener, port } = await listen(FAST, wire.kernel.v4);
    const from = { addr: wire.own.v4, port: 9100 };
    const { flow } = await wire.connect(from, { addr: wire.kernel.v4, port }, "1c04000a");
    const { fd } = await u.server.peer.accept(listener);
    expect(await u.timeout(u.server, fd)).toBe(10_000);
    for (const [option, ms] of [
      ["1c04005a", FAST_MS],
      ["1c04000b", 11_000],
      ["1c04003c", FAST_MS],
      ["1c040003", 3000],
    ] as const) {
      await wire.data(flow, 10, option);
      expect(await wire.expect(flow)).toMatchObject({ flags: "A", length: 0 });
      expect(await u.timeout(u.server, fd)).toBe(ms);
    }
    expect(await u.counters(u.server)).toMatchObject({
      applied: 5,
      kept: 0,
      keepalive_lowered: 2,
      keepalive_short: 1,
    });
  });

  test("a timeout that the application has chosen is kept; --force is bound by keep-alive, too", async () => {
    const own = [...FAST, [IPPROTO_TCP, TCP_USER_TIMEOUT, 30_000]] as const;
    await u.rule(u.client, "set 40s");
    expect(await opened(own)).toBe(30_000);
    expect(await u.counters(u.client)).toMatchObject({ kept: 1, keepalive_lowered: 0 });
    await u.rule(u.client, "set 40s --force");
    expect(await opened(own)).toBe(FAST_MS);
  });

  test("scopes in one another: each kind of rule is bound once", async () => {
    const inner = u.lab.cgroup("inner", u.client.cgroup);
    await u.rule(u.client, "set 40s");
    await u.rule(u.client, "accept --min 1s --max 1h");
    await u.rule(inner, "set 50s");
    await u.rule(u.server, "set 60s");
    const peer = await u.lab.peer(u.client.netns, inner);
    const c = await connectPeers(peer, u.server.peer, u.server.v4, { options: FAST });
    expect(await u.timeout({ peer }, c.client)).toBe(FAST_MS);
    const counters = await Promise.all([inner, u.client.cgroup].map((cgroup) => u.counters(cgroup)));
    expect(counters.map((c) => c.keepalive_lowered)).toEqual([1, 0]);
  });

  test("Fast Open: the connection that begins with data", async () => {
    for (const { netns } of [u.client, u.server]) await u.lab.sysctl(netns, "net.ipv4.tcp_fastopen", 3);
    await u.rule(u.client, "set 40s");
    await u.rule(u.server, "accept --min 1s");
    const { fd: listener, port } = await listen([...FAST, [IPPROTO_TCP, TCP_FASTOPEN, 16]]);
    for (const n of [100, 101]) {
      const fd = await u.client.peer.socket(4);
      await setAll(u.client.peer, fd, FAST);
      await u.client.peer.sendFastOpen(fd, u.server.v4, port, n);
      const { fd: server } = await u.server.peer.accept(listener);
      await u.server.peer.recv(server, n);
      await u.server.peer.send(server, 10);
      await u.client.peer.recv(fd, 10);
      expect(await u.timeouts({ client: fd, server, listener, port })).toEqual({
        client: FAST_MS,
        server: FAST_MS,
      });
    }
  });

  test("SYN cookies: the socket comes from the third ACK", async () => {
    await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", 2);
    await u.rule(u.server, "set 40s");
    expect(await accepted(FAST)).toBe(FAST_MS);
    await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", 1);
  });

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)("subflows of MPTCP", async () => {
    await u.rule(u.client, "set 3h");
    const options = [KEEPALIVE_ON];
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options, mptcp: true });
    const rows = (
      await tcpxOk(["connections", "--cgroup", u.client.cgroup, "--port", `${c.port}`], { json: true })
    ).json;
    expect(rows.connections).toMatchObject([
      { user_timeout_ms: (7200 + 9 * 75) * 1000, keepalive: { user_timeout: "lowered" } },
    ]);
  });

  test("the counters are in status and in the metrics, with a notice", async () => {
    await u.rule(u.client, "set 1s");
    const scope = ["--cgroup", u.client.cgroup];
    const said = async () => (await tcpxOk(["status", ...scope])).stdout;
    expect(await said()).not.toContain("notice:");
    await opened(FAST);
    await u.rule(u.client, "set 40s");
    await opened(FAST);
    expect(await said()).toMatch(
      /^keep-alive lowered +1\nkeep-alive short +1\n\nnotice: 1 user timeout\(s\) /m,
    );
    const { stdout } = await tcpxOk(["metrics", ...scope]);
    expect(stdout).toMatch(/^tcpx_keepalive_lowered_settings_total\{.*extension="uto"\} 1$/m);
    expect(stdout).toMatch(/^tcpx_keepalive_short_settings_total\{.*extension="uto"\} 1$/m);
  });
});
