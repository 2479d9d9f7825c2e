// SPDX-License-Identifier: MIT
// What the ACK agent takes when its work grows: descriptors, processes, memory. The full sizes, and how long others
// wait, are measured by `bun run bench growth`.
import { afterEach, expect, test } from "bun:test";
import { Growth, type Held } from "../support/growth.ts";
import { until } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";

/** Of a namespace that is served with routes and raw sockets: FDS_EACH of served.c. */
const EACH = 12;
/** KB of its own that an agent may take here: 8,000 at first, twice that after a storm of requests. */
const OWN = 24_000;

describeIf(labRequirement.ok, labRequirement.reason)("an ACK agent with much to do", () => {
  let g: Growth | undefined;

  afterEach(async () => {
    await g?.a.clear();
    await g?.[Symbol.asyncDispose]();
    g = undefined;
  });

  const expectBounded = (before: Held, after: Held, namespaces: number) => {
    expect(after.namespaces).toBeLessThanOrEqual(namespaces);
    expect(after.descriptors - before.descriptors).toBeLessThanOrEqual(EACH * after.namespaces);
    expect(after.guards).toBeLessThanOrEqual(after.namespaces);
    expect(after.threads).toBeLessThanOrEqual(before.threads + 2); // those of the runtime come and go
    expect(after.own).toBeLessThan(OWN);
  };

  test("namespaces that come and go: each is served, and takes what one takes", async () => {
    g = await Growth.create();
    const before = await g.held();
    const { mark, raw } = await g.crowd(60, 10, 0.1);
    expect([mark.length, raw.length]).toEqual([60, 60]);
    expect([...mark, ...raw].filter((ms) => ms < 0)).toEqual([]);
    expectBounded(before, await g.held(), 60);
  }, 120_000);

  test("routes that flap keep nobody else waiting, and are right in the end", async () => {
    g = await Growth.create();
    const before = await g.held();
    const flap = g.flap(40_000);
    const { first, pid } = await flap.says();
    expect(first).toBeGreaterThanOrEqual(0);
    flap.go();
    const { mark, raw } = await g.crowd(15, 1, 0);
    expect([...mark, ...raw].filter((ms) => ms < 0)).toEqual([]);
    expectBounded(before, await g.held(), 16);
    await flap.next();
    expect((await flap.next()).again).toBeGreaterThanOrEqual(0);
    const count = (table: string) =>
      g!.a.host
        .sh(`nsenter -t ${pid} -n ip route show table ${table} | grep -c '^10\\.' || true`)
        .then(Number);
    expect(await count("main")).toBe(40_000);
    expect(await until(async () => (await count("31904")) === 40_000)).toBe(true);
    flap.go();
  }, 180_000);

  test("thinned connections take nothing of the agent's; at rest it has given back what it does not need", async () => {
    g = await Growth.create();
    const before = await g.held();
    const many = g.thinned(200, 300_000);
    expect(await many.says()).toEqual({ open: 200 });
    await many.says();
    expect((await g.counted()).dropped).toBeGreaterThan(0);
    expectBounded(before, await g.held(), 1);
    const rest = await g.atRest();
    expect(rest.resident).toBeLessThan(before.resident);
    expect(rest.own).toBeLessThan(OWN);
    many.go();
  }, 120_000);
});
