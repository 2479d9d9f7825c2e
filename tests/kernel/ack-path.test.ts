// SPDX-License-Identifier: MIT
// ACK requests on difficult ways: SYN cookies, old listeners, losses, Fast Open, MPTCP.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  ackAnswer,
  ackAsk,
  capOf,
  DEFAULT_CAP,
  delackRequirement,
  TARR_CAPABLE,
} from "../support/ack-lab.ts";
import { IPPROTO_TCP, TCP_ESTABLISHED, TCP_FASTOPEN } from "../support/constants.ts";
import { type Connection, until } from "../support/lab.ts";
import { optionsOf, RequestLab, requestsOf } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  nftRequirement,
  testIf,
} from "../support/requires.ts";
import { firsts, type Trace, trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, delackRequirement, nftRequirement);
const ASK = ackAsk(10);
const ANSWER = ackAnswer(8);
const CAP = 40_000;
const DROP = "tcp option 254 exists drop";
const DROP_SYN = `tcp flags syn / fin,syn,rst,ack ${DROP}`;
const DROP_SYN_ACK = `tcp flags syn,ack / fin,syn,rst,ack ${DROP}`;
const DROP_FIRST_ACK = "tcp flags ack / fin,syn,rst,psh,ack meta length < 100 numgen inc mod 100000 0 drop";
const PATIENT = { timeoutMs: 15_000 };
const GRANTED = { granted: 1, refused: 0, unanswered: 0, fallback: 0, malformed: 0 };
const LOST = { granted: 0, refused: 0, unanswered: 1, malformed: 0 };

