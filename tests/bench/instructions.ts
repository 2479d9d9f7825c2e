// SPDX-License-Identifier: MIT
// The loops of connections.ts and programs.ts in QEMU under virtual time: its clock counts instructions,
// so nothing that the machine does meanwhile has an influence. Caches and branches cost nothing there.

import { CASES } from "./connections.ts";
import { withGuests } from "./guest.ts";
import { PROGRAMS } from "./programs.ts";
import { quantile } from "./stats.ts";

/** The table's rows: virtual microseconds, of 500 instructions each, and their ratio to no tcpx. */
export async function instructionRows(loops: readonly string[]): Promise<string[][]> {
  const guest = { script: "cost-guest.ts", seed: 1, limitSeconds: 900 };
  const text = await withGuests((start) => start(guest), Object.keys(PROGRAMS));
  const found = [...text.matchAll(/^VM: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!));
  return loops.flatMap((loop, i) => {
    const of = (name: string): number[] =>
      found.filter((f) => f.loop === i && f.name === name).map(({ nanos }) => nanos);
    const base = quantile(of(CASES[0]!.name), 0.5);
    return CASES.map(({ name }) => {
      const [low, middle, high] = [0, 0.5, 1].map((q) => quantile(of(name), q));
      const range = `${(low! / 1000).toFixed(2)}..${(high! / 1000).toFixed(2)}`;
      return [loop, name, (middle! / 1000).toFixed(2), range, (middle! / base).toFixed(4)];
    });
  });
}
