// SPDX-License-Identifier: MIT
// The agent's threads with the thinner: which namespaces they serve, and what is left when they end.

import { expect, test } from "bun:test";
import { statSync } from "node:fs";
import { attempts, type Connection, type Peer, until } from "../support/lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { ThinnerLab } from "../support/thinner-lab.ts";
import { strides, WireSender } from "../support/thinner-wire.ts";

const { ok, reason } = every("hosts", labRequirement, captureRequirement);
const TEN = { every: 10, delay_us: 20_000 };

/** What is held for 50 ms is judged up to 120 ms: a copy that held it up would take longer than that. */
const LONG_MS = 150;
/** 10.100.0.0 to 10.109.195.255. */
const MOST_ROUTES = 640_000;

/** Adds routes until copying them takes this machine clearly longer than LONG_MS, which a busy one may also do by itself. */
async function addSlowRoutes(t: ThinnerLab, device: string): Promise<void> {
  const address = (i: number) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
  const copying = async () => {
    const started = performance.now();
    t.agent!.atOnce(1 << 13);
    const ms = performance.now() - started;
    t.agent!.atOnce(0);
    return ms;
  };
  let count = 0;
  const isSlow = async () => Math.min(await copying(), await copying()) > 1.5 * LONG_MS;
  for (let more = 20_000; !(await isSlow()) && count < MOST_ROUTES; more = count) {
    const routes = Array.from({ length: more }, (_, i) => `route add ${address(count + i)} dev ${device}`);
    await t.lab.exec(t.receiver.netns, ["ip", "-batch", "-"], `${routes.join("\n")}\n`);
    count += more;
  }
}

/** ACKs of transfers that would have been held back: on a busy machine all of one may look like growth. */
async function unserved(t: ThinnerLab, c: Connection, bytes: number): Promise<number> {
  const before = t.counters(1).unserved;
  const more = async () => {
    await t.transfer(c, bytes);
    return t.counters(1).unserved - before;
  };
  return await attempts(8, more, (n) => n > 0);
}

