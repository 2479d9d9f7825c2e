// SPDX-License-Identifier: MIT
// ACK requests and answers, good and bad, from an endpoint that sends any bytes at any time.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  ackAnswer,
  ackAsk,
  capOf,
  DEFAULT_CAP,
  DEFAULT_MARK,
  delackRequirement,
  leastCap,
  markOf,
} from "../support/ack-lab.ts";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { until, type Wire } from "../support/lab.ts";
import { RequestLab, requestsIn } from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";

const needs = every("all", labRequirement, delackRequirement);
const NOTHING = { received: 0, applied: 0, granted: 0, refused: 0, clamped: 0, kept: 0 };

/** Asks that are none: what is wrong, and the bytes. */
const BAD_ASKS = [
  ["length 4", "fe047ca0"],
  ["length 5", "fe057ca008"],
  ["length 7", "fe077ca0000800"],
  ["nothing specified", ackAsk(0, 0)],
  ["twice, the same", ackAsk(8) + ackAsk(8)],
  ["twice, different", ackAsk(8) + ackAsk(9)],
  ["a good one and one of a wrong length", `${ackAsk(8)}fe057ca008`],
  ["an answer that nobody asked for", ackAnswer(8, 4)],
  ["an answer of length 5", "fe057ca108"],
] as const;

/** On the SYN-ACK, to a request for every 10, RTT/4: what, the bytes, the state, malformed ones. */
const ANSWERS = [
  ["granted", ackAnswer(10, 4), "granted", 0],
  ["fewer segments", ackAnswer(1, 4), "granted", 0],
  ["the segments only", ackAnswer(10, 0), "granted", 0],
  ["the delay only", ackAnswer(0, 4), "granted", 0],
  ["refused", ackAnswer(0, 0), "refused", 0],
  ["more segments than asked", ackAnswer(11, 4), "unanswered", 1],
  ["another delay than asked", ackAnswer(10, 5), "unanswered", 1],
  ["an echo", ackAsk(10, 4), "unanswered", 0],
  ["none", "-", "unanswered", 0],
  ["twice", ackAnswer(10, 4) + ackAnswer(10, 4), "unanswered", 1],
  ["length 5", "fe057ca104", "unanswered", 1],
  ["length 7", "fe077ca1040a00", "unanswered", 1],
] as const;

