// SPDX-License-Identifier: MIT
// In the steady state no segment runs the sock_ops program: its own run count is the witness.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { readFileSync, writeFileSync } from "node:fs";
import { connectPeers, run } from "../support/lab.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { scopeOf, UtoLab } from "../support/uto-lab.ts";

const STATS = "/proc/sys/kernel/bpf_stats_enabled";
const tool = requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool");
const needs = every("all", labRequirement, tool);

describeIf(needs.ok, needs.reason)("the steady state", () => {
  let u: UtoLab;

  beforeAll(async () => {
    u = await UtoLab.create();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  /** Program runs of both scopes so far. */
  async function runs(): Promise<number> {
    let sum = 0;
    for (const { cgroup } of [u.client, u.server]) {
      const { program_id } = await scopeOf(cgroup);
      sum += JSON.parse(await run(["bpftool", "prog", "show", "id", `${program_id}`, "-j"])).run_cnt ?? 0;
    }
    return sum;
  }

  test("at most 4 runs in 1,000 exchanges, both ends together", async () => {
    for (const side of [u.client, u.server]) {
      await u.rule(side, "set 30s");
      await u.rule(side, "accept --min 1s");
    }
    const before = readFileSync(STATS, "utf8");
    writeFileSync(STATS, "1\n");
    try {
      const start = await runs();
      const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
      await u.exchange(c, 1);
      const first = await runs();
      expect(first - start).toBeWithin(5, 60); // the statistics do count: a handshake takes 12 to 16
      await u.client.peer.exchange(c.client, 1000, 100, 20_000);
      expect((await runs()) - first).toBeLessThanOrEqual(4);
    } finally {
      writeFileSync(STATS, before);
    }
  }, 60_000);

  test("a connection that no rule is for costs its handshake and nothing else", async () => {
    for (const side of [u.client, u.server]) {
      await u.rule(side, "unset --all");
      await u.rule(side, "set 30s --to 192.0.2.1");
    }
    const before = readFileSync(STATS, "utf8");
    writeFileSync(STATS, "1\n");
    try {
      const start = await runs();
      const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
      await u.exchange(c, 1);
      const first = await runs();
      expect(first).toBeGreaterThan(start);
      await u.client.peer.exchange(c.client, 1000, 100, 20_000);
      expect((await runs()) - first).toBe(0);
    } finally {
      writeFileSync(STATS, before);
    }
  }, 60_000);
});
