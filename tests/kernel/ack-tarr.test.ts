// SPDX-License-Identifier: MIT
// The TARR option of draft-ietf-tcpm-ack-rate-request; tshark, which knows it, is the judge.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  ackAnswer,
  ackAsk,
  capOf,
  DEFAULT_CAP,
  DEFAULT_MARK,
  delackRequirement,
  markOf,
  marksOf,
  TARR_CAPABLE,
  tarrAsk,
  tarrOf,
  tarrRequirement,
} from "../support/ack-lab.ts";
import type { Wire } from "../support/lab.ts";
import { RequestLab, requestsIn, requestsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { type Side, trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, delackRequirement, tarrRequirement);
const NOTHING = { received: 0, applied: 0, granted: 0, refused: 0, unanswered: 0, clamped: 0 };

describeIf(needs.ok, needs.reason)("TARR", () => {
  let r: RequestLab;
  let wire: Wire;
  let near: Wire;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
    near = await r.lab.wire(r.client.netns);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const state = async (side: Side, fd: number) => [await capOf(side, fd), await markOf(side, fd)];

  describe("between two hosts", () => {
    // segments asked for, R, --max-every, the server's cap and mark
    test.each([
      [8, 8, 255, 40_000, 0],
      [2, 2, 255, 40_000, 0],
      [1, 0, 255, DEFAULT_CAP, DEFAULT_MARK],
      [8, 8, 1, DEFAULT_CAP, DEFAULT_MARK],
      [127, 10, 255, 40_000, 0], // the window of 10 segments bounds it
    ] as const)("every %i: R = %i, with --max-every %i", async (n, rate, most, cap, mark) => {
      await r.rule(r.client, `ack request --every ${n} --tarr`);
      await r.rule(r.server, `ack accept --max-every ${most} --max-delay 40ms`);
      for (const family of ["v4", "v6"] as const) {
        const { value: c, capture } = await r.record(async () => {
          const c = await r.open(family);
          await r.exchange(c, 4);
          return c;
        });
        const { client, server } = await trace(capture, c.port);
        expect([requestsOf(client[0]!), requestsOf(server[0]!)]).toEqual([TARR_CAPABLE, TARR_CAPABLE]);
        expect(server.slice(1).map(requestsOf).join("")).toBe("");
        expect([client[1]!.length, requestsOf(client[1]!)]).toEqual([0, ""]); // the third ACK
        const asks = await tarrOf(capture, c.port);
        expect(asks.map((t) => [t.rate, t.reserved, t.packet.dport])).toEqual([[rate, 0, c.port]]);
        expect(asks[0]!.packet.length).toBeGreaterThan(0);
        expect(client.map(requestsOf).filter(Boolean)).toEqual([TARR_CAPABLE, tarrAsk(rate)]);
        expect(await marksOf(r, c, [0, mark])).toEqual([0, mark]);
        expect(await state(r.server, c.server)).toEqual([cap, mark]);
        expect(await state(r.client, c.client)).toEqual([DEFAULT_CAP, 0]);
      }
      expect(await r.counters(r.client, "ack")).toMatchObject({ ...NOTHING, sent: 4, malformed: 0 });
      expect(await r.counters(r.server, "ack")).toMatchObject({
        ...{ ...NOTHING, sent: 2, received: 2, applied: 2, malformed: 0 },
        clamped: most < n ? 2 : 0,
      });
    });

    test("the side that accepted asks, too; both at once", async () => {
      await r.rule(r.client, "ack request --every 4 --tarr");
      await r.rule(r.server, "ack request --every 5 --tarr");
      for (const side of [r.client, r.server]) await r.rule(side, "ack accept --max-delay 40ms");
      const { value: c, capture } = await r.record(async () => {
        const c = await r.open();
        await r.exchange(c, 6);
        return c;
      });
      const asks = await tarrOf(capture, c.port);
      const by = (port: "dport" | "sport") =>
        asks.filter(({ packet }) => packet[port] === c.port).map(({ rate }) => rate);
      expect([by("dport"), by("sport")]).toEqual([[4], [5]]); // each once: it was acknowledged
      expect(asks.every(({ packet }) => packet.length > 0)).toBe(true);
      expect(await state(r.client, c.client)).toEqual([40_000, 0]);
      expect(await state(r.server, c.server)).toEqual([40_000, 0]);
    });

    test("bulk: the same bytes until they are acknowledged, and all data arrives", async () => {
      await r.rule(r.client, "ack request --every 6 --tarr");
      await r.rule(r.server, "ack accept");
      const { value: c, capture } = await r.record(async () => {
        const c = await r.open("v6");
        const [sent, received] = await Promise.all([
          r.client.peer.send(c.client, 400_000),
          r.server.peer.recv(c.server, 400_000),
        ]);
        expect(received).toBe(sent);
        return c;
      });
      const data = (await trace(capture, c.port)).client.filter((p) => p.length > 0).map(requestsOf);
      const last = data.findLastIndex((o) => o !== "");
      expect(last).toBeWithin(0, 8);
      expect(new Set(data.slice(0, last + 1))).toEqual(new Set([tarrAsk(6)]));
    });

    test("a peer that does not announce it is never asked, and not influenced", async () => {
      await r.rule(r.client, "ack request --every 8 --tarr");
      await r.rule(r.server, "ack set --delay 20ms");
      const { c, t } = await r.recorded(4);
      expect(t.client.map(requestsOf).filter(Boolean)).toEqual([TARR_CAPABLE]);
      expect(t.server.map(requestsOf).join("")).toBe("");
      expect(await state(r.server, c.server)).toEqual([20_000, 0]);
      expect(await r.counters(r.server, "ack")).toMatchObject({ received: 0, malformed: 0 });
    });

    test("accept rules announce it; a request of ours goes before the announcement", async () => {
      await r.rule(r.client, "ack accept");
      await r.rule(r.server, "ack accept");
      const quiet = await r.recorded(2);
      expect(quiet.t.all.map(requestsOf).filter(Boolean)).toEqual([TARR_CAPABLE, TARR_CAPABLE]);
      await r.rule(r.client, "ack request --every 8");
      const asked = await r.recorded(2);
      expect(asked.t.all.map(requestsOf).filter(Boolean)).toEqual([ackAsk(8), ackAnswer(8)]);
    });
  });

  /** Data with these options to the server; what its ACK and its own data say. */
  async function say({ flow, fd }: { flow: number; fd: number }, hex = "-"): Promise<string> {
    await wire.data(flow, 10, hex);
    const ack = await wire.expect(flow);
    await r.server.peer.recv(fd, 10);
    await r.server.peer.send(fd, 20);
    const data = await wire.expect(flow);
    expect(data).toMatchObject({ flags: "PA", length: 20, goodChecksum: true });
    await wire.ack(flow);
    return requestsIn(ack) + requestsIn(data);
  }

  describe("requests of a wire endpoint", () => {
    test("the SYN-ACK announces it to those only that do", async () => {
      await r.rule(r.server, "ack accept");
      expect(requestsIn((await r.fromWire(wire)).synAck)).toBe("");
      const c = await r.fromWire(wire, { syn: TARR_CAPABLE });
      expect(requestsIn(c.synAck)).toBe(TARR_CAPABLE);
      expect(await say(c)).toBe("");
      await r.clear();
      await r.rule(r.server, "ack request --every 8");
      expect(requestsIn((await r.fromWire(wire, { syn: TARR_CAPABLE })).synAck)).toBe("");
    });

    test("every 8, then at once, then every 3: each is adopted, and none is counted twice", async () => {
      await r.rule(r.server, "ack accept --max-every 16 --max-delay 40ms");
      const c = await r.fromWire(wire, { syn: TARR_CAPABLE });
      for (const hex of [tarrAsk(8), tarrAsk(8)]) {
        expect(await say(c, hex)).toBe("");
        expect(await state(r.server, c.fd)).toEqual([40_000, 0]);
      }
      expect(await say(c, tarrAsk(0))).toBe("");
      expect((await state(r.server, c.fd))[1]).toBe(DEFAULT_MARK);
      expect(await say(c, tarrAsk(3))).toBe("");
      expect(await state(r.server, c.fd)).toEqual([40_000, 0]);
      expect(await say(c, "fe0500ac07")).toBe(""); // R = 3 with the reserved bit set
      expect(await r.counters(r.server, "ack")).toMatchObject({ received: 3, malformed: 0, clamped: 0 });
      await say(c, tarrAsk(127));
      expect(await r.counters(r.server, "ack")).toMatchObject({ received: 4, clamped: 1 });
    });

    test.each([
      ["length 3", "fe0300", 0],
      ["length 6", "fe0600ac1000", 1],
      ["twice, the same", tarrAsk(1) + tarrAsk(1), 1],
      ["twice, different", tarrAsk(0) + tarrAsk(8), 1],
      ["an announcement with it", TARR_CAPABLE + tarrAsk(0), 1],
      ["an announcement in mid-connection", TARR_CAPABLE, 1],
      ["kind 253", "fd0500ac00", 0],
    ])("no good: %s", async (_, hex, malformed) => {
      await r.rule(r.server, "ack accept --max-delay 40ms");
      const c = await r.fromWire(wire, { syn: TARR_CAPABLE });
      expect(await say(c, hex)).toBe("");
      expect(await state(r.server, c.fd)).toEqual([DEFAULT_CAP, 0]);
      expect(await r.counters(r.server, "ack")).toMatchObject({ ...NOTHING, malformed });
    });

    test("a request on the SYN is none", async () => {
      await r.rule(r.server, "ack accept --max-delay 40ms");
      const c = await r.fromWire(wire, { syn: tarrAsk(1) });
      expect(requestsIn(c.synAck)).toBe("");
      expect(await say(c)).toBe("");
      expect(await state(r.server, c.fd)).toEqual([DEFAULT_CAP, 0]);
      expect(await r.counters(r.server, "ack")).toMatchObject({ ...NOTHING, malformed: 1 });
    });

    test("without an accept rule nobody is influenced", async () => {
      await r.rule(r.server, "uto accept --min 1s"); // it looks at options
      await r.rule(r.server, "ack request --every 8 --tarr");
      const c = await r.fromWire(wire, { syn: TARR_CAPABLE });
      await say(c, tarrAsk(0));
      expect(await state(r.server, c.fd)).toEqual([DEFAULT_CAP, 0]);
      expect(await r.counters(r.server, "ack")).toMatchObject({ ...NOTHING, malformed: 0 });
    });

    test("both kinds on one SYN: TARR is announced, and the other request is answered later", async () => {
      await r.rule(r.server, "ack accept --max-delay 40ms");
      const c = await r.fromWire(wire, { syn: TARR_CAPABLE + ackAsk(8) });
      expect(requestsIn(c.synAck)).toBe(TARR_CAPABLE);
      expect(await say(c)).toBe(ackAnswer(8).repeat(2));
      expect(await say(c)).toBe("");
    });
  });

  describe("requests to a wire endpoint", () => {
    /** What the client's third ACK and its next two segments of data say. */
    async function heard(synAck: string, late = "-"): Promise<string[]> {
      const c = await r.toWire(near, synAck);
      const said = [requestsIn(c.syn), requestsIn(c.ack)];
      for (let n = 0; n < 2; n++) {
        await r.client.peer.send(c.fd, 100);
        said.push(requestsIn(await near.expect(c.flow)));
        await near.ack(c.flow, n ? "-" : late);
      }
      await r.client.peer.reset(c.fd);
      return said;
    }

    test.each([
      ["announced", TARR_CAPABLE, tarrAsk(8)],
      ["not announced", "-", ""],
      ["announced twice", TARR_CAPABLE + TARR_CAPABLE, ""],
      ["a request instead", tarrAsk(8), ""],
      ["the announcement of a wrong length", "fe0600ac0000", ""],
    ])("%s on the SYN-ACK", async (_, synAck, asked) => {
      await r.rule(r.client, "ack request --every 8 --tarr");
      expect(await heard(synAck)).toEqual([TARR_CAPABLE, "", asked, ""]);
    });

    test("announced in mid-connection only: not asked", async () => {
      await r.rule(r.client, "ack request --every 8 --tarr");
      await r.rule(r.client, "uto accept --min 1s"); // it goes on looking
      expect(await heard("-", TARR_CAPABLE)).toEqual([TARR_CAPABLE, "", "", ""]);
    });
  });
});
