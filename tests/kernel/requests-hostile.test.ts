// SPDX-License-Identifier: MIT
// Peers that send requests and answers which nobody should send: nothing changes, and the connection goes on.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Wire } from "../support/lab.ts";
import {
  BBR,
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  iwAnswer,
  iwAsk,
  ownHex,
  RequestLab,
  requestsIn,
  WINDOWS,
} from "../support/request-lab.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";

const needs = every("all", labRequirement, hasTool("clang"));

const NOTHING = { received: 0, applied: 0, granted: 0, refused: 0, clamped: 0, kept: 0 };

/** Asks that are none: what is wrong, the bytes, and how often each extension counts it as malformed. */
const BAD_ASKS = [
  ["cc of length 5", "fe057cc000", 1, 0],
  ["cc of length 7", "fe077cc0000300", 1, 0],
  ["cc of length 4", "fe047cc0", 1, 0],
  ["iw of length 5", "fe057c1000", 0, 1],
  ["iw of length 7", "fe077c10001400", 0, 1],
  ["iw of length 4", "fe047c10", 0, 1],
  ["iw of length 8", "fe087c1000140014", 0, 1],
  ["0 segments", iwAsk(0), 0, 1],
  ["1025 segments", iwAsk(1025), 0, 1],
  ["65535 segments", iwAsk(65535), 0, 1],
  ["the refusal as an ask", ccAsk(0xffff), 1, 0],
  ["cc twice, the same", ccAsk(CUBIC) + ccAsk(CUBIC), 1, 0],
  ["cc twice, different", ccAsk(CUBIC) + ccAsk(BBR), 1, 0],
  ["iw twice, the same", iwAsk(20) + iwAsk(20), 0, 1],
  ["iw twice, different", iwAsk(20) + iwAsk(30), 0, 1],
  ["a good one and one of a wrong length", `${ccAsk(CUBIC)}fe057cc000`, 1, 0],
  ["answers nobody asked for", ccAnswer(CUBIC) + iwAnswer(20), 1, 1],
] as const;

/** Options of kind 254 that are none of ours: not even counted. */
const FOREIGN = [
  ["another experiment", "fe067cc20003"],
  ["an experiment of 32 bits that begins otherwise", "fe08e2d4c3d90003"],
  ["no room for an identifier", "fe03007c"],
  ["length 2", "fe02"],
  ["kind 253 with our identifier", "fd067cc00003"],
  ["length 0", "fe007cc00003"],
  ["a length behind the end", "feff7cc00003"],
  ["after the end of the list", `00${ccAsk(CUBIC)}`],
] as const;

