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

/** Mean of the paired ratios with its 95 % confidence interval (normal approximation). */
export function interval(sample: Sample, base: Sample): string {
  const ratios = sample.map((value, i) => value / base[i]!);
  const mean = ratios.reduce((sum, r) => sum + r, 0) / ratios.length;
  const variance = ratios.reduce((sum, r) => sum + (r - mean) ** 2, 0) / (ratios.length - 1);
  const half = 1.96 * Math.sqrt(variance / ratios.length);
  return `${mean.toFixed(3)} +- ${half.toFixed(3)}`;
}
