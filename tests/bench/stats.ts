// SPDX-License-Identifier: MIT
// Medians, quartiles and paired ratios.

export type Sample = number[];

export function quantile(sample: Sample, q: number): number {
  const sorted = [...sample].sort((a, b) => a - b);
  const at = (sorted.length - 1) * q;
  const [low, high] = [sorted[Math.floor(at)]!, sorted[Math.ceil(at)]!];
  return low + (high - low) * (at - Math.floor(at));
}

export interface Summary {
  median: number;
  /** Quartiles. */
  low: number;
  high: number;
  /** Median and quartiles of the ratio to the same round of another sample. */
  ratio: string;
}

/** Summarizes a sample; `base` was measured in turn with it, so that a ratio holds on a noisy machine. */
export function summary(sample: Sample, base: Sample): Summary {
  const ratios = sample.map((value, i) => value / base[i]!);
  const ratio = [0.5, 0.25, 0.75].map((q) => quantile(ratios, q).toFixed(3));
  return {
    median: quantile(sample, 0.5),
    low: quantile(sample, 0.25),
    high: quantile(sample, 0.75),
    ratio: `${ratio[0]} (${ratio[1]}..${ratio[2]})`,
  };
}
