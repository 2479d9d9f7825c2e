// SPDX-License-Identifier: MIT
// The ACK lab with loss: bulk runs in QEMU under virtual time, the same with several seeds. A single
// lossy run says little, so the table shows the spread.

import { type Measured, type Outcome, parseOutcomes } from "../vm/ack-lab-report.ts";
import { withGuests } from "./guest.ts";
import { quantile } from "./stats.ts";

const SEEDS = Number(process.env.SEEDS ?? 6);
const LOSSES = ["0.1", "1"];
const AT_ONCE = 2;

type Pick = (measured: Measured) => number;

/** Median and extremes of a quantity over the runs. */
function spread(runs: Measured[], digits: number, pick: Pick): string {
  const values = runs.map(pick);
  const [low, middle, high] = [0, 0.5, 1].map((q) => quantile(values, q).toFixed(digits));
  return `${middle} (${low}..${high})`;
}

function rowOf(loss: string, name: string, outcomes: Outcome[]): string[] {
  const runs = outcomes.flatMap(({ measured }) => (measured ? [measured] : []));
  const failed = outcomes.find(({ error }) => error !== undefined)?.error;
  if (runs.length === 0) return [`${loss} %`, name, `0 runs: ${failed}`];
  const whole = runs.every(({ intact, sent, received }) => intact && sent === received);
  return [
    `${loss} %`,
    name.replace(/^bulk, /, ""),
    spread(runs, 2, ({ mbit }) => mbit!),
    spread(runs, 1, ({ ratio }) => ratio!),
    spread(runs, 0, ({ counters }) => counters.RetransSegs),
    spread(runs, 0, ({ counters }) => counters.TCPLossProbes),
    spread(runs, 0, ({ counters }) => counters.TCPTimeouts),
    spread(runs, 0, ({ counters }) => counters.TCPDSACKRecv),
    `${runs.length}${whole ? "" : ", DATA LOST"}${failed === undefined ? "" : `, ${failed}`}`,
  ];
}

/** Every loss with every seed, two guests at a time; the table's rows. */
export async function ackLabRows(): Promise<string[][]> {
  const left = LOSSES.flatMap((loss) => Array.from({ length: SEEDS }, (_, i) => ({ loss, seed: i + 1 })));
  const found = new Map<string, Outcome[]>(LOSSES.map((loss) => [loss, []]));
  await withGuests((start) => {
    const worker = async () => {
      for (let next = left.shift(); next; next = left.shift()) {
        const plan = `loss-${next.loss}`;
        const text = await start({ script: "ack-lab-guest.ts", plan, seed: next.seed, limitSeconds: 1500 });
        found.get(next.loss)!.push(...parseOutcomes(text));
      }
    };
    return Promise.all(Array.from({ length: AT_ONCE }, worker));
  });
  return LOSSES.flatMap((loss) => {
    const outcomes = found.get(loss)!.filter(({ name }) => name.startsWith("bulk"));
    const names = [...new Set(outcomes.map(({ name }) => name))];
    return names.map((name) =>
      rowOf(
        loss,
        name,
        outcomes.filter((outcome) => outcome.name === name),
      ),
    );
  });
}
