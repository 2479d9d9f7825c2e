// SPDX-License-Identifier: MIT
// What options on data cost TSO and GRO: bytes under one TCP header in first flights, with and without,
// and in bulk transfers, where the options are gone after the first flight.

import { type Merger, Merging, MSS } from "../support/merging.ts";
import { optionsOf } from "../support/request-lab.ts";
import { quantile } from "./stats.ts";

/** So that a flight of 36 segments, 37 with options in them, leaves at once; it puts nothing on the wire. */
const WINDOW = "iw set 40 --local";
const CASES: [name: string, rules: string[]][] = [
  ["no options", [WINDOW]],
  ["uto", [WINDOW, "uto set 30s"]],
  ["uto, cc-request", [WINDOW, "uto set 30s", "cc-request set cubic"]],
];
const ROUNDS = 5;
const LOADS = [
  { name: "first flights", connections: 20, bytes: 36 * MSS },
  { name: "bulk", connections: 1, bytes: 20_000_000 },
];

interface Sizes {
  /** Payload of a packet at the receiver. */
  bytes: number[];
  /** The share of packets larger than a segment that carried options. */
  withOptions: number;
  merged: number;
}

async function round(m: Merging, sizes: Sizes, load: (typeof LOADS)[number]): Promise<void> {
  const { sent, received } = await m.flights(load.connections, load.bytes);
  const total = received.reduce((sum, { length }) => sum + length, 0);
  // a capture that has missed packets says nothing
  const wanted = load.connections * load.bytes;
  if (total < wanted || sent.length === 0) throw new Error(`captured ${total} bytes of ${wanted}`);
  const merged = received.filter(({ length }) => length > MSS);
  sizes.bytes.push(total / received.length);
  sizes.merged += merged.length;
  sizes.withOptions += merged.filter((packet) => optionsOf(packet, 28, 254) !== "").length;
}

async function rowsFor(m: Merging, merger: Merger, load: (typeof LOADS)[number]): Promise<string[][]> {
  const results = CASES.map(([name]) => ({ name, sizes: { bytes: [], withOptions: 0, merged: 0 } as Sizes }));
  await m.use(merger);
  for (let i = 0; i < ROUNDS; i++) {
    for (const [at, [, rules]] of CASES.entries()) {
      for (const words of rules) await m.r.rule(m.r.client, words);
      await round(m, results[at]!.sizes, load);
      await m.r.clear();
    }
  }
  const base = quantile(results[0]!.sizes.bytes, 0.5);
  return results.map(({ name, sizes }) => {
    const median = quantile(sizes.bytes, 0.5);
    const share = `${sizes.withOptions} of ${sizes.merged}`;
    const low = Math.min(...sizes.bytes).toFixed(0);
    const range = `${low}..${Math.max(...sizes.bytes).toFixed(0)}`;
    return [load.name, merger, name, median.toFixed(0), range, (median / base).toFixed(3), share];
  });
}

/** In turn, all loads with TSO and with GRO; the table's rows. */
export async function mergingRows(): Promise<string[][]> {
  await using m = await Merging.create();
  const rows: string[][] = [];
  for (const load of LOADS) {
    for (const merger of ["TSO", "GRO"] as const) rows.push(...(await rowsFor(m, merger, load)));
  }
  return rows;
}
