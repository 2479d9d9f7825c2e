// SPDX-License-Identifier: MIT
// The rules of the ACK thinner, segment by segment, against a sender in user space.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until, type WirePacket } from "../support/lab.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { type ThinCounters, ThinnerLab } from "../support/thinner-lab.ts";
import { RTT_MS, SACK_PERMITTED, strides, TIMESTAMPS, WireSender } from "../support/thinner-wire.ts";

const { ok, reason } = every("all", labRequirement, nftRequirement);

/** Of eleven segments, how many the kernel did not acknowledge one by one. */
function clumped(counted: Partial<ThinCounters>): number {
  const { flushed = 0, ...acks } = counted;
  return 11 - Object.values(acks).reduce((sum, n) => sum + n, 0);
}

describeIf(ok, reason)("the ACK thinner, segment by segment", () => {
  let t: ThinnerLab;
  let rule = 100;
  beforeAll(async () => {
    t = await ThinnerLab.create();
    t.agent!.serve(t.receiver.netns);
  });
  afterAll(async () => await t?.[Symbol.asyncDispose]());

  const kinds = {
    IPv4: {},
    IPv6: { v6: true },
    "IPv4 with timestamps": { syn: TIMESTAMPS, options: TIMESTAMPS },
    "IPv6 with timestamps": { v6: true, syn: TIMESTAMPS, options: TIMESTAMPS },
  };
  for (const [name, how] of Object.entries(kinds)) {
    test(`${name}: one ACK for four segments, and the last one within its time`, async () => {
      const s = await WireSender.open(t, { rule: ++rule, every: 4, delay_us: 50_000 }, how);
      await s.warmUp([24, 24, 12]);
      // A busy machine may deliver segments in clumps, or late: then another attempt counts.
      for (let attempt = 1; ; attempt++) {
        const from = await s.receivedAll();
        const { flushed } = t.agent!.stats();
        let acks: WirePacket[] = [];
        let ms = 0;
        const counted = await s.counted(async () => {
          await s.full(11);
          const sent = performance.now();
          while (acks.at(-1)?.ack !== (from + 11_000) >>> 0) acks.push(await s.wire.expect(s.flow));
          ms = performance.now() - sent;
          acks = [...acks, ...(await s.acks())];
        }, rule);
        expect(acks.every((p) => p.goodChecksum && p.flags === "A")).toBe(true);
        expect(acks.length).toBe(11 - (counted.dropped ?? 0) + (counted.flushed ?? 0) - clumped(counted));
        expect(t.agent!.stats().flushed - flushed).toBe(counted.flushed ?? 0);
        expect(t.agent!.stats().failed).toBe(0);
        // the first one goes at once: 50 ms or four segments after the last that went by itself
        const exact = `${strides(acks, from)}` === "1,4,4,2" && ms > 30 && ms < 95 && !clumped(counted);
        if (!exact && attempt < 5) continue;
        expect(strides(acks, from)).toEqual([1, 4, 4, 2]);
        expect(ms).toBeWithin(30, 95); // held for 50 ms
        expect(counted).toMatchObject({ dropped: 8, flushed: 1 });
        expect((counted.time ?? 0) + (counted.every ?? 0)).toBe(3);
        break;
      }
    });
  }

  test("the divisor counts in round trips, the shorter of two limits holds, and none is RTT/4", async () => {
    for (const [ack, wanted] of [
      [{ divisor: 2 }, RTT_MS / 2],
      [{ divisor: 2, delay_us: 20_000 }, 20],
      [{ delay_us: 70_000 }, 70],
      [{}, RTT_MS / 4],
    ] as const) {
      const s = await WireSender.open(t, { rule: ++rule, every: 100, ...ack });
      await s.warmUp();
      for (let attempt = 1; ; attempt++) {
        const started = performance.now();
        await s.full(8 - attempt); // the first one goes at once, the others are held
        const sent = performance.now();
        while ((await s.wire.expect(s.flow)).ack !== (await s.receivedAll()));
        const [most, least] = [performance.now() - started, performance.now() - sent];
        await s.acks();
        if (attempt < 5 && !(most > wanted && least < wanted + 15)) continue;
        expect(most).toBeGreaterThan(wanted);
        expect(least).toBeLessThan(wanted + 15);
        break;
      }
    }
  });

  test("a floor keeps that many ACKs per round trip", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, floor: 4, delay_us: 90_000 });
    await s.warmUp([80, 80, 24]); // 15 segments per round trip: one in four may be held no longer
    for (let attempt = 1; ; attempt++) {
      let acks = 0;
      const counted = await s.counted(async () => {
        await s.full(21 - attempt);
        acks = (await s.acks()).length;
      }, rule);
      // a busy machine delivers segments in clumps
      const isWhole = acks >= 4 && (counted.every ?? 0) >= 3 && (counted.dropped ?? 0) > 5;
      if (!isWhole && attempt < 5) continue;
      expect(acks).toBeGreaterThanOrEqual(4);
      expect(counted.every).toBeGreaterThanOrEqual(3);
      expect(counted.dropped).toBeGreaterThan(5);
      break;
    }
  });

  test("what carries news goes at once: short segments, duplicates, gaps", async () => {
    const s = await WireSender.open(
      t,
      { rule: ++rule, every: 100, delay_us: 90_000 },
      { syn: SACK_PERMITTED },
    );
    await s.warmUp();
    await s.full(3);
    await s.acks(); // flushed by now
    const { sndNxt, rcvNxt } = await s.wire.numbers(s.flow);

    const small = await s.counted(async () => {
      await s.full(1);
      await s.wire.data(s.flow, 10);
      await until(async () => (await s.wire.maybe(s.flow, 40))?.ack === sndNxt + 1010);
    }, rule);
    expect(small.small).toBeGreaterThan(0);

    const next = sndNxt + 1010;
    const gap = await s.counted(async () => {
      await s.wire.raw(s.flow, "A", next + 1000, rcvNxt, 1000);
      const p = await s.wire.expect(s.flow, 60);
      expect(p.ack).toBe(next);
      expect(p.options).toContain("050a"); // SACK
    }, rule);
    expect(gap).toEqual({ options: 1 });
  });

  test("a repeated number goes at once", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    await s.warmUp();
    const { sndNxt, rcvNxt } = await s.wire.numbers(s.flow);
    const counted = await s.counted(async () => {
      await s.wire.raw(s.flow, "A", sndNxt - 1000, rcvNxt, 1000);
      expect((await s.wire.expect(s.flow, 60)).ack).toBe(sndNxt);
    }, rule);
    expect(counted).toEqual({ duplicate: 1 });
  });

  test("AccECN without its option: less than eight segments, for what a sender makes of an ACK of eight", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    await s.warmUp([24, 24, 16]);
    // AE, beside the header's length
    const chain = "type filter hook output priority 0;\n tcp flags ack @th,103,1 set 1";
    await t.lab.nft(t.receiver.netns, `table inet accecn {\n chain c {\n ${chain}\n }\n}\n`);
    // as above, a busy machine has several attempts
    for (let attempt = 1; ; attempt++) {
      const from = await s.receivedAll();
      await s.full(14);
      const seen = strides(await s.acks(), from);
      // the first one has another counter than those before, or is late
      if (`${seen}` !== "1,6,6,1" && attempt < 5) continue;
      expect(seen).toEqual([1, 6, 6, 1]);
      break;
    }
    await t.lab.nft(t.receiver.netns, "delete table inet accecn");
  });

  test("a growing window is not held back", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    await s.warmUp();
    const steady = await s.counted(async () => {
      await s.full(8);
      await s.acks();
    }, rule);
    expect(steady.growth).toBeUndefined();
    const growing = await s.counted(async () => {
      await s.full(40); // counted when the next round trip begins
      await s.acks();
      await s.full(40);
      await s.acks();
    }, rule);
    expect(growing.growth).toBeGreaterThan(20);
  });

  test("nothing is held without a strategy, or with every 1", async () => {
    for (const every of [0, 1]) {
      const s = await WireSender.open(t, { rule: ++rule, every, delay_us: 90_000 });
      await s.warmUp();
      await s.full(12);
      await s.acks();
      expect(t.thinner.counters().has(rule)).toBe(false);
    }
  });

  test("a reset or closed connection leaves no timer behind", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    await s.warmUp();
    await s.full(4);
    await s.acks();
    const before = t.holds();
    expect(before).toBeGreaterThan(0);
    await s.wire.fin(s.flow);
    expect((await s.wire.expect(s.flow, 60)).ack).toBe((await s.wire.numbers(s.flow)).sndNxt);
    expect(t.holds()).toBe(before - 1);
  });
});