describeIf(needs.ok, needs.reason)("ack requests on difficult ways", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 1);
    for (const side of [r.client, r.server]) await r.filter(side, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** The client asks, the server grants 8 and 40 ms. */
  async function usual(): Promise<void> {
    await r.rule(r.client, "ack request --every 10");
    await r.rule(r.server, "ack accept --max-every 8 --max-delay 40ms");
  }

  /** The server asks, the client grants. */
  async function reverse(): Promise<void> {
    await r.rule(r.server, "ack request --every 10");
    await r.rule(r.client, "ack accept --max-every 8 --max-delay 40ms");
  }

  const cookies = () => r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 2);
  const caps = async (c: Connection) => [await capOf(r.client, c.client), await capOf(r.server, c.server)];

  async function expectGranted(): Promise<void> {
    expect(await r.counters(r.client, "ack")).toMatchObject(GRANTED);
    expect(await r.counters(r.server, "ack")).toMatchObject({ received: 1, applied: 1, malformed: 0 });
  }

  function expectLate(t: Trace): void {
    expect(t.client.slice(0, 3).map(requestsOf)).toEqual([ASK, ASK, ASK]);
    expect(requestsOf(t.server[0]!)).toBe("");
    expect(
      firsts(t.server)
        .filter((p) => p.length > 0)
        .map(requestsOf),
    ).toEqual([ANSWER, "", ""]);
  }

  test.each(["v4", "v6"] as const)(
    "SYN cookies, %s: asked on the third ACK, answered on data",
    async (family) => {
      await usual();
      await cookies();
      const { c, t } = await r.recorded(3, () => r.open(family));
      expect(await caps(c)).toEqual([DEFAULT_CAP, CAP]);
      expectLate(t);
      await expectGranted();
    },
  );

  test("a listener that could not be armed", async () => {
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await r.unseen(r.server, () => usual());
    const { c, t } = await r.recorded(3, async () => {
      const client = await r.client.peer.connect(r.server.v4, port);
      return { listener, port, client, server: (await r.server.peer.accept(listener)).fd };
    });
    expect(await caps(c)).toEqual([DEFAULT_CAP, CAP]);
    expectLate(t);
    await expectGranted();
  });

  test.each([1, 2])("the side that accepted asks, tcp_syncookies = %i", async (mode) => {
    await reverse();
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", mode);
    const { c, t } = await r.recorded(4);
    expect(await caps(c)).toEqual([CAP, DEFAULT_CAP]);
    expect(new Set(t.server.map(requestsOf).filter(Boolean))).toEqual(new Set([ASK]));
    expect(await r.counters(r.server, "ack")).toMatchObject(GRANTED);
  });

  test("SYN cookies, and both sides ask: the server's request and answer take turns", async () => {
    for (const side of [r.client, r.server]) {
      await r.rule(side, "ack request --every 10");
      await r.rule(side, "ack accept --max-every 8 --max-delay 40ms");
    }
    await cookies();
    const { c, t } = await r.recorded(4);
    expect(await caps(c)).toEqual([CAP, CAP]);
    expect(new Set(t.server.map(requestsOf))).toEqual(new Set([ASK, ANSWER, ""]));
    for (const said of [t.client, t.server]) expect(said.slice(-2).map(requestsOf).join("")).toBe("");
    for (const side of [r.client, r.server]) {
      expect(await r.counters(side, "ack")).toMatchObject({ ...GRANTED, received: 1, applied: 1 });
    }
  });

  test.each([1, 2])("a lost third ACK, tcp_syncookies = %i", async (mode) => {
    await usual();
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", mode);
    await r.filter(r.server, DROP_FIRST_ACK);
    const client = await r.client.peer.connect(r.server.v4, port);
    await r.client.peer.send(client, 100);
    const { fd: server } = await r.server.peer.accept(listener);
    await r.server.peer.recv(server, 100);
    const c = { listener, port, client, server };
    await r.exchange(c);
    expect(await caps(c)).toEqual([DEFAULT_CAP, CAP]);
    await expectGranted();
  });

  test("SYNs with the option are dropped: one timeout, a plain SYN, and nothing more is asked", async () => {
    await usual();
    await r.filter(r.server, DROP_SYN);
    const { c, t } = await r.recorded(3, () => r.open("v4", PATIENT));
    expect(t.client.map(requestsOf).filter(Boolean)).toEqual([ASK]);
    expect(t.server.map(requestsOf).join("")).toBe("");
    expect(await caps(c)).toEqual([DEFAULT_CAP, DEFAULT_CAP]);
    expect(await r.counters(r.client, "ack")).toMatchObject({ ...LOST, sent: 1, fallback: 1 });
    expect(await r.counters(r.server, "ack")).toMatchObject({ received: 0 });
  });

  test("so are SYNs with the announcement of TARR", async () => {
    await r.rule(r.client, "ack request --every 10 --tarr");
    await r.rule(r.server, "ack accept --max-delay 40ms");
    await r.filter(r.server, DROP_SYN);
    const { c, t } = await r.recorded(3, () => r.open("v6", PATIENT));
    expect(t.client.map(requestsOf).filter(Boolean)).toEqual([TARR_CAPABLE]);
    expect(await caps(c)).toEqual([DEFAULT_CAP, DEFAULT_CAP]);
    expect(await r.counters(r.client, "ack")).toMatchObject({ sent: 1, fallback: 1, unanswered: 0 });
  });

  test("SYN-ACKs with the answer are dropped: a plain one follows; granted all the same", async () => {
    await usual();
    await r.filter(r.client, DROP_SYN_ACK);
    const { c, t } = await r.recorded(3, () => r.open("v4", PATIENT));
    expect(t.server.map(requestsOf).filter(Boolean)).toEqual([ANSWER]);
    expect(await caps(c)).toEqual([DEFAULT_CAP, CAP]); // the client's SYN was read
    expect(await r.counters(r.client, "ack")).toMatchObject(LOST);
    expect(await r.counters(r.server, "ack")).toMatchObject({ sent: 1, applied: 1, fallback: 1 });
  });

  test("after a lost SYN-ACK the server asks nothing", async () => {
    await reverse();
    await r.filter(r.client, "tcp flags syn,ack / fin,syn,rst,ack numgen inc mod 100000 0 drop");
    const { c, t } = await r.recorded(3, () => r.open("v4", PATIENT));
    expect(t.server.map(requestsOf).join("")).toBe("");
    expect(await caps(c)).toEqual([DEFAULT_CAP, DEFAULT_CAP]);
    expect(await r.counters(r.server, "ack")).toMatchObject({ ...LOST, sent: 0, fallback: 1 });
  });

  test("data with the request of the side that accepted is dropped: it arrives plain", async () => {
    await reverse();
    await r.filter(r.client, DROP);
    const { c, t } = await r.recorded(3, () => r.open("v6", PATIENT));
    expect(requestsOf(t.server.at(-1)!)).toBe("");
    expect(await caps(c)).toEqual([DEFAULT_CAP, DEFAULT_CAP]);
    expect(await r.counters(r.server, "ack")).toMatchObject({ ...LOST, fallback: 1 });
  });

  test.each([
    ["asks", "v4", usual, [DEFAULT_CAP, CAP]],
    ["is asked", "v6", reverse, [CAP, DEFAULT_CAP]],
  ] as const)(
    "Fast Open, the client %s, %s: the cookie's connection, and data on the SYN",
    async (_, family, rules, expected) => {
      for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
      await rules();
      const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
      await r.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
      for (const n of [100, 101]) {
        const { c, t } = await r.recorded(3, async () => {
          const client = await r.client.peer.socket(family === "v4" ? 4 : 6);
          await r.client.peer.sendFastOpen(client, r.server[family], port, n);
          const { fd: server } = await r.server.peer.accept(listener);
          await r.server.peer.recv(server, n);
          const state = async () => (await r.server.peer.tcpInfo(server)).state;
          expect(await until(async () => (await state()) === TCP_ESTABLISHED)).toBe(true);
          return { listener, port, client, server };
        });
        expect(await caps(c)).toEqual([...expected]);
        expect(t.client[0]).toMatchObject({ flags: "S", length: n === 100 ? 0 : 101 });
        for (const said of [t.client, t.server]) expect(said.slice(-2).map(requestsOf).join("")).toBe("");
      }
      const asking = rules === usual ? r.client : r.server;
      expect(await r.counters(asking, "ack")).toMatchObject({ ...GRANTED, granted: 2 });
    },
  );

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)(
    "MPTCP takes its space on the SYN-ACK: what has no room there is answered on data",
    async () => {
      await usual();
      await r.rule(r.client, "cc-request set cubic");
      await r.rule(r.client, "iw set 40");
      for (const words of ["cc-request accept cubic", "iw accept --max 32"]) await r.rule(r.server, words);
      const capture = await r.u.capture();
      const c = await r.open("v4", { mptcp: true });
      const [sent, received] = await Promise.all([
        r.client.peer.send(c.client, 100_000),
        r.server.peer.recv(c.server, 100_000),
      ]);
      expect(received).toBe(sent);
      const answer = await r.server.peer.send(c.server, 1000);
      expect(await r.client.peer.recv(c.client, 1000)).toBe(answer);
      await capture.stop();
      const t = await trace(capture, c.port);
      expect(optionsOf(t.client[0]!, 30)).not.toBe("");
      expect(requestsOf(t.client[0]!).split(",")).toHaveLength(2); // 4 + 12 bytes, no room for six more
      for (const said of [t.client, t.server]) expect(said.slice(-1).map(requestsOf).join("")).toBe("");
      const { granted = 0, unanswered = 0 } = await r.counters(r.client, "ack");
      expect(granted + unanswered).toBe(1);
      expect(await r.counters(r.server, "ack")).toMatchObject({ malformed: 0 });
    },
  );
});
