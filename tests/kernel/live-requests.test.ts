// SPDX-License-Identifier: MIT
// A changed `ack request` is announced on connections that exist: once, and only on a change.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ackAnswer, ackAsk, capOf, delackRequirement, tarrAsk } from "../support/ack-lab.ts";
import { type Connection, until } from "../support/lab.ts";
import { LiveLab } from "../support/live-lab.ts";
import { type RequestLab, requestsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Side, trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, delackRequirement);

describeIf(needs.ok, needs.reason)("requests on connections that exist", () => {
  let l: LiveLab;
  let r: RequestLab;

  beforeAll(async () => {
    l = await LiveLab.create();
    r = l.r;
  });
  afterEach(async () => {
    await r.filter(r.client, "");
    await l.clear();
  });
  afterAll(() => l[Symbol.asyncDispose]());

  /**
   * The options of kind 254 that travel meanwhile: of the client every single one, of the server those that
   * differ, because an answer is on a bare ACK and on data where the echo is slow.
   */
  async function said(c: Connection, work: () => Promise<unknown>) {
    const { capture } = await r.record(async () => {
      await work();
      await r.exchange(c, 3);
    });
    const { client, server } = await trace(capture, c.port);
    const texts = (packets: typeof client) => packets.map(requestsOf).filter(Boolean);
    return { client: texts(client), server: [...new Set(texts(server))] };
  }

  /** What a side's own commands say about the request on its only connection. */
  async function noted(side: Side, port: number) {
    const args = ["connections", "--cgroup", side.cgroup, "--port", `${port}`];
    const { json } = await tcpx(args, { netns: side.netns, json: true });
    expect(json.count).toBe(1);
    const [{ direction, extensions }] = json.connections;
    return { direction, ...extensions.ack };
  }

  const SILENCE = { client: [], server: [] };

  test.each(["v4", "v6"] as const)(
    "a changed rule: one request, one answer, both noted; the same rule again: nothing; %s",
    async (family) => {
      await r.rule(r.client, "ack request --every 10");
      await r.rule(r.server, "ack accept --max-every 6 --max-delay 40ms");
      const c = await l.opened(family);
      for (const [n, asked, granted] of [
        [2, 4, 4],
        [3, 9, 6],
        [4, 10, 6], // back to the first one
      ] as const) {
        const change = () => r.rule(r.client, `ack request --every ${asked}`);
        expect(await said(c, change)).toEqual({ client: [ackAsk(asked)], server: [ackAnswer(granted)] });
        expect((await noted(r.client, c.port)).ours).toMatchObject({
          status: "granted",
          asked: { every: asked },
          granted: { every: granted },
        });
        expect((await noted(r.server, c.port)).peers).toMatchObject({
          asked: { every: asked },
          granted: { every: granted },
        });
        expect(await said(c, change)).toEqual(SILENCE);
        expect(await r.counters(r.client, "ack")).toMatchObject({ granted: n, unanswered: 0, malformed: 0 });
      }
      expect(await capOf(r.server, c.server)).toBe(40_000);
    },
  );

  test("the side that accepted asks anew", async () => {
    await r.rule(r.server, "ack request --every 9");
    await r.rule(r.client, "ack accept --max-delay 40ms");
    const c = await l.opened();
    const change = () => r.rule(r.server, "ack request --every 5");
    const { client, server } = await said(c, change);
    // its ask is repeated until the client's answer is here: the client's next segment
    expect([server, new Set(client)]).toEqual([[ackAsk(5)], new Set([ackAnswer(5)])]);
    expect((await noted(r.server, c.port)).ours).toMatchObject({ status: "granted", asked: { every: 5 } });
    expect(await said(c, change)).toEqual(SILENCE);
  });

  test("by a rule at another selector, too; not where another rule holds", async () => {
    await r.rule(r.client, "ack request --every 10");
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const [c, six] = [await l.opened(), await l.opened("v6")];
    const change = async () => {
      const { json } = await r.rule(r.client, `ack request --every 3 --to ${r.server.v4}`);
      expect(json.live).toMatchObject({ changed_connections: 1, announced: 1 });
    };
    expect((await said(c, change)).client).toEqual([ackAsk(3)]);
    expect((await r.rule(r.client, "ack request --every 8")).json.live).toMatchObject({
      changed_connections: 1,
    });
    expect(await said(c, async () => {})).toEqual(SILENCE);
    expect((await said(six, async () => {})).client).toEqual([ackAsk(8)]);
  });

  test("connections that ask nothing: only with --live, and then once", async () => {
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await l.opened();
    expect(await said(c, () => r.rule(r.client, "ack request --every 10"))).toEqual(SILENCE);
    expect(await said(c, () => r.rule(r.client, "ack request --every 7"))).toEqual(SILENCE);
    const live = async () => (await r.rule(r.client, "ack request --every 7 --live")).json.live;
    const first = async () => expect(await live()).toMatchObject({ changed_connections: 1, announced: 1 });
    expect(await said(c, first)).toEqual({ client: [ackAsk(7)], server: [ackAnswer(7)] });
    expect(await noted(r.client, c.port)).toMatchObject({ direction: "opened", ours: { status: "granted" } });
    const again = async () =>
      expect(await live()).toMatchObject({ changed_connections: 0, same: 1, announced: 0 });
    expect(await said(c, again)).toEqual(SILENCE);
  });

  test("without an answer it ends, and is not made again by the same rule", async () => {
    await r.rule(r.client, "ack request --every 10");
    const c = await l.opened();
    const change = () => r.rule(r.client, "ack request --every 4");
    const { client } = await said(c, change);
    expect(new Set(client)).toEqual(new Set([ackAsk(4)]));
    expect((await noted(r.client, c.port)).ours).toMatchObject({ status: "unanswered" });
    expect(await said(c, change)).toEqual(SILENCE);
  });

  test("TARR: a changed rate is asked for once; who has not announced it is not asked", async () => {
    await r.rule(r.client, "ack request --every 8 --tarr");
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await l.opened();
    const change = () => r.rule(r.client, "ack request --every 4 --tarr");
    expect(await said(c, change)).toEqual({ client: [tarrAsk(4)], server: [] });
    expect((await noted(r.server, c.port)).peers).toMatchObject({ asked: { every: 4 } });
    expect(await said(c, change)).toEqual(SILENCE);
    const live = async () => {
      const { json } = await r.rule(r.client, "ack request --every 4 --tarr --live");
      expect(json.live).toMatchObject({ changed_connections: 0, same: 1 });
    };
    expect(await said(c, live)).toEqual(SILENCE);
    await r.rule(r.client, "ack unset");
    await r.rule(r.client, "ack request --every 8");
    const plain = await l.opened();
    const { json } = await r.rule(r.client, `ack request --every 4 --tarr --port ${plain.port}`);
    expect(json.live).toMatchObject({ announced: 0, skipped: { incapable: 1 } });
    expect(await said(plain, async () => {})).toEqual(SILENCE);
  });

  test("data that was lost before does not keep the peer from answering", async () => {
    await r.rule(r.client, "ack request --every 10");
    await r.rule(r.server, "ack accept --max-delay 40ms");
    const c = await l.opened();
    await r.filter(r.client, `tcp sport ${c.port} drop`);
    const delayed = r.exchange(c, 1);
    const lost = async () => (await r.server.peer.tcpInfo(c.server)).total_retrans! > 0;
    expect(await until(lost, 30_000)).toBe(true);
    await r.filter(r.client, "");
    await delayed;
    const change = () => r.rule(r.client, "ack request --every 4");
    expect((await said(c, change)).server).toEqual([ackAnswer(4)]);
    expect((await noted(r.client, c.port)).ours).toMatchObject({ status: "granted" });
  });
});
