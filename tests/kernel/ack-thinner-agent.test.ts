// SPDX-License-Identifier: MIT
// The agent's threads with the thinner: which namespaces they serve, and what is left when they end.

import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import type { Peer } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { ThinnerLab } from "../support/thinner-lab.ts";
import { strides, WireSender } from "../support/thinner-wire.ts";

const { ok, reason } = labRequirement;
const TEN = { every: 10, delay_us: 20_000 };

describeIf(ok, reason)("the agent of the thinner", () => {
  test("a namespace is served when it is first needed, several at once", async () => {
    await using t = await ThinnerLab.create();
    const others = ["second", "third"];
    const c = await t.connect({ ...TEN, rule: 1 });
    expect(t.served(t.receiver.netns)).toBe(false);
    await t.transfer(c, 1_000_000);
    expect(t.served(t.receiver.netns)).toBe(true);
    expect(t.counters(1).unserved).toBeGreaterThan(0);
    await t.transfer(c, 1_000_000);
    expect(t.counters(1).dropped).toBeGreaterThan(5);
    for (const [i, name] of others.entries()) {
      const netns = await t.lab.netns(name);
      const peer = await t.lab.peer(netns, t.receiver.cgroup);
      const how = { at: { netns, peer }, v6: i === 1 };
      const s = await WireSender.open(t, { every: 100, delay_us: 20_000, rule: 10 + i }, how);
      expect(t.served(netns)).toBe(false);
      await s.warmUp();
      for (let round = 0; round < 2; round++) {
        await s.full(4);
        expect((await s.acks()).at(-1)?.ack).toBe(await s.receivedAll());
        expect(t.served(netns)).toBe(true);
      }
      expect(t.counters(10 + i)).toMatchObject({ unserved: expect.any(Number), flushed: expect.any(Number) });
      expect(t.counters(10 + i).flushed).toBeGreaterThan(0);
    }
    expect(t.agent!.stats()).toMatchObject({ namespaces: 3, failed: 0 });
  }, 30_000);

  test("nothing is held back before it runs, after its end, and after detaching", async () => {
    await using t = await ThinnerLab.create();
    t.agent!.stop();
    const c = await t.connect({ ...TEN, rule: 1 });
    await t.transfer(c, 500_000);
    expect(t.counters(1)).toMatchObject({ dropped: 0, flushed: 0 });
    t.startAgent().serve(t.receiver.netns);
    await t.transfer(c, 1_000_000);
    const { dropped } = t.counters(1);
    expect(dropped).toBeGreaterThan(5);
    t.agent!.stop();
    expect(t.served(t.receiver.netns)).toBe(false);
    const stopped = t.counters(1);
    await t.transfer(c, 500_000);
    expect(t.counters(1).dropped).toBe(stopped.dropped);
    expect(t.counters(1).unserved).toBeGreaterThan(stopped.unserved);
    t.detach(t.receiver.cgroup);
    const detached = t.counters(1);
    await t.transfer(c, 500_000);
    expect(t.counters(1)).toEqual(detached);
  }, 30_000);

  test("when the agent hangs, nothing is held back after a moment", async () => {
    await using t = await ThinnerLab.create({ idleMs: 30_000, stallMs: 50 });
    t.agent!.stop();
    const { ino } = statSync(`/run/netns/${t.receiver.netns}`);
    t.lib.tcpx_map_update(t.thinner.servedFd, new Uint32Array([ino]), new Uint32Array([1]), 0n);
    const s = await WireSender.open(t, { every: 100, delay_us: 20_000 });
    await s.warmUp();
    const rounds = (n: number) =>
      s.counted(async () => {
        for (let round = 0; round < n; round++) {
          await s.full(4);
          await s.acks();
        }
      });
    expect((await rounds(3)).dropped).toBeGreaterThan(0);
    expect(await rounds(2)).toMatchObject({ unserved: expect.any(Number) });
    expect(Object.keys(await rounds(2))).not.toContain("dropped");
    // and one that reads again is trusted again
    t.startAgent().serve(t.receiver.netns);
    await rounds(1);
    expect((await rounds(2)).dropped).toBeGreaterThan(0);
  }, 30_000);

  test("killed, it leaves stock TCP behind", async () => {
    await using t = await ThinnerLab.create();
    t.detach(t.receiver.cgroup);
    const script = join(import.meta.dir, "../support/thinner-agent.ts");
    const child = t.lab.spawn([process.execPath, script, t.receiver.cgroup]);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const ask = async (line: string) => {
      if (line) child.stdin.write(`${line}\n`);
      child.stdin.flush();
      return (await lines.read()).value?.trim() ?? "";
    };
    expect(await ask("")).toBe("attached");
    const assign = async (peer: Peer, fd: number) =>
      expect(await ask(`${peer.pid} ${fd} 4 50000`)).toBe("set");
    const s = await WireSender.open(t, {}, { assign });
    await s.warmUp([48, 48, 24]);
    await s.full(18); // fewer every time: no growth, however late they are
    await s.acks();
    expect(JSON.parse(await ask("stats")).flushed).toBeGreaterThan(0);
    await s.full(12);
    expect((await s.acks()).length).toBeLessThan(10);
    await s.full(3);
    child.kill("SIGKILL");
    await child.exited;
    await s.acks();
    const from = await s.receivedAll();
    await s.full(10);
    expect(strides(await s.acks(), from)).toEqual(Array(10).fill(1));
    const tree = await t.lab.exec(undefined, ["bpftool", "cgroup", "tree", t.receiver.cgroup]);
    expect(tree).not.toContain("ack_");
  }, 30_000);
});
