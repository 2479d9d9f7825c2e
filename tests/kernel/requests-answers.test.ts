// SPDX-License-Identifier: MIT
// What servers and middleboxes answer, good and bad, and what the client makes of it.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Wire } from "../support/lab.ts";
import {
  ASKS,
  BBR,
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  iwAnswer,
  iwAsk,
  ownHex,
  REFUSED,
  RequestLab,
  requestsIn,
  WINDOWS,
} from "../support/request-lab.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";

const needs = every("all", labRequirement, hasTool("clang"));

/** On the SYN-ACK: what, the bytes, and the states of both requests after the exchange, malformed ones. */
const ANSWERS = [
  ["both granted", ccAnswer(CUBIC) + iwAnswer(40), "granted", 0, "granted", 0],
  ["a smaller window", ccAnswer(CUBIC) + iwAnswer(1), "granted", 0, "granted", 0],
  ["both refused", ccAnswer(REFUSED) + iwAnswer(0), "refused", 0, "refused", 0],
  ["one granted, one refused", ccAnswer(REFUSED) + iwAnswer(40), "refused", 0, "granted", 0],
  ["one answered only", iwAnswer(40), "unanswered", 0, "granted", 0],
  ["none: the option is unknown or was stripped", "-", "unanswered", 0, "unanswered", 0],
  ["an echo of what was asked", ccAsk(CUBIC) + iwAsk(40), "unanswered", 0, "unanswered", 0],
  ["another algorithm than asked", ccAnswer(BBR), "unanswered", 1, "unanswered", 0],
  ["more segments than asked", iwAnswer(41), "unanswered", 0, "unanswered", 1],
  ["65535 segments", iwAnswer(65535), "unanswered", 0, "unanswered", 1],
  ["twice, the same", ccAnswer(CUBIC) + ccAnswer(CUBIC), "unanswered", 1, "unanswered", 0],
  ["twice, different", iwAnswer(20) + iwAnswer(0), "unanswered", 0, "unanswered", 1],
  ["length 5", "fe057cc1000101fe057c110001", "unanswered", 1, "unanswered", 1],
  ["length 7", "fe077c1100140001", "unanswered", 0, "unanswered", 1],
  ["length 4", "fe047cc1", "unanswered", 1, "unanswered", 0],
] as const;

const state = (name: string, malformed: number) => ({
  ...{ granted: 0, refused: 0, unanswered: 0, fallback: 0, applied: 0, received: 0 },
  ...{ [name]: 1, malformed },
});

