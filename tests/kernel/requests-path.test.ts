// SPDX-License-Identifier: MIT
// Requests on difficult ways: SYN cookies, old listeners, losses, firewalls that drop unknown options.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ANSWERS, ASKS, DEFAULT, GRANTED, RequestLab, requestsOf } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { firsts, trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement);
/** The first pure ACK that arrives, and no other one. */
const DROP_FIRST_ACK = "tcp flags ack / fin,syn,rst,psh,ack meta length < 100 numgen inc mod 100000 0 drop";
const DROP = "tcp option 254 exists drop";
const DROP_SYN = `tcp flags syn / fin,syn,rst,ack ${DROP}`;
const DROP_SYN_ACK = `tcp flags syn,ack / fin,syn,rst,ack ${DROP}`;
const DROP_LATER = `tcp flags & syn == 0 ${DROP}`;
/** nft takes away one at a time. */
const STRIP = "reset tcp option 254 reset tcp option 254";
const PATIENT = { timeoutMs: 15_000 };
// Functions: Bun 1.4's toMatchObject looks at one and the same expected object once only.
const granted = () => ({ granted: 1, refused: 0, unanswered: 0, fallback: 0, malformed: 0 });
const unanswered = () => ({ granted: 0, refused: 0, unanswered: 1, malformed: 0 });

