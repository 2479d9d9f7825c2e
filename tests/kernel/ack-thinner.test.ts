// SPDX-License-Identifier: MIT
// The rules of the ACK thinner, segment by segment, against a sender in user space.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { until, type WirePacket } from "../support/lab.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { type ThinCounters, ThinnerLab } from "../support/thinner-lab.ts";
import { SACK_PERMITTED, strides, TIMESTAMPS, WireSender } from "../support/thinner-wire.ts";

const { ok, reason } = every("all", labRequirement, nftRequirement);

/** ACKs that the kernel made: fewer than segments where these came in clumps. */
function made({ flushed: _, ...acks }: Partial<ThinCounters>): number {
  return Object.values(acks).reduce((sum, n) => sum + n, 0);
}

/** Without slow start, which follows a pause: on a machine that stands still, one that nobody meant. */
const isSteady = ({ growth = 0 }: Partial<ThinCounters>) => growth === 0;

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
      const seen = async () => {
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
        expect(acks.length).toBe(made(counted) - (counted.dropped ?? 0) + (counted.flushed ?? 0));
        expect(t.agent!.stats().flushed - flushed).toBe(counted.flushed ?? 0);
        expect(t.agent!.stats().failed).toBe(0);
        return { strides: strides(acks, from), ms, counted };
      };
      // the first one goes at once: 50 ms or four segments after the last that went by itself
      const { ms, counted, ...round } = await s.afterWarmUp(
        seen,
        (got) => `${got.strides}` === "1,4,4,2" && got.ms > 30 && got.ms < 95 && made(got.counted) === 11,
        [24, 24, 12],
      );
      expect(round.strides).toEqual([1, 4, 4, 2]);
      expect(ms).toBeWithin(30, 95); // held for 50 ms
      expect(counted).toMatchObject({ dropped: 8, flushed: 1 });
      expect((counted.time ?? 0) + (counted.every ?? 0)).toBe(3);
    });
  }

  test("the divisor counts in round trips, the shorter of two limits holds, and none is RTT/4", async () => {
    for (const [ack, wanted] of [
      [{ divisor: 2 }, (rtt: number) => rtt / 2],
      [{ divisor: 2, delay_us: 20_000 }, () => 20],
      [{ delay_us: 70_000 }, () => 70],
      [{}, (rtt: number) => rtt / 4],
    ] as const) {
      const s = await WireSender.open(t, { rule: ++rule, every: 100, ...ack });
      const delay = wanted(s.rtt);
      const seen = async () => {
        const started = performance.now();
        await s.full(7); // the first one goes at once, the others are held
        const sent = performance.now();
        while ((await s.wire.expect(s.flow)).ack !== (await s.receivedAll()));
        return { most: performance.now() - started, least: performance.now() - sent };
      };
      const { most, least } = await s.afterWarmUp(seen, (got) => got.most > delay && got.least < delay + 15);
      expect(most).toBeGreaterThan(delay);
      expect(least).toBeLessThan(delay + 15);
    }
  });

  test("a floor keeps that many ACKs per round trip", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, floor: 4, delay_us: 90_000 });
    const none = { acks: 0, every: 0, dropped: 0 };
    const seen = async () => {
      let { acks } = none;
      const counted = await s.counted(async () => {
        await s.full(20);
        acks = (await s.acks()).length;
      }, rule);
      return { ...none, ...counted, acks };
    };
    // 17 segments per round trip: one in five may be held no longer
    const isWhole = (n: typeof none) => n.acks >= 4 && n.every >= 3 && n.dropped > 5;
    const { acks, every, dropped } = await s.afterWarmUp(seen, isWhole, [40, 40, 20]);
    expect(acks).toBeGreaterThanOrEqual(4);
    expect(every).toBeGreaterThanOrEqual(3);
    expect(dropped).toBeGreaterThan(5);
  });

  test("what carries news goes at once: short segments, duplicates, gaps", async () => {
    const s = await WireSender.open(
      t,
      { rule: ++rule, every: 100, delay_us: 90_000 },
      { syn: SACK_PERMITTED },
    );
    const small = () =>
      s.counted(async () => {
        await s.full(1);
        const end = (await s.wire.numbers(s.flow)).sndNxt + 10;
        await s.wire.data(s.flow, 10);
        while ((await s.wire.expect(s.flow)).ack !== end);
      }, rule);
    expect((await s.afterWarmUp(small, isSteady)).small).toBeGreaterThan(0);
    const { sndNxt, rcvNxt } = await s.wire.numbers(s.flow);
    const gap = await s.counted(async () => {
      await s.wire.raw(s.flow, "A", sndNxt + 1000, rcvNxt, 1000);
      const p = await s.wire.expect(s.flow);
      expect(p.ack).toBe(sndNxt);
      expect(p.options).toContain("050a"); // SACK
    }, rule);
    expect(gap).toEqual({ options: 1 }); // not held first
  });

  test("a repeated number goes at once", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    await s.warmUp();
    const { sndNxt, rcvNxt } = await s.wire.numbers(s.flow);
    const counted = await s.counted(async () => {
      await s.wire.raw(s.flow, "A", sndNxt - 1000, rcvNxt, 1000);
      expect((await s.wire.expect(s.flow)).ack).toBe(sndNxt);
    }, rule);
    expect(counted).toEqual({ duplicate: 1 }); // not held first
  });

  test("AccECN without its option: less than eight segments, for what a sender makes of an ACK of eight", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    // AE, beside the header's length
    const chain = "type filter hook output priority 0;\n tcp flags ack @th,103,1 set 1";
    await t.lab.nft(t.receiver.netns, `table inet accecn {\n chain c {\n ${chain}\n }\n}\n`);
    const seen = async () => {
      const from = await s.receivedAll();
      await s.full(14);
      return strides(await s.acks(), from);
    };
    const wanted = [1, 6, 6, 1]; // the first one is late
    expect(await s.afterWarmUp(seen, (got) => `${got}` === `${wanted}`, [24, 24, 16])).toEqual(wanted);
    await t.lab.nft(t.receiver.netns, "delete table inet accecn");
  });

  test("a growing window is not held back", async () => {
    const s = await WireSender.open(t, { rule: ++rule, every: 100, delay_us: 90_000 });
    const round = async () => {
      const started = performance.now();
      await s.warmUp([16, 12]);
      const counted = await s.counted(async () => {
        await s.full(8);
        await s.wire.expect(s.flow);
      }, rule);
      const ms = performance.now() - started;
      await s.acks();
      return { counted, ms };
    };
    // where the machine stood still for longer, one of two was a pause, or so slow that the next one grew
    const most = 2 * (s.rtt + 20) + 100;
    const steady = await s.afterWarmUp(round, ({ ms }) => ms < most);
    expect(steady.ms).toBeLessThan(most);
    expect(steady.counted.growth).toBeUndefined();
    const growing = await s.afterWarmUp(
      () => s.counted(() => s.warmUp([40, 40]), rule), // the first is counted when the second begins
      (got) => made(got) > 70,
    );
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
    const before = new Set(t.holdKeys());
    const own = () => t.holdKeys().filter((key) => !before.has(key));
    const hold = async () => {
      await s.full(4);
      await s.acks();
      return own().length;
    };
    expect(await s.afterWarmUp(hold, (n) => n > 0)).toBe(1);
    const counted = await s.counted(async () => {
      await s.wire.fin(s.flow);
      expect((await s.wire.expect(s.flow)).ack).toBe((await s.wire.numbers(s.flow)).sndNxt);
    }, rule);
    expect(counted).toEqual({}); // not held first
    expect(await until(() => own().length === 0, 1000)).toBe(true);
  });
});