describeIf(ok, reason)("the agent of the thinner", () => {
  test("a namespace is served when it is first needed, several at once", async () => {
    await using t = await ThinnerLab.create();
    const others = ["second", "third"];
    const c = await t.connect({ ...TEN, rule: 1 });
    expect(t.served(t.receiver.netns)).toBe(false);
    expect(await unserved(t, c, 1_000_000)).toBeGreaterThan(0);
    expect(await until(() => t.served(t.receiver.netns))).toBe(true);
    expect(await t.holdBack(c, 1, 5)).toBeGreaterThan(5);
    for (const [i, name] of others.entries()) {
      const netns = await t.lab.netns(name);
      const peer = await t.lab.peer(netns, t.receiver.cgroup);
      const how = { at: { netns, peer }, v6: i === 1 };
      const s = await WireSender.open(t, { every: 100, delay_us: 20_000, rule: 10 + i }, how);
      expect(t.served(netns)).toBe(false);
      const flushed = async () => {
        await s.full(4);
        const end = await s.receivedAll();
        expect((await s.acks()).some((p) => p.ack === end)).toBe(true);
        return t.counters(10 + i).flushed;
      };
      expect(await s.afterWarmUp(flushed, (n) => n > 0)).toBeGreaterThan(0);
      expect(t.counters(10 + i).unserved).toBeGreaterThan(0);
      expect(t.served(netns)).toBe(true);
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
    expect(await t.holdBack(c, 1, 5)).toBeGreaterThan(5);
    t.agent!.stop();
    expect(t.served(t.receiver.netns)).toBe(false);
    const stopped = t.counters(1);
    expect(await unserved(t, c, 500_000)).toBeGreaterThan(0);
    expect(t.counters(1).dropped).toBe(stopped.dropped);
    t.detach(t.receiver.cgroup);
    const detached = t.counters(1);
    await t.transfer(c, 500_000);
    expect(t.counters(1)).toEqual(detached);
  }, 30_000);

  test("copying many routes does not delay what is held", async () => {
    await using t = await ThinnerLab.create();
    const { netns } = t.receiver;
    t.agent!.serve(netns);
    const s = await WireSender.open(t, { every: 100, delay_us: 50_000 });
    await addSlowRoutes(t, s.wire.device);
    t.agent!.stop(); // after so many news it would wait with its next look at the routing
    t.startAgent().serve(netns);
    const capture = await t.lab.capture(netns, s.wire.device);
    await s.warmUp();
    const ends: [number, number][] = [];
    // a busy machine may be late with segments: then another attempt counts
    for (let attempt = 0; attempt < 4; attempt++) {
      await s.full(8 - attempt);
      const started = performance.now();
      t.agent!.atOnce(1 << 13);
      ends.push([await s.receivedAll(), performance.now() - started]);
      await s.acks();
      t.agent!.atOnce(0);
      await s.warmUp([24, 24, 8]);
    }
    await capture.stop();
    const all = await capture.packets();
    const good = ends.filter(([end, copying]) => {
      const data = all.find((p) => p.length > 0 && p.seq + p.length === end)!;
      const ack = all.find((p) => p.length === 0 && p.ack === end)!;
      return copying > LONG_MS && ack.time - data.time > 0.03 && ack.time - data.time < 0.12;
    });
    expect(good.length).toBeGreaterThan(0);
  }, 120_000);

  test("when the agent hangs, nothing is held back after a moment", async () => {
    await using t = await ThinnerLab.create({ idleMs: 30_000, stallMs: 50 });
    t.agent!.stop();
    const { ino } = statSync(`/run/netns/${t.receiver.netns}`);
    t.lib.tcpx_map_update(t.thinner.servedFd, new Uint32Array([ino]), new Uint32Array([1, 0]), 0n);
    const s = await WireSender.open(t, { every: 100, delay_us: 20_000 });
    const rounds = async (n: number) =>
      await s.counted(async () => {
        for (let round = 0; round < n; round++) {
          await s.full(4);
          await s.acks(0);
        }
      });
    const held = async () => {
      await s.warmUp([24, 24, 8], 0);
      await rounds(3);
      return t.counters().dropped;
    };
    expect(await attempts(5, held, (n) => n > 0)).toBeGreaterThan(0);
    // a pause that nobody meant is slow start: then another attempt tells
    const passed = () =>
      attempts(
        5,
        () => rounds(2),
        ({ unserved = 0 }) => unserved > 0,
      );
    expect((await passed()).unserved).toBeGreaterThan(0);
    const { dropped } = t.counters();
    expect((await passed()).unserved).toBeGreaterThan(0);
    expect(t.counters().dropped).toBe(dropped);
    // and one that reads again is trusted again
    t.startAgent().serve(t.receiver.netns);
    await rounds(1);
    const again = await attempts(
      5,
      () => rounds(2),
      (more) => (more.dropped ?? 0) > 0,
    );
    expect(again.dropped).toBeGreaterThan(0);
  }, 30_000);

  test("killed, it leaves stock TCP behind", async () => {
    await using t = await ThinnerLab.create();
    const { child, ask } = await t.elsewhere();
    const assign = async (peer: Peer, fd: number) =>
      expect(await ask(`${peer.pid} ${fd} 4 50000`)).toBe("set");
    const s = await WireSender.open(t, {}, { assign });
    const flushed = async () => JSON.parse(await ask("stats")).flushed as number;
    const held = async () => {
      const before = await flushed();
      await s.full(12);
      return { acks: (await s.acks()).length, flushed: (await flushed()) - before };
    };
    const isHeld = (seen: Awaited<ReturnType<typeof held>>) => seen.acks < 10 && seen.flushed > 0;
    const seen = await s.afterWarmUp(held, isHeld);
    expect(seen.flushed).toBeGreaterThan(0);
    expect(seen.acks).toBeLessThan(10);
    await s.full(3);
    child.kill("SIGKILL");
    await child.exited;
    await s.acks(0);
    // after a warm-up, as above: or slow start would let them pass
    const stock = async () => {
      const from = await s.receivedAll();
      await s.full(10);
      return strides(await s.acks(0), from);
    };
    const single = Array(10).fill(1);
    expect(await s.afterWarmUp(stock, (got) => `${got}` === `${single}`)).toEqual(single);
    const tree = await t.lab.exec(undefined, ["bpftool", "cgroup", "tree", t.receiver.cgroup]);
    expect(tree).not.toContain("ack_");
  }, 30_000);
});