describeIf(needs.ok, needs.reason)("requests on difficult ways", () => {
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

  const cookies = () => r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 2);

  async function expectGranted(): Promise<void> {
    expect(await r.counted(r.client)).toMatchObject({ cc: granted(), iw: granted() });
    expect(await r.counted(r.server)).toMatchObject({
      cc: { received: 1, applied: 1, refused: 0, malformed: 0 },
      iw: { received: 1, applied: 1, refused: 0, malformed: 0 },
    });
  }

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)("SYN cookies always, %s: the third ACK asks, the first segments answer", async (_, family) => {
    await r.usual();
    await cookies();
    const { value: c, capture } = await r.record(async () => {
      const c = await r.open(family);
      expect(await r.sending(r.server, c.server)).toEqual(GRANTED);
      await r.exchange(c);
      return c;
    });
    const { client, server } = await trace(capture, c.port);
    expect(client.slice(0, 3).map(requestsOf)).toEqual([ASKS, ASKS, ASKS]);
    expect(requestsOf(server[0]!)).toBe("");
    const data = firsts(server)
      .filter((p) => p.length > 0)
      .map(requestsOf);
    expect(data).toEqual([ANSWERS, "", ""]);
    expect(client.at(-1)!.options).not.toContain("fe06");
    await expectGranted();
  });

  test.each([1, 2])("a listener that could not be armed, tcp_syncookies = %i", async (mode) => {
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await r.unseen(r.server, () => r.usual());
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", mode);
    const { t } = await r.recorded(3, async () => {
      const client = await r.client.peer.connect(r.server.v4, port);
      const server = (await r.server.peer.accept(listener)).fd;
      expect(await r.sending(r.server, server)).toEqual(GRANTED);
      return { listener, port, client, server };
    });
    expect(t.client.slice(0, 3).map(requestsOf)).toEqual([ASKS, ASKS, ASKS]);
    expect(requestsOf(t.server[0]!)).toBe("");
    expect(
      firsts(t.server)
        .filter((p) => p.length > 0)
        .map(requestsOf),
    ).toEqual([ANSWERS, "", ""]);
    await expectGranted();
  });

  test.each([
    [1, "young"],
    [2, "young"],
    [1, "old"],
  ] as const)("a lost third ACK, tcp_syncookies = %i, a %s listener", async (mode, age) => {
    if (age === "young") await r.usual();
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    if (age === "old") await r.unseen(r.server, () => r.usual());
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", mode);
    await r.filter(r.server, DROP_FIRST_ACK);
    const client = await r.client.peer.connect(r.server.v4, port);
    const sent = await r.client.peer.send(client, 100);
    const server = (await r.server.peer.accept(listener)).fd;
    expect(await r.server.peer.recv(server, 100)).toBe(sent);
    expect(await r.sending(r.server, server)).toEqual(GRANTED);
    await r.exchange({ listener, port, client, server });
    await expectGranted();
  });

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)(
    "%s SYNs are dropped: one timeout, a plain SYN, and nothing more is asked",
    async (_, family) => {
      await r.usual();
      await r.filter(r.server, DROP_SYN);
      const { c, t } = await r.recorded(3, async () => {
        const c = await r.open(family, PATIENT);
        expect(await r.sending(r.server, c.server)).toEqual(DEFAULT);
        return c;
      });
      expect((await r.sending(r.server, c.server)).cc).toBe(DEFAULT.cc);
      expect(t.client.slice(0, 3).map((p) => [p.flags, requestsOf(p)])).toEqual([
        ["S", ASKS],
        ["S", ""],
        ["A", ""],
      ]);
      expect(t.client.slice(3).map(requestsOf).join("")).toBe("");
      expect(t.server.map(requestsOf).join("")).toBe("");
      const lost = () => ({ ...unanswered(), sent: 1, fallback: 1 });
      expect(await r.counted(r.client)).toMatchObject({ cc: lost(), iw: lost() });
      expect(await r.counted(r.server)).toMatchObject({ cc: { received: 0 }, iw: { received: 0 } });
    },
  );

  test("SYN-ACKs are dropped: a plain one follows, the server says nothing more, the window stays small", async () => {
    await r.usual();
    await r.filter(r.client, DROP_SYN_ACK);
    const { t } = await r.recorded(3, async () => {
      const c = await r.open("v4", PATIENT);
      expect((await r.sending(r.server, c.server)).cwnd).toBeLessThanOrEqual(DEFAULT.cwnd);
      return c;
    });
    expect(t.server.slice(0, 2).map((p) => [p.flags, requestsOf(p)])).toEqual([
      ["SA", ANSWERS],
      ["SA", ""],
    ]);
    expect(t.server.slice(2).map(requestsOf).join("")).toBe("");
    // both sides' timers are for the same second; a third SYN would be of two more
    expect(t.client.filter((p) => p.flags === "S").length).toBeWithin(1, 3);
    expect(t.client.map(requestsOf).filter(Boolean)).toEqual([ASKS]);
    expect(await r.counted(r.client)).toMatchObject({ cc: unanswered(), iw: unanswered() });
    expect(await r.counters(r.server, "iw")).toMatchObject({ applied: 0, sent: 1, fallback: 1 });
    expect(await r.counters(r.server, "cc-request")).toMatchObject({ sent: 1, fallback: 1 });
  });

  test("SYN-ACKs of SYN cookies carry nothing, so that dropping them does no harm", async () => {
    await r.usual();
    await cookies();
    await r.filter(r.client, DROP_SYN_ACK);
    const c = await r.open();
    expect((await r.client.peer.tcpInfo(c.client)).total_retrans).toBe(0);
    expect(await r.sending(r.server, c.server)).toEqual(GRANTED);
  });

  test("everything with an option is dropped, in both directions", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    for (const side of [r.client, r.server]) await r.filter(side, DROP);
    const { c, t } = await r.recorded(3, () => r.open("v6", PATIENT));
    expect(t.client.map(requestsOf).filter(Boolean)).toEqual([ASKS]);
    expect(t.server.map(requestsOf).join("")).toBe("");
    expect((await r.sending(r.server, c.server)).cc).toBe(DEFAULT.cc);
  });

  test("only data with an answer is dropped: it arrives with its plain retransmission", async () => {
    await r.usual();
    await r.filter(r.client, DROP_LATER);
    const { c, t } = await r.recorded(3);
    expect((await r.sending(r.server, c.server)).cc).toBe("cubic");
    const said = t.server.map(requestsOf);
    const plain = t.server.findIndex((p) => p.length > 0 && requestsOf(p) === "");
    expect(plain).toBeGreaterThan(0);
    expect(said.slice(plain).join("")).toBe("");
    expect(await r.counted(r.client)).toMatchObject({ cc: { granted: 1 }, iw: { granted: 1 } }); // the SYN-ACK
  });

  test("only the client's third ACK and data with an ask are dropped: unanswered, and the data arrives", async () => {
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4); // nothing on its SYN-ACK
    await r.unseen(r.server, () => r.usual());
    await r.filter(r.server, DROP_LATER);
    const client = await r.client.peer.connect(r.server.v4, port);
    const sent = await r.client.peer.send(client, 100);
    const server = (await r.server.peer.accept(listener, 10_000)).fd;
    expect(await r.server.peer.recv(server, 100)).toBe(sent);
    await r.exchange({ listener, port, client, server });
    expect(await r.counted(r.client)).toMatchObject({
      cc: { fallback: 1, granted: 0, unanswered: 1 },
      iw: { fallback: 1, granted: 0, unanswered: 1 },
    });
  });

  test("a middlebox that strips the option on its way: nothing changes, unanswered", async () => {
    await r.usual();
    await r.filter(r.server, STRIP);
    const { c, t } = await r.recorded(3);
    expect(await r.sending(r.server, c.server)).toMatchObject({ cc: DEFAULT.cc });
    expect(t.server.map(requestsOf).join("")).toBe("");
    expect(await r.counted(r.client)).toMatchObject({
      cc: { ...unanswered(), fallback: 0 },
      iw: { ...unanswered(), fallback: 0 },
    });
    expect(await r.counters(r.server, "cc-request")).toMatchObject({ received: 0 });
  });

  test("a middlebox that strips it from the server's segments only: granted, but the client never learns", async () => {
    await r.usual();
    await r.filter(r.client, STRIP);
    const { c } = await r.recorded(3);
    expect((await r.sending(r.server, c.server)).cc).toBe("cubic");
    expect(await r.counted(r.client)).toMatchObject({ cc: unanswered(), iw: unanswered() });
    expect(await r.counted(r.server)).toMatchObject({ cc: { applied: 1 }, iw: { applied: 1, malformed: 0 } });
  });
});
