// SPDX-License-Identifier: MIT
// Negotiation of the User Timeout Option between two hosts: what is on the wire, what is on the sockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { connectPeers, until } from "../support/lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { firsts, trace, UtoLab, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement);
const UTO_30S = "1c04001e";
const UTO_60S = "1c04003c";

describeIf(needs.ok, needs.reason)("tcpx uto between two hosts", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)(
    "%s: the client's value is on the SYN, the third ACK and the first data, then never",
    async (_, family) => {
      await u.rule(u.client, "set 30s");
      await u.rule(u.server, "accept --min 1s --max 1h");
      const capture = await u.capture();
      const c = await connectPeers(u.client.peer, u.server.peer, u.server[family]);
      await u.exchange(c, 4);
      expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 30_000 });
      await capture.stop();
      const { client, server } = await trace(capture, c.port);
      expect(client.slice(0, 3).map((p) => [p.flags, p.length])).toEqual([
        ["S", 0],
        ["A", 0],
        ["PA", 100],
      ]);
      const [syn, ack, data, ...later] = client.map(utoOf);
      expect([syn, ack, data]).toEqual([UTO_30S, UTO_30S, UTO_30S]);
      expect(client[0]?.uto).toEqual({ minutes: false, value: 30 });
      expect(later.length).toBeGreaterThanOrEqual(3);
      expect(new Set(later)).toEqual(new Set([""]));
      expect(new Set(server.map(utoOf))).toEqual(new Set([""]));
      expect(await u.counters(u.client)).toMatchObject({ sent: 3, received: 0, applied: 1, fallback: 0 });
      expect(await u.counters(u.server)).toMatchObject({ sent: 0, received: 1, applied: 1, malformed: 0 });
    },
  );

  test("a server's value is on the SYN-ACK and its first data, and a client with accept adopts it", async () => {
    await u.rule(u.server, "set 30s");
    await u.rule(u.client, "accept --min 1s");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    expect((await u.timeouts(c)).client).toBe(30_000); // from the SYN-ACK alone
    await u.exchange(c, 4);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 30_000 });
    await capture.stop();
    const { client, server } = await trace(capture, c.port);
    expect(server[0]).toMatchObject({ flags: "SA", uto: { minutes: false, value: 30 } });
    const data = firsts(server)
      .filter((p) => p.length > 0)
      .map(utoOf);
    expect(data).toHaveLength(4);
    expect(data[0]).toBe(UTO_30S);
    expect(data.slice(1)).toEqual(["", "", ""]);
    expect(new Set(client.map(utoOf))).toEqual(new Set([""]));
  });

  test("both sides say their own value", async () => {
    await u.rule(u.client, "set 30s");
    await u.rule(u.client, "accept --min 1s");
    await u.rule(u.server, "set 60s");
    await u.rule(u.server, "accept --min 1s");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v6);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 60_000, server: 60_000 });
    await capture.stop();
    const { client, server } = await trace(capture, c.port);
    expect(client.slice(0, 3).map(utoOf)).toEqual([UTO_30S, UTO_30S, UTO_30S]);
    expect(
      firsts(server)
        .filter((p) => p.flags === "SA" || p.length > 0)
        .map(utoOf),
    ).toEqual([UTO_60S, UTO_60S, "", ""]);
  });

  // The local value is exact to the millisecond, the advertised one rounded up to what the option can say.
  test.each([
    ["1ms", 1, "1c040001"],
    ["1500ms", 1500, "1c040002"],
    ["2min", 120_000, "1c040078"],
    ["32767s", 32_767_000, "1c047fff"],
    ["32768s", 32_768_000, "1c048223"], // 546.1 minutes
    ["10h", 36_000_000, "1c048258"],
    ["32767min", 1_966_020_000, "1c04ffff"],
  ] as const)("set %s: %i ms on the socket, %s on the wire", async (duration, ms, option) => {
    await u.rule(u.client, `set ${duration}`);
    await u.rule(u.server, "accept --min 1ms --max 32767min");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    const bits = Number.parseInt(option.slice(4), 16);
    const [minutes, value] = [bits > 0x7fff, bits & 0x7fff];
    expect(await u.timeouts(c)).toEqual({ client: ms, server: value * (minutes ? 60_000 : 1000) });
    await capture.stop();
    const [syn] = (await trace(capture, c.port)).client;
    expect(utoOf(syn!)).toBe(option);
    expect(syn?.uto).toEqual({ minutes, value });
  });

  test("--no-advertise sets the local timeout and sends no option", async () => {
    await u.rule(u.client, "set 30s --no-advertise");
    await u.rule(u.server, "set 40s --no-advertise");
    await u.rule(u.server, "accept --min 1s");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 40_000 });
    await capture.stop();
    const { all } = await trace(capture, c.port);
    expect(all.length).toBeGreaterThan(6);
    expect(new Set(all.map(utoOf))).toEqual(new Set([""]));
  });

  test("without an accept rule a peer's value has no effect, in neither direction", async () => {
    await u.rule(u.client, "set 30s");
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 30_000, server: 0 });
    await u.rule(u.server, "set 20s");
    const d = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(d);
    expect(await u.timeouts(d)).toEqual({ client: 30_000, server: 20_000 });
    expect(await u.counters(u.server)).toMatchObject({ received: 0 });
    expect(await u.counters(u.client)).toMatchObject({ received: 0 });
  });

  test("an accept rule alone sends nothing and waits for the peer", async () => {
    await u.rule(u.client, "accept --min 1s");
    await u.rule(u.server, "accept --min 1s");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 0, server: 0 });
    await capture.stop();
    expect(new Set((await trace(capture, c.port)).all.map(utoOf))).toEqual(new Set([""]));
  });

  test("rules are for connections set up from now on: one that stands keeps what it has", async () => {
    await u.rule(u.client, "set 30s");
    const old = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.rule(u.client, "set 40s");
    const middle = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.rule(u.client, "unset");
    const young = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    const clients = [old, middle, young].map((c) => u.timeout(u.client, c.client));
    expect(await Promise.all(clients)).toEqual([30_000, 40_000, 0]);
    for (const c of [old, middle, young]) await u.exchange(c);
  });

  test("a listener that could not be armed learns from the third ACK, and asks on its first data", async () => {
    const { fd, port } = await u.server.peer.listen(u.server.v4);
    await u.rule(u.client, "set 30s");
    await u.rule(u.client, "accept --min 1s");
    await u.unseen(u.server, async () => {
      await u.rule(u.server, "set 60s");
      await u.rule(u.server, "accept --min 1s");
    });
    const capture = await u.capture();
    const client = await u.client.peer.connect(u.server.v4, port);
    const c = { listener: fd, port, client, server: (await u.server.peer.accept(fd)).fd };
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: 60_000, server: 60_000 });
    await capture.stop();
    const { server } = await trace(capture, port);
    expect(
      firsts(server)
        .filter((p) => p.flags === "SA" || p.length > 0)
        .map(utoOf),
    ).toEqual(["", UTO_60S, "", ""]);
  });

  test("a side that sends no data stops after 8 segments", async () => {
    await u.rule(u.server, "set 30s");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    for (let n = 0; n < 20; n++) {
      await u.client.peer.send(c.client, 100);
      await u.server.peer.recv(c.server, 100);
      const acked = async () => (await u.client.peer.tcpInfo(c.client)).unacked === 0;
      expect(await until(acked)).toBe(true);
    }
    await capture.stop();
    const [synAck, ...acks] = (await trace(capture, c.port)).server;
    expect(utoOf(synAck!)).toBe(UTO_30S);
    expect(acks.length).toBeGreaterThanOrEqual(20);
    expect(acks.slice(0, 8).map(utoOf)).toEqual(Array(8).fill(UTO_30S));
    expect(acks.slice(8).map(utoOf).join("")).toBe("");
    expect(await u.counters(u.server)).toMatchObject({ sent: 9, fallback: 0 });
  });

  test("a connection that is silent for 3 s asks nothing more", async () => {
    await u.rule(u.client, "set 30s");
    const capture = await u.capture();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await Bun.sleep(3100); // the limit itself
    await u.exchange(c);
    await capture.stop();
    const [syn, ack, ...later] = (await trace(capture, c.port)).client.map(utoOf);
    expect([syn, ack]).toEqual([UTO_30S, UTO_30S]);
    expect(later.length).toBeGreaterThanOrEqual(3);
    expect(later.join("")).toBe("");
  });
});
