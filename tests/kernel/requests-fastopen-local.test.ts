// SPDX-License-Identifier: MIT
// TCP Fast Open and rules that depend on no peer: they hold before the reply to the SYN's data goes, also when
// the client never sends the third ACK. What a peer may be granted waits for that.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, delackRequirement } from "../support/ack-lab.ts";
import { IPPROTO_TCP, TCP_ESTABLISHED, TCP_FASTOPEN, TCPI_OPT_SYN_DATA } from "../support/constants.ts";
import { until, type Wire } from "../support/lab.ts";
import {
  algorithmRequirement,
  BBR,
  CUBIC,
  ccAnswer,
  ccAsk,
  iwAnswer,
  iwAsk,
  REFUSED,
  RequestLab,
  requestsIn,
} from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { scopeOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, algorithmRequirement("cubic"), delackRequirement);
const SYN_RECV = 3;
const OURS = { cc: "cubic", cwnd: 24 };

describeIf(needs.ok, needs.reason)("our own rules with TCP Fast Open", () => {
  let r: RequestLab;
  let wire: Wire;
  let port = 8100;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
    for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  async function ourRules(): Promise<void> {
    await r.rule(r.server, "cc-request set cubic --local");
    await r.rule(r.server, "iw set 24 --local");
  }

  async function listen(address: string) {
    const { fd: listener, port } = await r.server.peer.listen(address);
    await r.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    return { listener, port };
  }

  const state = async (fd: number) => (await r.server.peer.tcpInfo(fd)).state;

  /** A connection whose client has sent its SYN with a cookie, and these options, and nothing since. */
  async function halfOpen(family: "v4" | "v6", options = "") {
    const { listener, port: to } = await listen(wire.kernel[family]);
    const place = { addr: wire.kernel[family], port: to };
    const first = await wire.connect({ addr: wire.own[family], port: ++port }, place, "2202");
    await wire.rst(first.flow);
    const cookie = /220a[0-9a-f]{16}/.exec(first.options)?.[0];
    expect(cookie).toBeString();
    await r.server.peer.accept(listener).catch(() => undefined); // the one that fetched it
    const flow = await wire.syn({ addr: wire.own[family], port: ++port }, place, `${cookie}${options}`);
    expect((await wire.expect(flow)).flags).toBe("SA");
    const { fd } = await r.server.peer.accept(listener);
    return { flow, fd };
  }

  test.each(["v4", "v6"] as const)(
    "%s: a client that withholds the third ACK gets our window",
    async (family) => {
      await ourRules();
      const { flow, fd } = await halfOpen(family, iwAsk(40));
      expect(await state(fd)).toBe(SYN_RECV);
      expect(await r.sending(r.server, fd)).toEqual(OURS);
      const sending = r.server.peer.send(fd, 60_000, 500).catch(() => "blocked");
      const starts = new Set<number>();
      for (let p = await wire.maybe(flow); p; p = await wire.maybe(flow, 100)) {
        if (p.length > 0) starts.add(p.seq);
        expect(requestsIn(p)).toBe("");
      }
      await sending;
      expect(starts.size).toBeWithin(OURS.cwnd, OURS.cwnd + 3); // a probe for a lost tail may follow
      expect(await state(fd)).toBe(SYN_RECV);
      expect(await r.counted(r.server)).toMatchObject({
        cc: { applied: 2, received: 0 }, // the connection that fetched the cookie, too
        iw: { applied: 2, received: 0 },
      });
      await wire.rst(flow);
    },
  );

  test("a grant with the third ACK goes before what was ours until then", async () => {
    await ourRules();
    await r.rule(r.server, "cc-request accept reno");
    await r.rule(r.server, "iw accept --max 32");
    const asks = ccAsk(1) + iwAsk(40);
    const { flow, fd } = await halfOpen("v4", asks);
    expect(await r.sending(r.server, fd)).toEqual(OURS);
    await wire.ack(flow, asks);
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
    expect(await r.sending(r.server, fd)).toEqual({ cc: "reno", cwnd: 32 });
    await r.server.peer.send(fd, 20);
    expect(requestsIn(await wire.expect(flow))).toBe(`${ccAnswer(1)},${iwAnswer(32)}`);
    await wire.rst(flow);
  });

  test("what is refused with the third ACK leaves ours", async () => {
    await ourRules();
    await r.rule(r.server, "cc-request accept reno");
    const { flow, fd } = await halfOpen("v4", ccAsk(BBR));
    expect(await r.sending(r.server, fd)).toEqual(OURS);
    await wire.ack(flow, ccAsk(BBR));
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
    expect(await r.sending(r.server, fd)).toEqual(OURS);
    await r.server.peer.send(fd, 20);
    expect(requestsIn(await wire.expect(flow))).toBe(ccAnswer(REFUSED));
    await wire.rst(flow);
  });

  test("an application that has chosen between the SYN and the third ACK keeps its choice", async () => {
    await r.rule(r.server, "cc-request set reno --local");
    await r.rule(r.server, "cc-request accept cubic");
    const { flow, fd } = await halfOpen("v4", ccAsk(CUBIC));
    expect((await r.sending(r.server, fd)).cc).toBe("reno");
    await r.server.peer.setcc(fd, "bbr");
    await wire.ack(flow, ccAsk(CUBIC));
    expect(await until(async () => (await state(fd)) === TCP_ESTABLISHED)).toBe(true);
    expect((await r.sending(r.server, fd)).cc).toBe("bbr");
    await r.server.peer.send(fd, 20);
    expect(requestsIn(await wire.expect(flow))).toBe(ccAnswer(REFUSED));
    expect((await scopeOf(r.server.cgroup)).counters["cc-request"]).toMatchObject({ kept: 1, refused: 1 });
    await wire.rst(flow);
  });

  test("how we acknowledge does not wait either", async () => {
    await r.rule(r.server, "ack set --delay 20ms");
    const { flow, fd } = await halfOpen("v4");
    expect(await state(fd)).toBe(SYN_RECV);
    expect(await capOf(r.server, fd)).toBe(20_000);
    await wire.rst(flow);
  });

  test.each(["v4", "v6"] as const)(
    "%s: a client whose data went on its SYN has its own window",
    async (family) => {
      await r.rule(r.client, "iw set 24 --local");
      const { listener, port: to } = await listen(r.server[family]);
      for (const syn of ["fetches the cookie", "has data"]) {
        const fd = await r.client.peer.socket(family === "v4" ? 4 : 6);
        await r.client.peer.sendFastOpen(fd, r.server[family], to, 100);
        await r.server.peer.accept(listener);
        expect(await until(async () => (await r.client.peer.tcpInfo(fd)).state === TCP_ESTABLISHED)).toBe(
          true,
        );
        const { options = 0 } = await r.client.peer.tcpInfo(fd);
        expect((options & TCPI_OPT_SYN_DATA) !== 0).toBe(syn === "has data");
        // each ACK of data lets it grow by one
        expect((await r.sending(r.client, fd)).cwnd).toBeWithin(24, 26);
      }
    },
  );
});