describe.skipIf(!ok)("entries of the thinner", () => {
  test("go when nothing was held for the idle time", async () => {
    await using t = await ThinnerLab.create({ idleMs: 300, stallMs: 500 });
    t.agent!.serve(t.receiver.netns);
    const s = await WireSender.open(t, { every: 100, delay_us: 50_000 });
    await s.warmUp();
    await s.full(4);
    await Bun.sleep(100);
    expect(t.holds()).toBe(1);
    expect(await until(() => t.holds() === 0, 1000)).toBe(true);
    // and the connection gets a new one, after the slow start that a pause means
    await s.warmUp([24, 24]);
    await s.full(8);
    await Bun.sleep(20);
    expect(t.holds()).toBe(1);
  });

  test("no room for another one: its ACKs go, as without a rule", async () => {
    await using t = await ThinnerLab.create();
    t.agent!.serve(t.receiver.netns);
    const rule = 7;
    const s = await WireSender.open(t, { rule, every: 100, delay_us: 90_000 });
    t.fillHolds();
    await s.warmUp();
    const full = await s.counted(async () => {
      const from = await s.receivedAll();
      await s.full(8);
      expect(strides(await s.acks(), from).reduce((sum, n) => sum + n, 0)).toBe(8);
    }, rule);
    expect(full.dropped).toBeUndefined();
    expect(full.unserved).toBeGreaterThan(4);
  });
});
