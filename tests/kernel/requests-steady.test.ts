// SPDX-License-Identifier: MIT
// Once asked and answered, no segment runs the sock_ops program: its own run count is the witness.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { RequestLab } from "../support/request-lab.ts";
import { describeIf } from "../support/requires.ts";
import { runsRequirement as needs, RunCounts } from "../support/runs.ts";

describeIf(needs.ok, needs.reason)("the steady state of requests", () => {
  let r: RequestLab;
  let counts: RunCounts;

  beforeAll(async () => {
    r = await RequestLab.create();
    counts = new RunCounts([r.client, r.server]);
  });
  afterEach(() => r.clear());
  afterAll(async () => {
    counts[Symbol.dispose]();
    await r[Symbol.asyncDispose]();
  });

  const both = () => counts.total();

  test.each([
    ["granted", ["cc-request accept cubic", "iw accept --max 32"]],
    ["refused", ["cc-request accept reno", "iw accept --max 1"]],
    ["granted, with uto", ["cc-request accept cubic", "iw accept --max 32", "uto accept --min 1s"]],
    ["unanswered", []],
    ["unanswered by a host with other rules", ["uto accept --min 1s"]],
  ])("%s: at most 4 runs in 1,000 exchanges, both ends together", async (_, server) => {
    for (const words of server) await r.rule(r.server, words);
    for (const words of ["cc-request set cubic", "iw set 40", "uto set 30s", "uto accept --min 1s"]) {
      await r.rule(r.client, words);
    }
    const start = await both();
    const c = await r.open();
    await r.exchange(c, 1);
    const first = await both();
    expect(first - start).toBeWithin(3, 60); // the statistics do count: a handshake takes 12 to 16
    await r.client.peer.exchange(c.client, 1000, 100, 20_000);
    expect((await both()) - first).toBeLessThanOrEqual(4);
  });

  test("--local costs its handshake and nothing else", async () => {
    for (const side of [r.client, r.server]) {
      await r.rule(side, "cc-request set cubic --local");
      await r.rule(side, "iw set 20 --local");
    }
    const c = await r.open("v6");
    expect(await r.sending(r.server, c.server)).toEqual({ cc: "cubic", cwnd: 20 });
    expect(await r.sending(r.client, c.client)).toEqual({ cc: "cubic", cwnd: 20 });
    await r.exchange(c, 1);
    const first = await both();
    await r.client.peer.exchange(c.client, 1000, 100, 20_000);
    expect((await both()) - first).toBe(0);
  });

  test.each([
    ["granted", true],
    ["unanswered", false],
  ] as const)(
    "a server that sends at once to a client that never does, %s: a few runs, not one per segment",
    async (_, granted) => {
      await r.usual();
      if (!granted)
        for (const extension of ["cc-request", "iw"]) await r.rule(r.server, `${extension} unset`);
      const start = await both();
      const c = await r.open();
      const [sent, received] = await Promise.all([
        r.server.peer.send(c.server, 20_000_000, 20_000),
        r.client.peer.recv(c.client, 20_000_000, 20_000),
      ]);
      expect(received).toBe(sent);
      // not packets: how many are one on their way differs
      expect((await r.client.peer.tcpInfo(c.client)).data_segs_in).toBeGreaterThan(10_000);
      expect((await both()) - start).toBeLessThanOrEqual(60);
    },
  );

  test("an upload to a peer that has said little: none after its beginning", async () => {
    await r.usual();
    const c = await r.open();
    await r.server.peer.send(c.server, 10);
    await r.client.peer.recv(c.client, 10);
    const first = await both();
    const [sent, received] = await Promise.all([
      r.client.peer.send(c.client, 20_000_000, 20_000),
      r.server.peer.recv(c.server, 20_000_000, 20_000),
    ]);
    expect(received).toBe(sent);
    expect((await both()) - first).toBeLessThanOrEqual(4);
  });

  test("a bulk transfer: none after its beginning", async () => {
    await r.usual();
    const c = await r.open();
    await r.exchange(c, 1);
    const first = await both();
    const [sent, received] = await Promise.all([
      r.client.peer.send(c.client, 20_000_000, 20_000),
      r.client.peer.recv(c.client, 20_000_000, 20_000), // the server echoes
    ]);
    expect(received).toBe(sent);
    expect((await both()) - first).toBeLessThanOrEqual(4);
  });
});
