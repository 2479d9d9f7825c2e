// SPDX-License-Identifier: MIT
// What a scenario of the ACK lab has measured, and its way from the guest to the host.

/** In milliseconds of the guest's monotonic clock, and as TCP_INFO counts. */
export interface Sample {
  at: number;
  segments: number;
  acks: number;
  retransmitted: number;
  /** Bytes. */
  acked: number;
}

/** Of the sender's network namespace, while the scenario ran. */
export interface Counters {
  TCPLossProbes: number;
  TCPTimeouts: number;
  RetransSegs: number;
  TCPDSACKRecv: number;
  TCPSpuriousRTOs: number;
}

export interface Measured {
  sent: number;
  received: number;
  /** Every byte was what it had to be. */
  intact: boolean;
  counters: Counters;
  /** The rest is of bulk runs, */
  mbit?: number;
  /** Data segments per ACK, in the second half. */
  ratio?: number;
  segments?: number;
  acks?: number;
  kill?: { before: number; after: number; settledMs: number } | undefined;
  /** and of requests: milliseconds. */
  p50?: number;
  p99?: number;
}

export interface Outcome {
  name: string;
  measured?: Measured;
  /** Why there is none. */
  error?: string;
}

export const formatOutcome = (outcome: Outcome) => `VM: ${JSON.stringify(outcome)}`;

export function parseOutcomes(console: string): Outcome[] {
  return [...console.matchAll(/^VM: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!) as Outcome);
}

/** Data segments per ACK between two moments; NaN without ACKs. */
export function ratioBetween(samples: Sample[], from: number, to: number): number {
  const within = samples.filter(({ at }) => at >= from && at <= to);
  const [first, last] = [within[0], within.at(-1)];
  if (!first || !last || last.acks === first.acks) return Number.NaN;
  return (last.segments - first.segments) / (last.acks - first.acks);
}

/** How long after a moment every further half second had at most this ratio, in milliseconds. */
export function settledAfter(samples: Sample[], moment: number, most: number): number {
  let settled = 0;
  for (const { at } of samples) {
    if (at < moment || at + 500 > samples.at(-1)!.at) continue;
    if (ratioBetween(samples, at, at + 500) > most) settled = at + 100 - moment;
  }
  return settled;
}

const text = (value: number | undefined, digits: number) => value?.toFixed(digits) ?? "";

/** Header and rows of a table of what was measured. */
function rowsOf(outcomes: Outcome[]): string[][] {
  const head = ["", "Mbit/s", "segs/ACK", "ACKs", "p50 ms", "p99 ms", "probes", "RTOs", "rexmit", "DSACK"];
  const rows = outcomes.flatMap(({ name, measured: m }) => {
    if (!m) return [];
    const { TCPLossProbes, TCPTimeouts, RetransSegs, TCPDSACKRecv } = m.counters;
    const kill = m.kill ? ` (${text(m.kill.before, 1)} -> ${text(m.kill.after, 1)})` : "";
    const measured = [text(m.mbit, 2), text(m.ratio, 2) + kill, `${m.acks ?? ""}`];
    const counted = [TCPLossProbes, TCPTimeouts, RetransSegs, TCPDSACKRecv].map(String);
    return [[name, ...measured, text(m.p50, 1), text(m.p99, 1), ...counted]];
  });
  return [head, ...rows];
}

/** A table of what was measured, and a line for each scenario that was not. */
export function formatOutcomes(outcomes: Outcome[]): string {
  const rows = rowsOf(outcomes);
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((row) => row[i]!.length)));
  const cell = (value: string, i: number) =>
    i === 0 ? value.padEnd(widths[i]!) : value.padStart(widths[i]!);
  const lines = rows.map((row) => row.map(cell).join("  ").trimEnd());
  const failed = outcomes.flatMap(({ name, error }) => (error === undefined ? [] : [`${name}: ${error}`]));
  return [...lines, ...failed].join("\n");
}
