// SPDX-License-Identifier: MIT
// A held ACK is not sent any more once something newer has gone: numbers and timestamps never go back.

import { afterAll, beforeAll, expect, test } from "bun:test";
import type { Peer } from "../support/lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { ThinnerLab } from "../support/thinner-lab.ts";
import { TIMESTAMPS, WireSender } from "../support/thinner-wire.ts";

const { ok, reason } = every("held", labRequirement, captureRequirement);
const [IPPROTO_IP, IP_OPTIONS] = [0, 4];
/** Long enough to do something meanwhile. */
const SLOW = { every: 100, delay_us: 150_000 };
const WAIT_MS = 250;

describeIf(ok, reason)("what is held when something newer goes", () => {
  let t: ThinnerLab;
  beforeAll(async () => {
    t = await ThinnerLab.create();
    t.agent!.serve(t.receiver.netns);
  });
  afterAll(async () => await t?.[Symbol.asyncDispose]());

  /** Numbers that come after the last data, when the connection has changed between it and the rest, which is held. */
  const after = async (change: (s: WireSender) => Promise<unknown>) => {
    const s = await WireSender.open(t, SLOW);
    const held = async () => {
      const before = t.counters();
      await s.full(4);
      await Bun.sleep(20);
      const { dropped, flushed } = t.counters();
      return { held: dropped - before.dropped, sent: flushed - before.flushed };
    };
    const isHeld = (seen: Awaited<ReturnType<typeof held>>) => seen.held > 0 && seen.sent === 0;
    expect(await s.afterWarmUp(held, isHeld)).toMatchObject({ sent: 0 });
    await change(s);
    await s.full(1);
    const end = await s.receivedAll();
    const numbers: number[] = [];
    for (let p = await s.wire.maybe(s.flow, WAIT_MS); p; p = await s.wire.maybe(s.flow, WAIT_MS)) {
      numbers.push(p.ack);
    }
    return numbers.slice(numbers.indexOf(end));
  };

  test("because the rule has gone", async () => {
    const numbers = await after(async (s) => t.strategy(t.receiver.peer, s.fd, { every: 0 }));
    expect(new Set(numbers).size).toBe(1);
  });

  test("because the application has set IP options", async () => {
    const options = Buffer.from("01010101", "hex");
    const numbers = await after((s) => t.receiver.peer.setBytes(s.fd, IPPROTO_IP, IP_OPTIONS, options));
    expect(new Set(numbers).size).toBe(1);
  });
});

describeIf(ok, reason)("an agent that is late", () => {
  for (const v6 of [false, true]) {
    test(`sends nothing that is older than what has gone, IPv${v6 ? 6 : 4}`, async () => {
      await using t = await ThinnerLab.create();
      const { child, ask } = await t.elsewhere();
      const assign = async (peer: Peer, fd: number) =>
        expect(await ask(`${peer.pid} ${fd} 100 20000`)).toBe("set");
      const how = { v6, assign, syn: TIMESTAMPS, options: TIMESTAMPS };
      const s = await WireSender.open(t, {}, how);
      const next = async (ms: number) => {
        const numbers: number[] = [];
        for (let p = await s.wire.maybe(s.flow, ms); p; p = await s.wire.maybe(s.flow, ms))
          numbers.push(p.ack);
        return numbers;
      };
      const late = async () => {
        const before = JSON.parse(await ask("stats"));
        child.kill("SIGSTOP");
        await s.full(4);
        await next(60); // its time has come, and nobody sends it
        await s.full(2);
        const newest = (await next(20)).at(-1) ?? 0;
        child.kill("SIGCONT");
        const rest = await next(100);
        const { outdated } = JSON.parse(await ask("stats"));
        return { outdated: outdated - before.outdated, old: rest.filter((ack) => (ack - newest) >> 0 < 0) };
      };
      const { outdated, old } = await s.afterWarmUp(late, (seen) => seen.outdated > 0);
      expect(old).toEqual([]);
      expect(outdated).toBeGreaterThan(0);
    }, 30_000);
  }
});
