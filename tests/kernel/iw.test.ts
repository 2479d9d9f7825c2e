// SPDX-License-Identifier: MIT
// How large a window a server grants, and when the window stays small: by the built-in extension, and by one of
// the same kind that the host has added (tests/support/packages/first-window).
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import type { Wire } from "../support/lab.ts";
import { DEFAULT, RequestLab, requestsIn, requestsOf, WINDOWS } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  hasTool,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement, hasTool("clang"));
const FIRST = "numgen inc mod 100000 0 drop";
const DROP_FIRST_SYN = `tcp flags syn / fin,syn,rst,ack ${FIRST}`;
const DROP_FIRST_SYN_ACK = `tcp flags syn,ack / fin,syn,rst,ack ${FIRST}`;

describeIf(needs.ok, needs.reason)("a first window", () =>
  describe.each(WINDOWS)("tcpx $name", (window) => {
    const { name, ask, answer } = window;
    let r: RequestLab;
    let wire: Wire;

    beforeAll(async () => {
      r = await RequestLab.create(window);
      wire = await r.lab.wire(r.server.netns);
    });
    afterEach(async () => {
      for (const side of [r.client, r.server]) await r.filter(side, "");
      await r.clear();
    });
    afterAll(() => r[Symbol.asyncDispose]());

    const cwnds = async (c: { client: number; server: number }) => ({
      client: (await r.sending(r.client, c.client)).cwnd,
      server: (await r.sending(r.server, c.server)).cwnd,
    });

    test.each([
      [1, 32, 1],
      [4, 32, 4],
      [32, 32, 32],
      [33, 32, 32],
      [1024, 100, 100],
      [1024, 1024, 1024],
      [20, 1, 1],
    ])("asked for %i, at most %i: granted %i", async (asked, most, granted) => {
      await r.rule(r.client, `${name} set ${asked}`);
      await r.rule(r.server, `${name} accept --max ${most}`);
      const { value: c, capture } = await r.record(() => r.open());
      expect(await cwnds(c)).toEqual({ client: DEFAULT.cwnd, server: granted });
      const [syn, synAck] = await capture.packets("tcp.flags.syn == 1");
      expect([requestsOf(syn!), requestsOf(synAck!)]).toEqual([ask(asked), answer(granted)]);
      expect(await r.counters(r.server, name)).toMatchObject({
        applied: 1,
        clamped: granted < asked ? 1 : 0,
      });
      expect(await r.counters(r.client, name)).toMatchObject({ granted: 1, refused: 0 });
    });

    /** Segments that the server sends before the first acknowledgment. */
    async function flight({ flow, fd }: { flow: number; fd: number }): Promise<number> {
      const sending = r.server.peer.send(fd, 60_000, 500).catch(() => "blocked"); // nobody acknowledges
      const starts = new Set<number>();
      for (let p = await wire.maybe(flow); p; p = await wire.maybe(flow, 100))
        if (p.length > 0) starts.add(p.seq);
      await sending;
      await r.server.peer.reset(fd);
      return starts.size;
    }

    test("the window is really used: a first flight of 32 full segments without an acknowledgment", async () => {
      await r.rule(r.server, `${name} accept --max 32`);
      // a probe for a lost tail may follow
      expect(await flight(await r.fromWire(wire, { syn: ask(32) }))).toBeWithin(32, 34);
      expect(await flight(await r.fromWire(wire))).toBeWithin(DEFAULT.cwnd, DEFAULT.cwnd + 2);
    });

    test("a pause before the first data leaves the window, granted or our own; a later one does not", async () => {
      await r.rule(r.server, `${name} accept --max 32`);
      const granted = await r.fromWire(wire, { syn: ask(32) });
      await r.rule(r.server, `${name} set 32 --local`);
      const [ours, later] = [await r.fromWire(wire), await r.fromWire(wire)];
      await wire.data(ours.flow, 100); // a request; its ACK is no data
      await r.server.peer.send(later.fd, 20);
      await wire.expect(later.flow);
      await wire.ack(later.flow);
      // longer than a retransmission timeout without a sample (1 s), and less than the 3 s for which a package can wait
      await Bun.sleep(1500);
      for (const c of [granted, ours]) expect(await flight(c)).toBeWithin(32, 34);
      expect(await flight(later)).toBeWithin(DEFAULT.cwnd, DEFAULT.cwnd + 2);
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 3, errors: 0 });
    });

    test("--local: on this side, in both directions of opening, asking nobody", async () => {
      await r.rule(r.client, `${name} set 20 --local`);
      const { value: c, capture } = await r.record(() => r.open());
      expect(await cwnds(c)).toEqual({ client: 20, server: DEFAULT.cwnd });
      expect((await capture.packets()).map(requestsOf).join("")).toBe("");
      await r.rule(r.client, `${name} unset --all`);
      await r.rule(r.server, `${name} set 24 --local`);
      expect(await cwnds(await r.open("v6"))).toEqual({ client: DEFAULT.cwnd, server: 24 });
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 1, sent: 0, received: 0 });
    });

    test("a granted request goes before --local, whichever is larger", async () => {
      await r.rule(r.server, `${name} set 20 --local`);
      await r.rule(r.server, `${name} accept --max 32`);
      for (const [asked, window] of [[40, 32] as const, [5, 5] as const]) {
        await r.rule(r.client, `${name} set ${asked}`);
        expect((await cwnds(await r.open())).server).toBe(window);
      }
      await r.rule(r.client, `${name} unset`);
      expect((await cwnds(await r.open())).server).toBe(20);
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 3, refused: 0 });
    });

    test("a lost SYN: the client's own window stays small, and the second SYN asks for nothing", async () => {
      await r.rule(r.client, `${name} set 64 --local`);
      await r.rule(r.client, `${name} set 40`);
      await r.rule(r.server, `${name} accept --max 32`);
      await r.filter(r.server, DROP_FIRST_SYN);
      const { c, t } = await r.recorded(2);
      const windows = await cwnds(c);
      expect(windows.client).toBeLessThanOrEqual(DEFAULT.cwnd + 2); // two exchanges
      expect(windows.server).toBeLessThanOrEqual(DEFAULT.cwnd + 2);
      expect(t.client.map(requestsOf).filter(Boolean)).toEqual([ask(40)]);
      expect(t.server.map(requestsOf).join("")).toBe("");
      expect(await r.counters(r.client, name)).toMatchObject({ applied: 0, fallback: 1, unanswered: 1 });
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 0, received: 0 });
    });

    test("a lost SYN-ACK: the server's window stays small, asked for or its own", async () => {
      await r.rule(r.server, `${name} accept --max 32`);
      await r.rule(r.server, `${name} set 64 --local`);
      for (const asks of [true, false]) {
        await r.rule(r.client, asks ? `${name} set 40` : `${name} unset`);
        await r.filter(r.client, DROP_FIRST_SYN_ACK);
        const c = await r.open();
        expect((await cwnds(c)).server).toBeLessThanOrEqual(DEFAULT.cwnd);
        await r.exchange(c);
      }
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 0 });
    });

    test.each([0, 1025, 65535])("%i segments: no answer, no change, malformed", async (segments) => {
      const hex = ask(segments);
      await r.rule(r.server, `${name} accept --max 1024`);
      const c = await r.fromWire(wire, { syn: hex, ack: hex, family: "v6" });
      expect(requestsIn(c.synAck)).toBe("");
      await r.server.peer.send(c.fd, 20);
      expect(requestsIn(await wire.expect(c.flow))).toBe("");
      expect(await r.sending(r.server, c.fd)).toEqual(DEFAULT);
      expect(await r.counters(r.server, name)).toMatchObject({
        malformed: 2,
        received: 0,
        applied: 0,
        sent: 0,
      });
    });
  }),
);