describeIf(needs.ok, needs.reason)("hostile clients", () =>
  describe.each(WINDOWS)("$name", (window) => {
    const own = (hex: string) => ownHex(window, hex);
    const isBuiltIn = window === WINDOWS[0];
    /** Once is enough for what is said to the congestion control alone. */
    const isFor = ([, , , iw]: (typeof BAD_ASKS)[number]) => isBuiltIn || iw > 0;
    let r: RequestLab;
    let wire: Wire;

    beforeAll(async () => {
      r = await RequestLab.create(window);
      wire = await r.lab.wire(r.server.netns);
    });
    afterAll(() => r[Symbol.asyncDispose]());

    async function accept(): Promise<void> {
      await r.rule(r.server, "cc-request accept cubic,reno");
      await r.rule(r.server, `${window.name} accept --max 32`);
    }

    /** Data in both directions; returns the requests and answers on what the server has sent. */
    async function expectAlive(flow: number, fd: number): Promise<string> {
      await wire.data(flow, 10);
      const ack = await wire.expect(flow);
      await r.server.peer.recv(fd, 10);
      await r.server.peer.send(fd, 20);
      const data = await wire.expect(flow);
      expect(data).toMatchObject({ flags: "PA", length: 20, goodChecksum: true });
      await wire.ack(flow);
      return requestsIn(ack) + requestsIn(data);
    }

    describe("at the handshake", () => {
      beforeAll(accept);
      afterAll(() => r.clear());

      test.each(BAD_ASKS.filter(isFor))("%s, on the SYN and on the third ACK", async (_, hex, cc, iw) => {
        const counted = await r.counting(r.server);
        for (const [n, where] of ["syn", "ack"].entries()) {
          const c = await r.fromWire(wire, { [where]: own(hex), family: n ? "v6" : "v4" });
          expect(await r.sending(r.server, c.fd)).toEqual(DEFAULT);
          expect(await expectAlive(c.flow, c.fd)).toBe("");
          expect(await counted()).toMatchObject({
            cc: { ...NOTHING, malformed: cc * (n + 1) },
            iw: { ...NOTHING, malformed: iw * (n + 1) },
          });
        }
      });

      test.each(BAD_ASKS.filter((row) => isFor(row) && /twice|a good one/.test(row[0])))(
        "%s: the SYN-ACK does not answer it",
        async (_, hex) => {
          expect(requestsIn((await r.fromWire(wire, { syn: own(hex) })).synAck)).toBe("");
        },
      );

      test("attempts from one port, each right after the reset of the one before: all are answered", async () => {
        const { port } = await r.server.peer.listen(wire.kernel.v4);
        const [from, to] = [
          { addr: wire.own.v4, port: 4999 },
          { addr: wire.kernel.v4, port },
        ];
        for (let i = 0; i < 20; i++) {
          const flow = await wire.syn(from, to, window.ask(20));
          expect(requestsIn(await wire.expect(flow))).toBe(window.answer(20));
          await wire.rst(flow);
        }
      });

      test.each(FOREIGN.slice(0, isBuiltIn ? undefined : 2))("%s: not ours, not counted", async (_, hex) => {
        const counted = await r.counting(r.server);
        const c = await r.fromWire(wire, { syn: hex, ack: hex });
        expect(requestsIn(c.synAck)).toBe("");
        expect(await r.sending(r.server, c.fd)).toEqual(DEFAULT);
        expect(await expectAlive(c.flow, c.fd)).toBe("");
        expect(await counted()).toMatchObject({
          cc: { ...NOTHING, malformed: 0 },
          iw: { ...NOTHING, malformed: 0 },
        });
      });

      test("a bad SYN and a good third ACK: the good one is granted; the other way round as well", async () => {
        const counted = await r.counting(r.server);
        const late = await r.fromWire(wire, { syn: window.ask(0), ack: window.ask(20) });
        expect(await r.sending(r.server, late.fd)).toEqual({ cc: DEFAULT.cc, cwnd: 20 });
        const early = await r.fromWire(wire, { syn: window.ask(20), ack: window.ask(0) });
        expect(await r.sending(r.server, early.fd)).toEqual({ cc: DEFAULT.cc, cwnd: 20 });
        expect(await counted()).toMatchObject({ iw: { received: 2, applied: 2, malformed: 2 } });
      });

      test("another value on the third ACK than on the SYN: the answer says what was done", async () => {
        const c = await r.fromWire(wire, { syn: window.ask(20), ack: window.ask(30) });
        expect(requestsIn(c.synAck)).toBe(window.answer(20));
        const { cwnd } = await r.sending(r.server, c.fd);
        const said = await expectAlive(c.flow, c.fd);
        expect(said).toBe(window.answer(cwnd === DEFAULT.cwnd ? 0 : cwnd).repeat(2));
        expect([DEFAULT.cwnd, 20, 30]).toContain(cwnd);
      });
    });

    describe("in mid-connection, and without rules", () => {
      afterEach(() => r.clear());

      test.each([false, true])(
        "asks in mid-connection change nothing; seen and counted with a uto accept rule: %p",
        async (watching) => {
          await accept();
          if (watching) await r.rule(r.server, "uto accept --min 1s");
          const c = await r.fromWire(wire);
          for (const hex of [
            ccAsk(CUBIC),
            window.ask(20),
            window.ask(0),
            ccAnswer(CUBIC),
            window.answer(20),
          ]) {
            await wire.data(c.flow, 10, hex);
            expect(requestsIn(await wire.expect(c.flow))).toBe("");
          }
          await r.server.peer.recv(c.fd, 50);
          expect(await r.sending(r.server, c.fd)).toMatchObject({ cc: DEFAULT.cc });
          expect((await r.sending(r.server, c.fd)).cwnd).toBeLessThan(20);
          expect(await expectAlive(c.flow, c.fd)).toBe("");
          expect(await r.counted(r.server)).toMatchObject({
            cc: { ...NOTHING, malformed: watching ? 2 : 0 },
            iw: { ...NOTHING, malformed: watching ? 3 : 0 },
          });
        },
      );

      test("a second ask in mid-connection does not change what was granted", async () => {
        await accept();
        await r.rule(r.server, "uto accept --min 1s");
        const c = await r.fromWire(wire, { syn: ccAsk(CUBIC) + window.ask(20) });
        expect(await r.sending(r.server, c.fd)).toEqual({ cc: "cubic", cwnd: 20 });
        await wire.data(c.flow, 10, ccAsk(1) + window.ask(30));
        await wire.expect(c.flow);
        expect(await r.sending(r.server, c.fd)).toEqual({ cc: "cubic", cwnd: 20 });
        expect(await r.counted(r.server)).toMatchObject({
          cc: { received: 1, applied: 1, malformed: 1 },
          iw: { received: 1, applied: 1, malformed: 1 },
        });
      });

      test("a host without accept rules is not influenced: by no ask, on no segment", async () => {
        await r.rule(r.server, "uto set 30s");
        await r.rule(r.server, "uto accept --min 1s");
        await r.rule(r.server, "cc-request set cubic");
        await r.rule(r.server, `${window.name} set 40`);
        const asks = ccAsk(CUBIC) + window.ask(20);
        const c = await r.fromWire(wire, { syn: asks, ack: asks });
        expect(requestsIn(c.synAck)).toBe("");
        await wire.data(c.flow, 10, asks);
        await wire.expect(c.flow);
        await r.server.peer.recv(c.fd, 10);
        expect((await r.sending(r.server, c.fd)).cc).toBe(DEFAULT.cc);
        expect((await r.sending(r.server, c.fd)).cwnd).toBeLessThan(20);
        expect(await expectAlive(c.flow, c.fd)).toBe("");
        expect(await r.counted(r.server)).toMatchObject({
          cc: { ...NOTHING, malformed: 0 },
          iw: { ...NOTHING, malformed: 0 },
        });
      });
    });
  }),
);
