// SPDX-License-Identifier: MIT
// A client asks, a server grants within bounds, and the client learns the answer.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import {
  ANSWERS,
  ASKS,
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  iwAsk,
  optionsOf,
  RequestLab,
  requestsOf,
} from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { firsts, scopeOf, trace, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement);
const UTO_30S = "1c04001e";

describeIf(needs.ok, needs.reason)("requests between two hosts", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  test.each([
    ["IPv4", "v4"],
    ["IPv6", "v6"],
  ] as const)(
    "%s: three options in one SYN, answers on the SYN-ACK, both applied at accept()",
    async (_, family) => {
      await r.usual();
      await r.rule(r.client, "uto set 30s");
      await r.rule(r.server, "uto accept --min 1s");
      const { value: c, capture } = await r.record(() => r.open(family));
      expect(await r.sending(r.server, c.server)).toEqual({ cc: "cubic", cwnd: 32 });
      expect(await r.sending(r.client, c.client)).toEqual(DEFAULT);
      expect(await r.u.timeout(r.server, c.server)).toBe(30_000);
      const { client, server } = await trace(capture, c.port);
      expect(firsts(client).map((p) => p.flags)).toEqual(["S", "A"]);
      expect(optionsOf(client[0]!, 28, 254)).toBe(`${UTO_30S},${ASKS}`);
      expect(client[0]!.exids).toEqual([0x7cc0, 0x7c10]);
      expect(requestsOf(server[0]!)).toBe(ANSWERS);
      expect(server[0]!.exids).toEqual([0x7cc1, 0x7c11]);
      expect(await r.counted(r.client)).toMatchObject({
        cc: { sent: 1, granted: 1, refused: 0, unanswered: 0, fallback: 0, applied: 0 },
        iw: { sent: 1, granted: 1, refused: 0, unanswered: 0, fallback: 0, applied: 0 },
      });
      expect(await r.counted(r.server)).toMatchObject({
        cc: { received: 1, applied: 1, clamped: 0, refused: 0, malformed: 0 },
        iw: { received: 1, applied: 1, clamped: 1, refused: 0, malformed: 0 },
      });
    },
  );

  test("said once: nothing on the third ACK, nothing on the first data of either side", async () => {
    await r.usual();
    const { t } = await r.recorded(4);
    expect([requestsOf(t.client[0]!), requestsOf(t.server[0]!)]).toEqual([ASKS, ANSWERS]);
    for (const later of [t.client.slice(1), t.server.slice(1)]) {
      expect(later.length).toBeGreaterThanOrEqual(5);
      expect(later.map(requestsOf).join("")).toBe("");
    }
    expect(await r.counted(r.server)).toMatchObject({ cc: { sent: 1 }, iw: { sent: 1 } });
  });

  test("with SYN cookies: answers from the first segment until data with them is acknowledged, at most 8", async () => {
    await r.usual();
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 2);
    const { value: c, capture } = await r.record(async () => {
      const c = await r.open();
      const [sent, received] = await Promise.all([
        r.server.peer.send(c.server, 400_000),
        r.client.peer.recv(c.client, 400_000),
      ]);
      expect(received).toBe(sent);
      return c;
    });
    await r.lab.sysctl(r.server.netns, "net.ipv4.tcp_syncookies", 1);
    const { server } = await trace(capture, c.port);
    const said = server.slice(1).map(requestsOf);
    const answers = said.filter((o) => o !== "");
    expect(answers.length).toBeWithin(1, 9);
    expect(new Set(answers)).toEqual(new Set([ANSWERS]));
    expect(said[0]).toBe(ANSWERS);
    expect(said.slice(answers.length).join("")).toBe("");
    expect(said.length).toBeGreaterThan(answers.length);
  });

  test("each alone", async () => {
    await r.usual();
    await r.rule(r.client, "iw unset");
    const cc = await r.recorded(1);
    expect(await r.sending(r.server, cc.c.server)).toMatchObject({ cc: "cubic" });
    expect([requestsOf(cc.t.client[0]!), requestsOf(cc.t.server[0]!)]).toEqual([
      ccAsk(CUBIC),
      ccAnswer(CUBIC),
    ]);
    await r.rule(r.client, "cc-request unset");
    await r.rule(r.client, "iw set 20");
    const iw = await r.open();
    expect(await r.sending(r.server, iw.server)).toEqual({ cc: DEFAULT.cc, cwnd: 20 });
  });

  test("no accept rule: no answer, no change, nothing counted there; the client counts it unanswered", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "iw set 40");
    await r.rule(r.server, "uto accept --min 1s"); // so that a program runs there at all
    const { c, t } = await r.recorded(3);
    expect(await r.sending(r.server, c.server)).toEqual(DEFAULT);
    expect(new Set(t.server.map(requestsOf))).toEqual(new Set([""]));
    expect(t.client.slice(0, 4).map(requestsOf)).toEqual([ASKS, ASKS, ASKS, ""]);
    expect(new Set(t.client.slice(3).map(requestsOf))).toEqual(new Set([""]));
    const nothing = { granted: 0, refused: 0, unanswered: 1, fallback: 0, malformed: 0 };
    expect(await r.counted(r.client)).toMatchObject({
      cc: { ...nothing, sent: 3 },
      iw: { ...nothing, sent: 3 },
    });
    const { cc, iw } = await r.counted(r.server);
    expect([...Object.values(cc), ...Object.values(iw)].filter(Boolean)).toEqual([]);
  });

  test("nothing in the server's cgroup at all: the same for the client", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "iw set 40");
    const c = await r.open();
    await r.exchange(c);
    expect(await r.sending(r.server, c.server)).toEqual(DEFAULT);
    expect(await scopeOf(r.server.cgroup)).toBeUndefined();
    expect(await r.counted(r.client)).toMatchObject({ cc: { unanswered: 1 }, iw: { unanswered: 1 } });
  });

  test("none: exempts a server from being asked, and a client from being granted", async () => {
    await r.usual();
    await r.rule(r.client, `cc-request set none --to ${r.server.v4}`);
    await r.rule(r.client, `iw set none --to ${r.server.v4}`);
    const exempt = await r.recorded(1);
    expect(exempt.t.all.map(requestsOf).join("")).toBe("");
    expect(await r.sending(r.server, exempt.c.server)).toEqual(DEFAULT);
    const other = await r.open("v6");
    expect(await r.sending(r.server, other.server)).toEqual({ cc: "cubic", cwnd: 32 });
    await r.rule(r.server, `cc-request accept none --from ${r.client.v6}`);
    await r.rule(r.server, `iw accept none --from ${r.client.v6}`);
    const refused = await r.recorded(2, () => r.open("v6"));
    expect(refused.t.server.map(requestsOf).join("")).toBe("");
    expect(await r.sending(r.server, refused.c.server)).toEqual(DEFAULT);
    expect(await r.counted(r.client)).toMatchObject({
      cc: { granted: 1, unanswered: 1 },
      iw: { granted: 1, unanswered: 1 },
    });
  });

  test("a client that sends no data asks on its third ACK, and stops after 8 segments", async () => {
    await r.rule(r.client, "cc-request set cubic");
    const { value: c, capture } = await r.record(async () => {
      const c = await r.open();
      for (let n = 0; n < 14; n++) {
        await r.server.peer.send(c.server, 100);
        await r.client.peer.recv(c.client, 100);
      }
      return c;
    });
    const said = (await trace(capture, c.port)).client.map(requestsOf);
    const asks = said.filter((o) => o !== "");
    expect(new Set(asks)).toEqual(new Set([ccAsk(CUBIC)]));
    expect(asks).toHaveLength(9); // the SYN and 8
    expect(said.slice(9).join("")).toBe("");
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ sent: 9, unanswered: 1 });
  });

  test("a connection that carries nothing for 3 s asks nothing more, and is counted", async () => {
    await r.rule(r.client, "iw set 40");
    const { c, t } = await r.recorded(2, async () => {
      const c = await r.open();
      await Bun.sleep(3100); // the limit itself
      return c;
    });
    expect(t.client.map(requestsOf).filter(Boolean)).toEqual([iwAsk(40), iwAsk(40)]);
    expect(await r.sending(r.server, c.server)).toEqual(DEFAULT);
    expect(await r.counters(r.client, "iw")).toMatchObject({ sent: 2, unanswered: 1 });
  });

  test("a uto rule alone sends no request, and accept rules alone say nothing", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.server, "cc-request accept cubic");
    await r.rule(r.server, "iw accept --max 32");
    const { c, t } = await r.recorded(2);
    expect(t.all.map(requestsOf).join("")).toBe("");
    expect(utoOf(t.client[0]!)).toBe(UTO_30S);
    expect(await r.sending(r.server, c.server)).toEqual(DEFAULT);
  });
});
