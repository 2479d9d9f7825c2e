// SPDX-License-Identifier: MIT
// ACK rules cost their handshake, and rtt/K eight samples: the sock_ops program's run count is the witness.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { DEFAULT_MARK, marksOf } from "../support/ack-lab.ts";
import { RequestLab } from "../support/request-lab.ts";
import { describeIf } from "../support/requires.ts";
import { runsRequirement as needs, RunCounts } from "../support/runs.ts";

describeIf(needs.ok, needs.reason)("the steady state of ack rules", () => {
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
  /** Does the side with these rules, or its peer's request, have it acknowledge at once? */
  const atOnceFor = (rules: readonly string[], peers: readonly string[]) =>
    rules.includes("set --every 1") ||
    (rules.includes("accept") && peers.some((words) => /^request --every 1( |$)/.test(words)));

  test.each([
    ["a delay", ["set --delay 8ms"], ["set --delay 8ms"], 0],
    ["at once", ["set --every 1"], ["set --every 1"], 0],
    ["rtt/4, after its samples", ["set --delay rtt/4"], ["set --delay rtt/4"], 0],
    ["every 8, rtt/4", ["set --every 8 --delay rtt/4"], ["set --every 8 --delay rtt/4"], 0],
    ["granted", ["request --every 8"], ["accept"], 4],
    ["granted with rtt/4", ["request --every 8 --delay rtt/4"], ["accept"], 4],
    ["granted both ways", ["request --every 8", "accept"], ["request --every 1", "accept"], 4],
    ["unanswered", ["request --every 8"], [], 4],
    ["TARR", ["request --every 8 --tarr"], ["accept"], 4],
    ["TARR both ways", ["request --every 8 --tarr", "accept"], ["request --every 1 --tarr", "accept"], 4],
    ["TARR that the peer has not", ["request --every 8 --tarr"], ["set --delay 8ms"], 4],
  ])("%s: no runs in 1,000 exchanges, both ends together", async (_, client, server, most) => {
    for (const words of client) await r.rule(r.client, `ack ${words}`);
    for (const words of server) await r.rule(r.server, `ack ${words}`);
    // the first connection waits for the agent's routes, the others find them
    const marks = [atOnceFor(client, server), atOnceFor(server, client)].map((is) => (is ? DEFAULT_MARK : 0));
    const before = await r.open();
    expect(await marksOf(r, before, marks)).toEqual(marks);
    const start = await both();
    const c = await r.open();
    await r.exchange(c, 20);
    const first = await both();
    expect(first - start).toBeWithin(2, 70); // the statistics do count
    await r.client.peer.exchange(c.client, 1000, 100, 20_000);
    expect((await both()) - first).toBeLessThanOrEqual(most);
  });

  test("a bulk transfer in each direction: a short run for a few segments at the most", async () => {
    await r.rule(r.client, "ack request --every 8 --delay rtt/4");
    for (const side of [r.client, r.server]) await r.rule(side, "ack accept");
    await r.rule(r.server, "ack request --every 16");
    const c = await r.open("v6");
    await r.exchange(c, 20);
    const first = await both();
    const [sent, received] = await Promise.all([
      r.client.peer.send(c.client, 20_000_000, 20_000),
      r.client.peer.recv(c.client, 20_000_000, 20_000), // the server echoes
    ]);
    expect(received).toBe(sent);
    // the kernel forgets only on its slow path that there was an unknown option, and asks on that path
    const { segs_in = 0, segs_out = 0 } = await r.client.peer.tcpInfo(c.client);
    expect(segs_in + segs_out).toBeGreaterThan(10_000);
    expect((await both()) - first).toBeLessThan((segs_in + segs_out) / 10);
  });
});
