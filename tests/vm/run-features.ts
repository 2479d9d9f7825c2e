// SPDX-License-Identifier: MIT
// Tries features in a guest, one after the other: a line each, and a last line that counts them.

import { type Finding, formatFinding, type Result } from "./report.ts";
import { Unsupported } from "./support.ts";

const LIMIT_MS = 180_000;

export interface Attempt {
  name: string;
  run(): Promise<Result>;
}

async function tryFeature({ name: feature, run }: Attempt, limitMs: number): Promise<Finding> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${limitMs / 1000} s`)), limitMs);
  });
  try {
    return { feature, ...(await Promise.race([run(), late])) };
  } catch (error) {
    if (error instanceof Unsupported) return { feature, outcome: "unsupported", detail: error.message };
    console.log(Bun.inspect(error));
    return { feature, outcome: "FAILED", detail: error instanceof Error ? error.message : `${error}` };
  } finally {
    clearTimeout(timer);
  }
}

/** Tries them all, and ends this process. */
export async function runFeatures(attempts: readonly Attempt[], limitMs = LIMIT_MS): Promise<never> {
  for (const attempt of attempts) {
    const started = performance.now();
    console.log(formatFinding(await tryFeature(attempt, limitMs)));
    console.log(`guest: ${attempt.name} took ${((performance.now() - started) / 1000).toFixed(1)} s`);
  }
  console.log(`VM: end ${attempts.length}`);
  process.exit(0);
}
