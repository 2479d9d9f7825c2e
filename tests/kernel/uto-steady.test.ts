// SPDX-License-Identifier: MIT
// In the steady state no segment runs the sock_ops program: its own run count is the witness.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { connectPeers } from "../support/lab.ts";
import { describeIf } from "../support/requires.ts";
import { runsRequirement as needs, RunCounts } from "../support/runs.ts";
import { UtoLab } from "../support/uto-lab.ts";

describeIf(needs.ok, needs.reason)("the steady state", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  test("at most 4 runs in 1,000 exchanges, both ends together", async () => {
    for (const side of [u.client, u.server]) {
      await u.rule(side, "set 30s");
      await u.rule(side, "accept --min 1s");
    }
    using counts = new RunCounts([u.client, u.server]);
    const start = await counts.total();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c, 1);
    const first = await counts.total();
    expect(first - start).toBeWithin(5, 60); // the statistics do count: a handshake takes 12 to 16
    await u.client.peer.exchange(c.client, 1000, 100, 20_000);
    expect((await counts.total()) - first).toBeLessThanOrEqual(4);
  }, 60_000);

  test("a connection that no rule is for costs its handshake and nothing else", async () => {
    for (const side of [u.client, u.server]) {
      await u.rule(side, "unset --all");
      await u.rule(side, "set 30s --to 192.0.2.1");
    }
    using counts = new RunCounts([u.client, u.server]);
    const start = await counts.total();
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    await u.exchange(c, 1);
    const first = await counts.total();
    expect(first).toBeGreaterThan(start);
    await u.client.peer.exchange(c.client, 1000, 100, 20_000);
    expect((await counts.total()) - first).toBe(0);
  }, 60_000);
});
