// SPDX-License-Identifier: MIT
// TCP Fast Open at both ends: the server has a socket, and may send, before the handshake is complete.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { IPPROTO_TCP, TCP_ESTABLISHED, TCP_FASTOPEN } from "../support/constants.ts";
import { until, type Wire } from "../support/lab.ts";
import {
  ANSWERS,
  ASKS,
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  GRANTED,
  iwAnswer,
  iwAsk,
  RequestLab,
  requestsIn,
  requestsOf,
} from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement);
const DROP_ACKS = "tcp flags & (syn | ack) == ack drop";
const SYN_RECV = 3;

describeIf(needs.ok, needs.reason)("requests with TCP Fast Open", () => {
  let r: RequestLab;
  let wire: Wire;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
    for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
  });
  afterEach(async () => {
    for (const side of [r.client, r.server]) await r.filter(side, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  async function listen(address: string) {
    const { fd: listener, port } = await r.server.peer.listen(address);
    await r.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    return { listener, port };
  }

  async function send(family: "v4" | "v6", port: number, n: number): Promise<number> {
    const fd = await r.client.peer.socket(family === "v4" ? 4 : 6);
    expect(await r.client.peer.sendFastOpen(fd, r.server[family], port, n)).toBe(n);
    return fd;
  }

  const state = async (fd: number) => (await r.server.peer.tcpInfo(fd)).state;

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)(
    "%s: the connection that fetches the cookie, and the one with data on its SYN",
    async (_, family) => {
      await r.usual();
      const { listener, port } = await listen(r.server[family]);
      for (const n of [100, 101]) {
        const { value: fd, capture } = await r.record(async () => {
          const client = await send(family, port, n);
          const { fd } = await r.server.peer.accept(listener);
          await r.server.peer.recv(fd, n);
          expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
          // the kernel shows nobody the options of this third ACK: what the SYN had no room for comes with data
          expect((await r.sending(r.server, fd)).cc).toBe("cubic");
          await r.client.peer.send(client, 10);
          await r.server.peer.recv(fd, 10);
          expect(await r.sending(r.server, fd)).toEqual(GRANTED);
          await r.exchange({ listener, port, client, server: fd });
          return fd;
        });
        expect((await r.sending(r.server, fd)).cc).toBe("cubic");
        const { client, server } = await trace(capture, port);
        expect(client[0]).toMatchObject({ flags: "S", length: n === 100 ? 0 : 101 });
        expect(client[0]!.optionList.map((o) => o.kind)).toContain(34);
        expect(server.map(requestsOf).slice(-2).join("")).toBe("");
        expect(client.map(requestsOf).slice(-2).join("")).toBe("");
        // a cookie takes 12 of the 20 bytes: 8 are left on that SYN, or on that SYN-ACK
        const asked = n === 100 ? [ASKS, iwAsk(40)] : [ccAsk(CUBIC), ASKS];
        expect(client.slice(0, 2).map(requestsOf)).toEqual(asked);
        expect(requestsOf(server[0]!)).toBe(n === 100 ? ccAnswer(CUBIC) : "");
        const data = server.filter((p) => p.length > 0).map(requestsOf);
        expect([data[0], data.slice(1).join("")]).toEqual([ANSWERS, ""]);
      }
      expect(await r.counted(r.client)).toMatchObject({
        cc: { granted: 2, refused: 0, unanswered: 0, malformed: 0 },
        iw: { granted: 2, refused: 0, unanswered: 0, malformed: 0 },
      });
    },
  );

  test("no window before the third ACK, and none after a SYN-ACK that had to be sent again", async () => {
    await r.usual();
    const { listener, port } = await listen(r.server.v4);
    await send("v4", port, 100); // fetches the cookie
    await r.server.peer.accept(listener);
    await r.filter(r.server, DROP_ACKS);
    await send("v4", port, 101);
    const { fd } = await r.server.peer.accept(listener);
    await r.server.peer.recv(fd, 101);
    expect(await state(fd)).toBe(SYN_RECV);
    expect(await r.sending(r.server, fd)).toEqual(DEFAULT);
    await r.filter(r.server, "");
    // the SYN-ACK is sent again after a second: its retransmission keeps the window small, RFC 5681
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED, 3000)).toBe(true);
    expect((await r.sending(r.server, fd)).cwnd).toBeLessThanOrEqual(DEFAULT.cwnd);
  });

  /** A cookie for the wire endpoint's address, as the hex of the whole option. */
  async function cookie(port: number): Promise<string> {
    const from = { addr: wire.own.v4, port: 8000 };
    const synAck = await wire.connect(from, { addr: wire.kernel.v4, port }, "2202");
    await wire.rst(synAck.flow);
    const found = /220a[0-9a-f]{16}/.exec(synAck.options)?.[0];
    expect(found).toBeString();
    return found ?? "";
  }

  test("asks on a SYN with a cookie: applied with the third ACK, not before, not with a forged one", async () => {
    await r.usual();
    await r.rule(r.server, "uto set 30s"); // so that there is something on the SYN-ACK
    const { listener, port } = await listen(wire.kernel.v4);
    const tfo = await cookie(port);
    await r.server.peer.accept(listener).catch(() => undefined); // the one that fetched it
    const to = { addr: wire.kernel.v4, port };
    const asks = ccAsk(CUBIC) + iwAsk(40);
    const flow = await wire.syn({ addr: wire.own.v4, port: 8001 }, to, `${tfo}${asks}`);
    const synAck = await wire.expect(flow);
    expect([synAck.flags, requestsIn(synAck)]).toEqual(["SA", ""]); // nothing is promised
    expect(synAck.options).toContain("1c04001e");
    const { fd } = await r.server.peer.accept(listener);
    expect(await state(fd)).toBe(SYN_RECV);
    expect(await r.sending(r.server, fd)).toEqual(DEFAULT);
    const { sndNxt, rcvNxt } = await wire.numbers(flow);
    await wire.raw(flow, "A", sndNxt, rcvNxt + 77_777, 0, asks); // acknowledges what was never sent
    await wire.maybe(flow, 100);
    expect(await r.sending(r.server, fd)).toEqual(DEFAULT);
    await wire.ack(flow, asks);
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
    expect(await r.sending(r.server, fd)).toEqual(GRANTED);
    await r.server.peer.send(fd, 20);
    const data = await wire.expect(flow);
    expect([data.length, requestsIn(data)]).toEqual([20, ANSWERS]);
    await wire.ack(flow);
    await r.server.peer.send(fd, 20);
    expect(requestsIn(await wire.expect(flow))).toBe("");
    expect(await r.counted(r.server)).toMatchObject({
      cc: { received: 1, applied: 1, malformed: 0, refused: 0 },
      iw: { received: 1, applied: 1, malformed: 0, refused: 0 },
    });
  });

  test("asks in mid-connection are as unwelcome as ever", async () => {
    await r.usual();
    await r.rule(r.server, "iw set 24 --local");
    await r.rule(r.server, "uto accept --min 1s"); // it goes on looking at options
    const { listener, port } = await listen(wire.kernel.v4);
    const tfo = await cookie(port);
    await r.server.peer.accept(listener).catch(() => undefined);
    const counted = await r.counting(r.server);
    const to = { addr: wire.kernel.v4, port };
    const flow = await wire.syn({ addr: wire.own.v4, port: 8003 }, to, tfo);
    await wire.expect(flow);
    const { fd } = await r.server.peer.accept(listener);
    await wire.ack(flow);
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
    expect(await r.sending(r.server, fd)).toEqual({ cc: DEFAULT.cc, cwnd: 24 });
    for (const hex of ["-", "-", ccAsk(CUBIC), iwAsk(20), "1c040005"]) {
      await wire.data(flow, 10, hex);
      expect(requestsIn(await wire.expect(flow))).toBe("");
      await r.server.peer.send(fd, 20);
      expect(requestsIn(await wire.expect(flow))).toBe("");
      await wire.ack(flow);
    }
    expect((await r.sending(r.server, fd)).cc).toBe(DEFAULT.cc);
    expect(await r.u.timeout(r.server, fd)).toBe(5000);
    expect(await counted()).toMatchObject({
      cc: { received: 0, applied: 0, malformed: 1 },
      iw: { received: 0, applied: 1, malformed: 1 },
    });
  });

  test("data sent before the third ACK: what is granted then, the answer says", async () => {
    await r.usual();
    const { listener, port } = await listen(wire.kernel.v4);
    const tfo = await cookie(port);
    await r.server.peer.accept(listener).catch(() => undefined);
    const to = { addr: wire.kernel.v4, port };
    const flow = await wire.syn({ addr: wire.own.v4, port: 8002 }, to, `${tfo}${iwAsk(40)}`);
    await wire.expect(flow);
    const { fd } = await r.server.peer.accept(listener);
    await r.server.peer.send(fd, 20);
    const early = await wire.expect(flow);
    expect([early.length, requestsIn(early)]).toEqual([20, ""]);
    expect(await state(fd)).toBe(SYN_RECV);
    await wire.ack(flow, iwAsk(40));
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
    const { cwnd } = await r.sending(r.server, fd);
    expect(cwnd).toBeLessThan(32); // too late: data was sent
    await r.server.peer.send(fd, 20);
    expect(["", iwAnswer(0)]).toContain(requestsIn(await wire.expect(flow)));
    expect(await r.counters(r.server, "iw")).toMatchObject({ applied: 0, malformed: 0 });
  });
});