describeIf(needs.ok, needs.reason)("ack requests of hostile peers", () => {
  let r: RequestLab;
  let wire: Wire;
  let near: Wire;
  let least: number;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
    near = await r.lab.wire(r.client.netns);
    least = await leastCap(r);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const state = async (fd: number) => [await capOf(r.server, fd), await markOf(r.server, fd)];

  /** Data with these options to the server; what its next segments say: an ACK, and data. */
  async function say({ flow, fd }: { flow: number; fd: number }, hex = "-"): Promise<string[]> {
    await wire.data(flow, 10, hex);
    const ack = await wire.expect(flow);
    await r.server.peer.recv(fd, 10);
    await r.server.peer.send(fd, 20);
    const data = await wire.expect(flow);
    expect(data).toMatchObject({ flags: "PA", length: 20, goodChecksum: true });
    await wire.ack(flow);
    return [requestsIn(ack), requestsIn(data)];
  }

  /** The mark comes with the next data after the routes that it stands for, which the agent makes. */
  async function untilMarked(c: { flow: number; fd: number }, mark: number): Promise<void> {
    const isMarked = async () => (await state(c.fd))[1] === mark || void (await say(c));
    expect(await until(async () => (await isMarked()) === true)).toBe(true);
  }

  test.each(BAD_ASKS)("%s: on the SYN, on the third ACK, in mid-connection", async (_, hex) => {
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const twice = hex.startsWith(ackAsk(8));
    for (const [n, where] of ["syn", "ack", "data"].entries()) {
      const c = await r.fromWire(wire, { [where]: hex, family: n ? "v6" : "v4" });
      if (!twice) expect(requestsIn(c.synAck)).toBe(""); // the SYN-ACK sees the first one only
      expect(await say(c, where === "data" ? hex : "-")).toEqual(["", ""]);
      expect(await say(c)).toEqual(["", ""]);
      expect(await state(c.fd)).toEqual([DEFAULT_CAP, 0]);
      expect(await r.counters(r.server, "ack")).toMatchObject({ ...NOTHING, malformed: n + 1 });
    }
  });

  test("a host without an accept rule is not influenced, and counts nothing", async () => {
    await r.rule(r.server, "uto accept --min 1s"); // it looks at options
    await r.rule(r.server, "ack set none");
    const hex = ackAsk(1, 0);
    const c = await r.fromWire(wire, { syn: hex, ack: hex });
    expect(requestsIn(c.synAck)).toBe("");
    expect(await say(c, hex)).toEqual(["", ""]);
    expect(await state(c.fd)).toEqual([DEFAULT_CAP, 0]);
    expect(await r.counters(r.server, "ack")).toMatchObject({ ...NOTHING, malformed: 0 });
  });

  test("a changed wish is adopted and answered in mid-connection; the same one is not counted twice", async () => {
    await r.rule(r.server, "ack accept --max-every 100 --max-delay 40ms");
    const c = await r.fromWire(wire, { syn: ackAsk(10) });
    expect(requestsIn(c.synAck)).toBe(ackAnswer(10));
    expect(await state(c.fd)).toEqual([40_000, 0]);
    expect(await say(c, ackAsk(10))).toEqual(["", ""]);
    expect(await r.counters(r.server, "ack")).toMatchObject({ received: 1, malformed: 0, sent: 1 });
    const changed = ackAnswer(100, 4);
    expect(await say(c, ackAsk(120, 4))).toEqual([changed, changed]);
    expect(await state(c.fd)).toEqual([least, 0]);
    expect(await say(c, ackAsk(120, 4))).toEqual(["", ""]);
    expect(await r.counters(r.server, "ack")).toMatchObject({ received: 2, clamped: 1, malformed: 0 });
    expect(await say(c, ackAsk(1))).toEqual([ackAnswer(1), ackAnswer(1)]);
    await untilMarked(c, DEFAULT_MARK);
    expect(await r.counters(r.server, "ack")).toMatchObject({ received: 3, malformed: 0, refused: 0 });
  });

  test("what was advertised at the beginning is not said again with a later answer", async () => {
    await r.rule(r.server, "uto set 30s");
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await r.fromWire(wire, { syn: ackAsk(10) });
    await say(c);
    await say(c);
    await wire.data(c.flow, 10, ackAsk(9));
    const { options } = await wire.expect(c.flow);
    expect(options).toContain(ackAnswer(9));
    expect(options).not.toContain("1c04");
    expect(await r.u.timeout(r.server, c.fd)).toBe(30_000);
  });

  test("from at once to every 8: our bit of the mark goes, the application's bits stay", async () => {
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await r.fromWire(wire, { syn: ackAsk(1) });
    await untilMarked(c, DEFAULT_MARK);
    await r.server.peer.setopt(c.fd, SOL_SOCKET, SO_MARK, 0x5 | DEFAULT_MARK);
    await say(c, ackAsk(8));
    expect(await state(c.fd)).toEqual([40_000, 0x5]);
    await say(c, ackAsk(1));
    expect((await state(c.fd))[1]).toBe(0x5 | DEFAULT_MARK);
  });

  test("from at once to every 8: a bit that the application had set itself stays", async () => {
    await r.rule(r.server, "ack accept");
    const c = await r.fromWire(wire);
    await r.server.peer.setopt(c.fd, SOL_SOCKET, SO_MARK, DEFAULT_MARK);
    for (const n of [1, 8]) await say(c, ackAsk(n));
    expect((await state(c.fd))[1]).toBe(DEFAULT_MARK);
  });

  test("at once by our own rule, then by the peer's wish: another bit takes the place of the first", async () => {
    await r.rule(r.server, "ack set --every 1 --mark-bit 2");
    await r.rule(r.server, "ack accept --mark-bit 3");
    const c = await r.fromWire(wire);
    await untilMarked(c, 4);
    for (const hex of [ackAsk(1), ackAsk(1, 2)]) {
      await say(c, hex);
      expect((await state(c.fd))[1]).toBe(8);
    }
    await say(c, ackAsk(8));
    expect((await state(c.fd))[1]).toBe(0);
    expect(await r.counters(r.server, "ack")).toMatchObject({ received: 3, errors: 0 });
  });

  test("asked in mid-connection for the first time", async () => {
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await r.fromWire(wire);
    expect(await say(c)).toEqual(["", ""]);
    expect(await say(c, ackAsk(8))).toEqual([ackAnswer(8), ackAnswer(8)]);
    expect(await say(c)).toEqual(["", ""]);
    expect(await state(c.fd)).toEqual([40_000, 0]);
  });

  test("another wish on the third ACK than on the SYN: the last one, and it is answered", async () => {
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await r.fromWire(wire, { syn: ackAsk(8), ack: ackAsk(9) });
    expect(requestsIn(c.synAck)).toBe(ackAnswer(8));
    expect(await say(c)).toEqual([ackAnswer(9), ackAnswer(9)]);
  });

  describe("answers to a client", () => {
    test.each(ANSWERS)("%s", async (_, hex, what, malformed) => {
      await r.rule(r.client, "ack request --every 10 --delay rtt/4");
      const c = await r.toWire(near, hex);
      expect(requestsIn(c.syn)).toBe(ackAsk(10, 4));
      const still = what === "unanswered" ? ackAsk(10, 4) : "";
      expect(requestsIn(c.ack)).toBe(still);
      for (const said of [still, ""]) {
        await r.client.peer.send(c.fd, 100);
        const data = await near.expect(c.flow);
        expect([data.length, requestsIn(data)]).toEqual([100, said]);
        await near.ack(c.flow);
      }
      expect(await capOf(r.client, c.fd)).toBe(DEFAULT_CAP);
      await r.client.peer.reset(c.fd);
      const none = { granted: 0, refused: 0, unanswered: 0, fallback: 0, applied: 0, received: 0 };
      expect(await r.counters(r.client, "ack")).toMatchObject({ ...none, [what]: 1, malformed });
    });

    test("the answer again after we have fallen silent is not counted; another one is malformed", async () => {
      await r.rule(r.client, "ack request --every 8");
      await r.rule(r.client, "ack accept"); // it goes on looking
      const c = await r.toWire(near, ackAnswer(8));
      for (const hex of ["-", ackAnswer(8), ackAnswer(8), ackAnswer(4)]) {
        await near.data(c.flow, 10, hex);
        await near.expect(c.flow);
      }
      await r.client.peer.reset(c.fd);
      expect(await r.counters(r.client, "ack")).toMatchObject({ granted: 1, malformed: 1, refused: 0 });
    });
  });
});