describeIf(needs.ok, needs.reason)("answers to a client", () =>
  describe.each(WINDOWS)("$name", (window) => {
    const own = (hex: string) => ownHex(window, hex);
    /** Once is enough for what is said to the congestion control alone. */
    const isFor = ([, hex]: (typeof ANSWERS)[number]) => window === WINDOWS[0] || /7c1[01]/.test(hex);
    let r: RequestLab;
    let wire: Wire;

    beforeAll(async () => {
      r = await RequestLab.create(window);
      wire = await r.lab.wire(r.client.netns);
    });
    afterAll(() => r[Symbol.asyncDispose]());

    async function ask(): Promise<void> {
      await r.rule(r.client, "cc-request set cubic");
      await r.rule(r.client, `${window.name} set 40`);
    }

    /** The client sends 100 bytes, which are acknowledged; returns what it asked for on them. */
    async function say({ flow, fd }: { flow: number; fd: number }, options = "-"): Promise<string> {
      await r.client.peer.send(fd, 100);
      const data = await wire.expect(flow);
      expect(data).toMatchObject({ flags: "PA", length: 100, goodChecksum: true });
      await wire.ack(flow, options);
      return requestsIn(data);
    }

    describe("with ask rules", () => {
      beforeAll(ask);
      afterAll(() => r.clear());

      test.each(ANSWERS.filter(isFor))("%s", async (_, hex, cc, ccMalformed, iw, iwMalformed) => {
        const counted = await r.counting(r.client);
        const c = await r.toWire(wire, own(hex));
        expect(requestsIn(c.syn)).toBe(own(ASKS));
        const rest = [cc === "unanswered" && ccAsk(CUBIC), iw === "unanswered" && window.ask(40)];
        const still = rest.filter(Boolean).join(",");
        expect(requestsIn(c.ack)).toBe(still);
        expect(await say(c)).toBe(still);
        expect(await say(c)).toBe("");
        expect(await r.sending(r.client, c.fd)).toMatchObject({ cc: DEFAULT.cc });
        expect(await counted()).toMatchObject({
          cc: state(cc, ccMalformed),
          iw: state(iw, iwMalformed),
        });
      });

      test("an echo of the whole header, timestamps and all", async () => {
        const counted = await r.counting(r.client);
        const c = await r.toWire(wire, "echo");
        expect(requestsIn(c.ack)).toBe(own(ASKS));
        await r.client.peer.reset(c.fd);
        expect(await counted()).toMatchObject({ cc: { granted: 0 }, iw: { granted: 0 } });
      });

      test("the answer comes with the first data only, as from a server with SYN cookies", async () => {
        const counted = await r.counting(r.client);
        const c = await r.toWire(wire);
        expect(requestsIn(c.ack)).toBe(own(ASKS));
        await wire.data(c.flow, 10, ccAnswer(CUBIC) + window.answer(32));
        await wire.expect(c.flow);
        expect(await say(c)).toBe("");
        expect(await counted()).toMatchObject({ cc: state("granted", 0), iw: state("granted", 0) });
      });

      test("a correction on the first data: granted by the SYN-ACK, refused in truth", async () => {
        const counted = await r.counting(r.client);
        const c = await r.toWire(wire, ccAnswer(CUBIC) + window.answer(40));
        await wire.data(c.flow, 10, ccAnswer(REFUSED) + window.answer(0));
        await wire.expect(c.flow);
        expect(await say(c)).toBe("");
        expect(await counted()).toMatchObject({ cc: { refused: 1 }, iw: { refused: 1 } });
      });

      test("a server that never acknowledges data: the asks end with the retransmission", async () => {
        const counted = await r.counting(r.client);
        const c = await r.toWire(wire);
        await r.client.peer.send(c.fd, 100);
        expect(requestsIn(await wire.expect(c.flow))).toBe(own(ASKS));
        const again = await wire.expect(c.flow);
        expect([again.length, requestsIn(again)]).toEqual([100, ""]);
        await wire.ack(c.flow);
        expect(await counted()).toMatchObject({
          cc: { unanswered: 1, fallback: 1 },
          iw: { unanswered: 1, fallback: 1 },
        });
      });
    });

    describe("with other rules", () => {
      afterEach(() => r.clear());

      test("an echo is no grant to a client with accept rules either, and nobody's request", async () => {
        await ask();
        await r.rule(r.client, "cc-request accept cubic");
        await r.rule(r.client, `${window.name} accept --max 32`);
        const c = await r.toWire(wire, ccAsk(CUBIC) + window.ask(40));
        expect(requestsIn(c.ack)).toBe(own(ASKS));
        await say(c, ccAsk(CUBIC) + window.ask(40));
        expect((await r.sending(r.client, c.fd)).cc).toBe(DEFAULT.cc);
        const none = { granted: 0, refused: 0, applied: 0, received: 0 };
        expect(await r.counted(r.client)).toMatchObject({ cc: { ...none }, iw: { ...none } });
      });

      test.each([false, true])(
        "once the server's first data is there the client has heard the last answer; it looks at options: %p",
        async (watching) => {
          await ask();
          if (watching) await r.rule(r.client, "uto accept --min 1s");
          const c = await r.toWire(wire, ccAnswer(CUBIC) + window.answer(40));
          expect(await say(c)).toBe("");
          await wire.data(c.flow, 10);
          await wire.expect(c.flow);
          expect(await say(c)).toBe("");
          await wire.data(c.flow, 10, ccAnswer(REFUSED) + window.answer(0));
          await wire.expect(c.flow);
          expect(await say(c)).toBe("");
          expect(await r.counted(r.client)).toMatchObject({
            cc: { granted: 1, refused: 0, malformed: 1 },
            iw: { granted: 1, refused: 0, malformed: 1 },
          });
        },
      );

      test("answers on a SYN-ACK to a client that asked nothing: nothing happens, and nobody looks at them", async () => {
        await r.rule(r.client, "uto set 30s");
        await r.rule(r.client, "uto accept --min 1s"); // it looks at options
        const c = await r.toWire(wire, ccAnswer(CUBIC) + window.answer(20));
        expect(requestsIn(c.syn) + requestsIn(c.ack)).toBe("");
        await r.client.peer.send(c.fd, 20);
        await wire.expect(c.flow);
        await wire.ack(c.flow);
        expect(await r.sending(r.client, c.fd)).toMatchObject({ cc: DEFAULT.cc });
        const none = { granted: 0, refused: 0, applied: 0, received: 0, unanswered: 0, malformed: 0 };
        expect(await r.counted(r.client)).toMatchObject({ cc: { ...none }, iw: { ...none } });
      });
    });
  }),
);
