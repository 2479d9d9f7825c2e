// SPDX-License-Identifier: MIT
// Runs inside the guest: every feature in turn, one line each, and a last line that counts them.

import { bpfObjects } from "./bpf-objects.ts";
import { features } from "./features.ts";
import { type Finding, formatFinding, type Result } from "./report.ts";
import { Unsupported } from "./support.ts";

const LIMIT_MS = 90_000;

// From here on the executable is tcpx again: what is started below is to run it as a user would.
delete process.env.BUN_BE_BUN;

async function tryFeature(feature: string, run: () => Promise<Result>): Promise<Finding> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
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

const before = bpfObjects();
for (const { name, run } of features) {
  const started = performance.now();
  const finding = await tryFeature(name, () => run({ before }));
  console.log(formatFinding(finding));
  console.log(`guest: ${name} took ${((performance.now() - started) / 1000).toFixed(1)} s`);
}
console.log(`VM: end ${features.length}`);
process.exit(0);
