// SPDX-License-Identifier: MIT
// Paths that drop the User Timeout Option: they cost one timeout. Those that refuse it: path-refused.test.ts.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { IPPROTO_TCP, TCP_FASTOPEN, TCP_SAVE_SYN } from "../support/constants.ts";
import { connectPeers } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { trace, UtoLab, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement);
const UTO_30S = "1c04001e";
const UTO_60S = "1c04003c";
const DROP = "tcp option 28 exists drop";
const DROP_SYN = `tcp flags syn / fin,syn,rst,ack ${DROP}`;
const DROP_SYN_ACK = `tcp flags syn,ack / fin,syn,rst,ack ${DROP}`;
const DROP_LATER = `tcp flags & syn == 0 ${DROP}`;
const PATIENT = { timeoutMs: 15_000 };

describeIf(needs.ok, needs.reason)("a path that drops segments with the option", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
  });
  afterEach(async () => {
    await u.filter(u.client, "");
    await u.filter(u.server, "");
    await u.clear();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)("%s SYNs: the second one goes out plain, and nothing more is asked", async (_, family) => {
    await u.rule(u.client, "set 30s");
    await u.rule(u.server, "accept --min 1s");
    await u.filter(u.server, DROP_SYN);
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server[family], PATIENT);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 0 });
    await capture.stop();
    const { client } = await trace(capture, c.port);
    expect(client.slice(0, 4).map((p) => [p.flags, utoOf(p)])).toEqual([
      ["S", UTO_30S],
      ["S", ""],
      ["A", ""],
      ["PA", ""],
    ]);
    expect(client.slice(4).map(utoOf).join("")).toBe("");
    expect(await u.counters(u.client)).toMatchObject({ sent: 1, fallback: 1, applied: 1 });
    expect(await u.counters(u.server)).toMatchObject({ received: 0, malformed: 0 });
  });

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)("%s SYN-ACKs: a plain one follows, and the server says nothing more", async (_, family) => {
    await u.rule(u.server, "set 30s");
    await u.rule(u.client, "accept --min 1s");
    await u.filter(u.client, DROP_SYN_ACK);
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server[family], PATIENT);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 0, server: 30_000 });
    await capture.stop();
    const { client, server } = await trace(capture, c.port);
    expect(server.slice(0, 2).map((p) => [p.flags, utoOf(p)])).toEqual([
      ["SA", UTO_30S],
      ["SA", ""],
    ]);
    expect(server.slice(2).map(utoOf).join("")).toBe("");
    // both sides' timers are for the same second; a third SYN would be of two more
    expect(client.filter((p) => p.flags === "S").length).toBeWithin(1, 3);
    expect(await u.counters(u.server)).toMatchObject({ sent: 1, fallback: 1, applied: 1 });
    expect(await u.counters(u.client)).toMatchObject({ received: 0 });
  });

  test("everything in both directions: the connection is up after a timeout for each side, and plain", async () => {
    for (const [side, seconds] of [[u.client, 30] as const, [u.server, 60] as const]) {
      await u.rule(side, `set ${seconds}s`);
      await u.rule(side, "accept --min 1s");
      await u.filter(side, DROP);
    }
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, PATIENT);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 60_000 });
    await capture.stop();
    const { client, server } = await trace(capture, c.port);
    expect(client.map(utoOf).filter(Boolean)).toEqual([UTO_30S]);
    expect(server.map(utoOf).filter(Boolean)).toEqual([UTO_60S]);
    // at 0, 1 and, beside the second SYN-ACK, 3 s
    expect(client.filter((p) => p.flags === "S").length).toBeWithin(2, 4);
    for (const side of [u.client, u.server]) {
      expect(await u.counters(side)).toMatchObject({ sent: 1, fallback: 1, received: 0 });
    }
  });

  test("the client's third ACK and first data: the data arrives with its retransmission", async () => {
    await u.rule(u.client, "set 30s");
    await u.rule(u.server, "accept --min 1s");
    await u.filter(u.server, DROP_LATER);
    const capture = await u.capture();
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    const fd = await u.client.peer.connect(u.server.v4, port);
    const sent = await u.client.peer.send(fd, 5000);
    const accepted = await u.server.peer.accept(listener, 10_000);
    expect(await u.server.peer.recv(accepted.fd, 5000)).toBe(sent);
    const c = { listener, port, client: fd, server: accepted.fd };
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 30_000 }); // learned from the SYN
    await capture.stop();
    const { client } = await trace(capture, port);
    const data = client.filter((p) => p.length > 0);
    const again = data.filter((p) => p.seq === data[0]!.seq);
    expect(again.slice(0, 2).map(utoOf)).toEqual([UTO_30S, ""]);
    expect(client.slice(client.indexOf(again[1]!)).map(utoOf).join("")).toBe("");
    expect(await u.counters(u.client)).toMatchObject({ fallback: 1 });
  });

  test("the server's first data: it arrives with its retransmission", async () => {
    await u.rule(u.server, "set 30s");
    await u.rule(u.client, "accept --min 1s");
    await u.filter(u.client, DROP_LATER);
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v6);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 30_000 });
    await capture.stop();
    const { server } = await trace(capture, c.port);
    const data = server.filter((p) => p.length > 0);
    expect(utoOf(data[0]!)).toBe(UTO_30S);
    const plain = server.findIndex((p) => p.length > 0 && utoOf(p) === "");
    expect(server.slice(plain).map(utoOf).join("")).toBe("");
    expect(await u.counters(u.server)).toMatchObject({ fallback: 1 });
  });

  test("a listener that could not be armed falls back, too", async () => {
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    await u.unseen(u.server, () => u.rule(u.server, "set 30s"));
    await u.filter(u.client, DROP);
    const fd = await u.client.peer.connect(u.server.v4, port);
    const c = { listener, port, client: fd, server: (await u.server.peer.accept(listener)).fd };
    await u.exchange(c);
    const { sent, fallback } = await u.counters(u.server);
    expect(fallback).toBe(1);
    expect(sent).toBeWithin(1, 9); // the data, acknowledgments before it, and no more than 8 in all
  });

  test("SYN cookies: the server, which remembers nothing, must not repeat its option on every SYN-ACK", async () => {
    await u.rule(u.server, "set 30s");
    await u.filter(u.client, DROP_SYN_ACK);
    await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", 2);
    try {
      const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { timeoutMs: 5000 });
      await u.exchange(c);
      expect(await u.timeouts(c)).toEqual({ client: 0, server: 30_000 });
    } finally {
      await u.lab.sysctl(u.server.netns, "net.ipv4.tcp_syncookies", 1);
    }
  });

  test.each([
    [1, "before"],
    [2, "before"],
    [1, "after"], // 2 after listen() cannot be told from a first SYN-ACK: docs/limitations.md
  ] as const)(
    "an application that sets TCP_SAVE_SYN to %i %s listen(): the second SYN-ACK is plain",
    async (mode, when) => {
      await u.rule(u.server, "set 30s");
      await u.filter(u.client, DROP_SYN_ACK);
      const { peer } = u.server;
      const listener = await peer.socket(4);
      if (when === "before") await peer.setopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, mode);
      await peer.bind(listener, u.server.v4);
      const port = await peer.listenFd(listener);
      if (when === "after") await peer.setopt(listener, IPPROTO_TCP, TCP_SAVE_SYN, mode);
      const client = await u.client.peer.connect(u.server.v4, port, { timeoutMs: 5000 });
      const c = { listener, port, client, server: (await peer.accept(listener)).fd };
      await u.exchange(c);
      expect(await u.timeouts(c)).toEqual({ client: 0, server: 30_000 });
    },
  );

  test("Fast Open: data on a SYN that is dropped arrives all the same", async () => {
    for (const side of [u.client, u.server]) {
      await u.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
      await u.rule(side, "set 30s");
    }
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    await u.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    for (const dropped of [false, true]) {
      if (dropped) for (const side of [u.client, u.server]) await u.filter(side, DROP);
      const client = await u.client.peer.socket(4);
      await u.client.peer.sendFastOpen(client, u.server.v4, port, 100);
      const server = (await u.server.peer.accept(listener, 15_000)).fd;
      await u.server.peer.recv(server, 100, 15_000);
      await u.exchange({ listener, port, client, server });
    }
    expect(await u.counters(u.client)).toMatchObject({ fallback: 1 });
  });

  test("only some connections: the next one on a clean path asks again", async () => {
    await u.rule(u.client, "set 30s");
    await u.rule(u.server, "accept --min 1s");
    await u.filter(u.server, DROP_SYN);
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, PATIENT);
    expect((await u.timeouts(c)).server).toBe(0);
    await u.filter(u.server, "");
    const d = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    expect((await u.timeouts(d)).server).toBe(30_000);
  });
});