describe.skipIf(!ok)("entries of the thinner", () => {
  test("go when nothing was held for the idle time", async () => {
    await using t = await ThinnerLab.create({ idleMs: 300, stallMs: 500 });
    t.agent!.serve(t.receiver.netns);
    const s = await WireSender.open(t, { every: 100, delay_us: 50_000 });
    const hold = async () => {
      await s.full(4);
      return await until(() => t.holds() === 1, 100);
    };
    expect(await s.afterWarmUp(hold, Boolean)).toBe(true);
    expect(await until(() => t.holds() === 0, 1000)).toBe(true);
    // and the connection gets a new one, after the slow start that a pause means
    expect(await s.afterWarmUp(hold, Boolean)).toBe(true);
  });

  test("no room for another one: its ACKs go, as without a rule", async () => {
    await using t = await ThinnerLab.create();
    t.agent!.serve(t.receiver.netns);
    const s = await WireSender.open(t, { every: 100, delay_us: 90_000 });
    t.fillHolds();
    const full = () =>
      s.counted(async () => {
        const from = await s.receivedAll();
        await s.full(8);
        expect(strides(await s.acks(), from).reduce((sum, n) => sum + n, 0)).toBe(8);
      });
    const counted = await s.afterWarmUp(full, (got) => isSteady(got) && made(got) === 8);
    expect(counted.dropped).toBeUndefined();
    expect(counted.unserved).toBeGreaterThan(4);
  });
});
