// SPDX-License-Identifier: MIT
// A side asks for a way to acknowledge its data, the other one grants within bounds, whoever opened.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  ackAnswer,
  ackAsk,
  capOf,
  DEFAULT_CAP,
  DEFAULT_MARK,
  delackRequirement,
  leastCap,
  markOf,
  marksOf,
} from "../support/ack-lab.ts";
import type { Connection } from "../support/lab.ts";
import { RequestLab, requestsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { type Side, scopeOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, delackRequirement);
const NONE = { granted: 0, refused: 0, unanswered: 0, fallback: 0, malformed: 0, no_room: 0 };

describeIf(needs.ok, needs.reason)("ack requests between two hosts", () => {
  let r: RequestLab;
  let least: number;

  beforeAll(async () => {
    r = await RequestLab.create();
    least = await leastCap(r);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  /** Cap and mark of a side. */
  const state = async (side: Side, fd: number) => [await capOf(side, fd), await markOf(side, fd)];
  const untouched = async (c: Connection) => {
    expect(await state(r.client, c.client)).toEqual([DEFAULT_CAP, 0]);
    expect(await state(r.server, c.server)).toEqual([DEFAULT_CAP, 0]);
  };

  // what is asked for, what the peer allows, the bytes of both, the server's cap (0: least) and mark
  test.each([
    ["--every 10 --delay rtt/4", "", ackAsk(10, 4), ackAnswer(10, 4), 0, 0, 0],
    ["--every 10 --delay rtt/4", "--max-every 6", ackAsk(10, 4), ackAnswer(6, 4), 0, 0, 1],
    ["--every 255 --delay rtt/255", "", ackAsk(255, 255), ackAnswer(255, 255), 0, 0, 0],
    ["--every 8", "--max-delay 40ms", ackAsk(8), ackAnswer(8), 40_000, 0, 0],
    ["--every 8", "--max-every 8 --max-delay 40ms", ackAsk(8), ackAnswer(8), 40_000, 0, 0],
    ["--every 1", "--max-every 16", ackAsk(1), ackAnswer(1), DEFAULT_CAP, DEFAULT_MARK, 0],
    ["--every 8", "--max-every 1 --mark-bit 3", ackAsk(8), ackAnswer(1), DEFAULT_CAP, 8, 1],
  ] as const)("%s, accept %s", async (ask, accept, asked, answered, cap, mark, clamped) => {
    await r.rule(r.client, `ack request ${ask}`);
    await r.rule(r.server, `ack accept ${accept}`.trim());
    for (const [n, family] of (["v4", "v6"] as const).entries()) {
      const { c, t } = await r.recorded(3, () => r.open(family));
      expect(requestsOf(t.client[0]!)).toBe(asked);
      expect(requestsOf(t.server[0]!)).toBe(answered);
      expect([...t.client.slice(1), ...t.server.slice(1)].map(requestsOf).join("")).toBe("");
      expect(await marksOf(r, c, [0, mark])).toEqual([0, mark]);
      expect(await state(r.server, c.server)).toEqual([cap || least, mark]);
      expect(await state(r.client, c.client)).toEqual([DEFAULT_CAP, 0]);
      const sum = n + 1;
      expect(await r.counters(r.client, "ack")).toMatchObject({
        ...NONE,
        sent: sum,
        granted: sum,
        applied: 0,
      });
      expect(await r.counters(r.server, "ack")).toMatchObject({
        ...{ ...NONE, sent: sum, received: sum, applied: sum, clamped: clamped * sum },
      });
    }
  });

  test("no accept rule: nothing is answered, changed or counted there; the asker counts it", async () => {
    await r.rule(r.client, "ack request --every 1");
    await r.rule(r.server, "uto accept --min 1s"); // so that a program looks at options
    await r.rule(r.server, "ack set none");
    const { c, t } = await r.recorded(3);
    await untouched(c);
    expect(t.server.map(requestsOf).join("")).toBe("");
    expect(t.client.slice(0, 4).map(requestsOf)).toEqual([ackAsk(1), ackAsk(1), ackAsk(1), ""]);
    expect(await r.counters(r.client, "ack")).toMatchObject({ ...NONE, sent: 3, unanswered: 1 });
    expect(Object.values(await r.counters(r.server, "ack")).filter(Boolean)).toEqual([]);
  });

  test("nothing at all in the peer's cgroup: the same; with an own rule there that rule holds", async () => {
    await r.rule(r.client, "ack request --every 1");
    const c = await r.open();
    await r.exchange(c);
    await untouched(c);
    expect(await scopeOf(r.server.cgroup)).toBeUndefined();
    await r.rule(r.server, "ack set --delay 20ms");
    const other = await r.recorded(3);
    expect(await state(r.server, other.c.server)).toEqual([20_000, 0]);
    expect(other.t.server.map(requestsOf).join("")).toBe("");
    expect(await r.counters(r.client, "ack")).toMatchObject({ ...NONE, unanswered: 2 });
  });

  test("none exempts: nobody asked, nobody granted", async () => {
    await r.rule(r.client, "ack request --every 1");
    await r.rule(r.server, "ack accept");
    await r.rule(r.client, `ack request none --to ${r.server.v4}`);
    await r.rule(r.server, `ack accept none --from ${r.client.v6}`);
    const exempt = await r.recorded(2);
    expect(exempt.t.client.map(requestsOf).join("")).toBe("");
    await untouched(exempt.c);
    const refused = await r.recorded(2, () => r.open("v6"));
    expect(refused.t.server.map(requestsOf).join("")).toBe("");
    await untouched(refused.c);
  });

  test("a granted request goes before a rule of our own, which holds without one", async () => {
    await r.rule(r.server, "ack set --delay 20ms");
    await r.rule(r.server, "ack accept --max-delay 60ms");
    expect(await state(r.server, (await r.open()).server)).toEqual([20_000, 0]);
    await r.rule(r.client, "ack request --every 8");
    expect(await state(r.server, (await r.open()).server)).toEqual([60_000, 0]);
  });

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)("%s: the side that accepted asks, with its first segments", async (_, family) => {
    await r.rule(r.server, "ack request --every 9 --delay rtt/3");
    await r.rule(r.client, "ack accept --max-every 7");
    const { c, t } = await r.recorded(4, () => r.open(family));
    expect(requestsOf(t.server[0]!)).toBe(""); // the SYN-ACK asks nothing
    const asks = t.server.map(requestsOf).filter(Boolean);
    expect(new Set(asks)).toEqual(new Set([ackAsk(9, 3)]));
    expect(requestsOf(t.server[1]!)).toBe(ackAsk(9, 3));
    const answers = t.client.map(requestsOf).filter((o) => o && o !== "fe0400ac");
    expect(new Set(answers)).toEqual(new Set([ackAnswer(7, 3)]));
    for (const side of [t.client, t.server]) expect(side.slice(-3).map(requestsOf).join("")).toBe("");
    expect(await state(r.client, c.client)).toEqual([least, 0]);
    expect(await state(r.server, c.server)).toEqual([DEFAULT_CAP, 0]);
    expect(await r.counters(r.server, "ack")).toMatchObject({ ...NONE, granted: 1, applied: 0 });
    expect(await r.counters(r.client, "ack")).toMatchObject({ ...NONE, received: 1, applied: 1, clamped: 1 });
  });

  test("--from: only connections that we accept ask", async () => {
    await r.rule(r.server, `ack request --every 8 --from ${r.client.v4}`);
    await r.rule(r.client, "ack accept --max-delay 40ms");
    expect(await r.counters(r.server, "ack")).toMatchObject({ sent: 0 });
    const c = await r.open();
    await r.exchange(c);
    expect(await state(r.client, c.client)).toEqual([40_000, 0]);
    const other = await r.open("v6");
    await r.exchange(other);
    expect(await state(r.client, other.client)).toEqual([DEFAULT_CAP, 0]);
  });

  test("both sides ask each other: each gets its own, in constant bytes, then silence", async () => {
    for (const [side, n] of [[r.client, 9] as const, [r.server, 1] as const]) {
      await r.rule(side, `ack request --every ${n}`);
      await r.rule(side, "ack accept --max-every 8 --max-delay 40ms");
    }
    const { c, t } = await r.recorded(6);
    expect(requestsOf(t.client[0]!)).toBe(ackAsk(9));
    expect(requestsOf(t.server[0]!)).toBe(ackAnswer(8));
    expect(new Set(t.client.slice(1).map(requestsOf))).toEqual(new Set([ackAnswer(1), ""]));
    expect(new Set(t.server.slice(1).map(requestsOf))).toEqual(new Set([ackAsk(1), ""]));
    for (const side of [t.client, t.server]) expect(side.slice(-4).map(requestsOf).join("")).toBe("");
    expect(await marksOf(r, c, [DEFAULT_MARK, 0])).toEqual([DEFAULT_MARK, 0]);
    expect(await state(r.client, c.client)).toEqual([DEFAULT_CAP, DEFAULT_MARK]);
    expect(await state(r.server, c.server)).toEqual([40_000, 0]);
    expect(await r.counters(r.client, "ack")).toMatchObject({ ...NONE, granted: 1, received: 1, clamped: 0 });
    expect(await r.counters(r.server, "ack")).toMatchObject({ ...NONE, granted: 1, received: 1, clamped: 1 });
  });

  test("a server that sends first, and at once: its asks and answers end, and all bytes arrive", async () => {
    for (const side of [r.client, r.server]) {
      await r.rule(side, "ack request --every 8");
      await r.rule(side, "ack accept --max-delay 40ms");
    }
    const { value: c, capture } = await r.record(async () => {
      const c = await r.open();
      const [sent, received] = await Promise.all([
        r.server.peer.send(c.server, 400_000),
        r.client.peer.recv(c.client, 400_000),
      ]);
      expect(received).toBe(sent);
      return c;
    });
    const packets = await capture.packets(`tcp.srcport == ${c.port} and tcp.len > 0`);
    const said = packets.map(requestsOf);
    const last = said.findLastIndex((o) => o !== "");
    expect(last).toBeWithin(0, 8);
    expect(new Set(said.slice(0, last + 1))).toEqual(new Set([ackAsk(8)])); // one kind of bytes: GRO goes on
    expect(await state(r.client, c.client)).toEqual([40_000, 0]);
    for (const side of [r.client, r.server]) {
      expect(await r.counters(side, "ack")).toMatchObject({ ...NONE, granted: 1, received: 1 });
    }
  });
});
