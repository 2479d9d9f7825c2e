// SPDX-License-Identifier: MIT
// Counters and run statistics of a scope.

import { join } from "node:path";
import type { Bridge } from "../bridge/bridge.ts";
import { unwrap } from "../bridge/bridge.ts";
import { lookup, openPin, valueSize } from "../bridge/maps.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import { Counter, SlotCounter, structs } from "../layout/layout.generated.ts";
import { decode, sizeOf } from "../layout/struct.ts";
import { findBpffs } from "../system/host.ts";
import { scopeDir } from "./pins.ts";

/** Those that every extension has, by their numbers. */
export const COUNTER_NAMES = Object.entries(Counter)
  .filter(([, number]) => number < Counter.OWN)
  .map(([name]) => name.toLowerCase());

export interface Counters {
  /** By extension id, then by number: COUNTER_NAMES, and behind them the extension's own. */
  count: number[][];
  /** The last helper call that the kernel refused. */
  error: { line: number; code: number } | null;
}

/** Is it no sum, but the most of each CPU? */
const isMost = (ext: number, counter: number) =>
  ext >= FIRST_SLOT && (counter === SlotCounter.LONG_BYTES || counter === SlotCounter.SHORT_BYTES);

/** Sums the per-CPU counters of a scope; undefined when it has none, or an older tcpx's that are others. */
export function readCounters(lib: Bridge, id: bigint, layout?: number): Counters | undefined {
  const bpffs = findBpffs(lib);
  using map = bpffs === undefined ? undefined : openPin(lib, join(scopeDir(bpffs, id, layout), "counters"));
  const size = sizeOf("tcpx_counters");
  if (!map || valueSize(lib, map.fd) !== size) return undefined;
  const cpus = unwrap("possible CPUs", lib.tcpx_possible_cpus());
  const bytes = lookup(lib, map.fd, new Uint8Array(4), size * cpus);
  const result: Counters = {
    count: Array.from({ length: structs.tcpx_counters.fields.count.dims[0] }, () =>
      Array<number>(Counter.COUNT).fill(0),
    ),
    error: null,
  };
  for (let cpu = 0; cpu < cpus; cpu++) {
    const c = decode("tcpx_counters", bytes, cpu * size);
    for (const [ext, row] of c.count.entries()) {
      const sums = result.count[ext]!;
      for (const [i, n] of row.entries())
        sums[i] = isMost(ext, i) ? Math.max(sums[i]!, Number(n)) : sums[i]! + Number(n);
    }
    if (c.error_code !== 0) result.error = { line: c.error_line, code: c.error_code };
  }
  return result;
}
