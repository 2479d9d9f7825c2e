// SPDX-License-Identifier: MIT
// Handshakes that are not the plain three segments: SYN cookies, a lost third ACK, Fast Open, MPTCP.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  IPPROTO_TCP,
  TCP_DEFER_ACCEPT,
  TCP_FASTOPEN,
  TCP_SAVE_SYN,
  TCP_SAVED_SYN,
} from "../support/constants.ts";
import { connectPeers } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  nftRequirement,
  testIf,
} from "../support/requires.ts";
import { type Side, trace, UtoLab, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement);
const UTO_30S = "1c04001e";
const UTO_60S = "1c04003c";
/** The first pure ACK that arrives, and no other one. */
const DROP_FIRST_ACK = "tcp flags ack / fin,syn,rst,psh,ack meta length < 90 numgen inc mod 100000 0 drop";

describeIf(needs.ok, needs.reason)("unusual handshakes", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
  });
  afterEach(async () => {
    await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", 1);
    await u.filter(u.server, "");
    await u.clear();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  /** Client 30 s, server 60 s, both accept: 60 s on both sockets shows that both have heard the other. */
  async function bothSides(clientSet: string, serverSet: string): Promise<void> {
    await u.rule(u.client, `set ${clientSet}`);
    await u.rule(u.client, "accept --min 1s");
    await u.rule(u.server, `set ${serverSet}`);
    await u.rule(u.server, "accept --min 1s");
  }

  /** A counter of the namespace, such as SyncookiesSent. */
  async function netstat(side: Side, name: string): Promise<number> {
    const text = await u.lab.exec(side.netns, ["cat", "/proc/net/netstat"]);
    const [names = "", values = ""] = text.split("\n").filter((line) => line.startsWith("TcpExt:"));
    return Number(values.split(" ")[names.split(" ").indexOf(name)]);
  }

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)("SYN cookies always, %s: both sides learn the other's value", async (_, family) => {
    await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", 2);
    const capture = await u.capture();
    for (const [client, server] of [["30s", "60s"] as const, ["90s", "60s"] as const]) {
      await bothSides(client, server);
      const before = await netstat(u.server, "SyncookiesRecv");
      const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
      await u.exchange(c);
      const ms = client === "90s" ? 90_000 : 60_000;
      expect(await u.timeouts(c)).toEqual({ client: ms, server: ms });
      expect(await netstat(u.server, "SyncookiesRecv")).toBe(before + 1);
    }
    await capture.stop();
    // On its first data at the latest, where it can be sent again plain: see uto-path.test.ts.
    const fromServer = (await capture.packets()).filter((p) => p.src === u.server[family] && utoOf(p) !== "");
    expect(fromServer.length).toBeGreaterThanOrEqual(2);
    expect(new Set(fromServer.map(utoOf))).toEqual(new Set([UTO_60S]));
  });

  test.each([0, 2])("a lost third ACK, tcp_syncookies = %i: the first data negotiates", async (cookies) => {
    await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", cookies);
    await bothSides("90s", "60s");
    await u.filter(u.server, DROP_FIRST_ACK);
    const capture = await u.capture();
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    const fd = await u.client.peer.connect(u.server.v4, port);
    const sent = await u.client.peer.send(fd, 100);
    const accepted = await u.server.peer.accept(listener);
    expect(await u.server.peer.recv(accepted.fd, 100)).toBe(sent);
    const c = { listener, port, client: fd, server: accepted.fd };
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 90_000, server: 90_000 });
    await capture.stop();
    const { client } = await trace(capture, port);
    expect(client.slice(0, 3).map((p) => [p.flags, p.length, utoOf(p)])).toEqual([
      ["S", 0, "1c04005a"],
      ["A", 0, "1c04005a"],
      ["PA", 100, "1c04005a"],
    ]);
  });

  test("TCP_DEFER_ACCEPT: the child is made from the first data", async () => {
    await bothSides("90s", "60s");
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    await u.server.peer.setopt(listener, IPPROTO_TCP, TCP_DEFER_ACCEPT, 5);
    const fd = await u.client.peer.connect(u.server.v4, port);
    const sent = await u.client.peer.send(fd, 100);
    const accepted = await u.server.peer.accept(listener);
    expect(await u.server.peer.recv(accepted.fd, 100)).toBe(sent);
    const c = { listener, port, client: fd, server: accepted.fd };
    expect(await u.timeouts(c)).toEqual({ client: 90_000, server: 90_000 });
  });

  test("an application that saves SYNs itself gets them as ever, options and all", async () => {
    await bothSides("30s", "60s");
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    await u.server.peer.setopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, 1);
    const fd = await u.client.peer.connect(u.server.v4, port);
    const accepted = await u.server.peer.accept(listener);
    expect(await u.server.peer.getoptHex(accepted.fd, IPPROTO_TCP, TCP_SAVED_SYN)).toContain(UTO_30S);
    const c = { listener, port, client: fd, server: accepted.fd };
    expect(await u.timeouts(c)).toEqual({ client: 60_000, server: 60_000 });
  });

  test("Fast Open: the first connection and the one with data on its SYN negotiate", async () => {
    for (const side of [u.client, u.server]) await u.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
    await bothSides("90s", "60s");
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    await u.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    const capture = await u.capture();
    for (const size of [100, 101]) {
      const client = await u.client.peer.socket(4);
      expect(await u.client.peer.sendFastOpen(client, u.server.v4, port, size)).toBe(size);
      const server = (await u.server.peer.accept(listener)).fd;
      await u.server.peer.recv(server, size);
      const c = { listener, port, client, server };
      await u.exchange(c);
      expect(await u.timeouts(c)).toEqual({ client: 90_000, server: 90_000 });
    }
    await capture.stop();
    const syns = (await trace(capture, port)).client.filter((p) => p.flags === "S");
    expect(syns.map((p) => [p.length, utoOf(p)])).toEqual([
      [0, "1c04005a"],
      [101, "1c04005a"],
    ]);
  });

  test("Fast Open where the server asks: its value arrives, and after the exchange it is silent", async () => {
    for (const side of [u.client, u.server]) await u.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
    await bothSides("30s", "60s");
    const { fd: listener, port } = await u.server.peer.listen(u.server.v6);
    await u.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    for (const size of [100, 101]) {
      const capture = await u.capture();
      const client = await u.client.peer.socket(6);
      expect(await u.client.peer.sendFastOpen(client, u.server.v6, port, size)).toBe(size);
      const server = (await u.server.peer.accept(listener)).fd;
      await u.server.peer.recv(server, size);
      const c = { listener, port, client, server };
      await u.exchange(c, 5);
      expect(await u.timeouts(c)).toEqual({ client: 60_000, server: 60_000 });
      await capture.stop();
      const { all } = await trace(capture, port);
      expect(all.filter((p) => p.length === 100).length).toBeGreaterThanOrEqual(8);
      expect(all.slice(-6).map(utoOf).join("")).toBe("");
    }
  });

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)(
    "MPTCP: the option fits beside MPTCP's own",
    async () => {
      await bothSides("30s", "60s");
      const capture = await u.capture();
      const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { mptcp: true });
      const [sent, received] = await Promise.all([
        u.client.peer.send(c.client, 100_000),
        u.server.peer.recv(c.server, 100_000),
      ]);
      expect(received).toBe(sent);
      await capture.stop();
      const { client, server } = await trace(capture, c.port);
      expect(client[0]?.optionList.map((o) => o.kind)).toContain(30);
      expect(utoOf(client[0]!)).toBe(UTO_30S);
      expect(server[0]?.optionList.map((o) => o.kind)).toContain(30);
      expect(utoOf(server[0]!)).toBe(UTO_60S);
      // TCP_USER_TIMEOUT cannot be read through an MPTCP socket: its subflow was set, say the counters
      expect(await u.counters(u.server)).toMatchObject({ received: 1, applied: 1 });
      expect(await u.counters(u.client)).toMatchObject({ received: 1, applied: 1 });
    },
  );
});
