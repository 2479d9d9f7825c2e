// SPDX-License-Identifier: MIT
// Runs inside the guest: every scenario of a plan, one line each, the kernel's log, and a last line that
// counts them.

import { formatOutcome, type Outcome } from "./ack-lab-report.ts";
import { AckLab } from "./ack-lab-run.ts";
import { nameOf, planOf, type Scenario } from "./ack-lab-scenarios.ts";
import { kernelLog } from "./features.ts";

const LIMIT_MS = 120_000;

async function tried(name: string, work: () => Promise<Partial<Outcome>>): Promise<Outcome> {
  let timer: Timer | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not finished after ${LIMIT_MS / 1000} s`)), LIMIT_MS);
  });
  try {
    return { name, ...(await Promise.race([work(), late])) };
  } catch (error) {
    return { name, error: error instanceof Error ? error.message : `${error}` };
  } finally {
    clearTimeout(timer);
  }
}

async function measure(lab: AckLab, scenario: Scenario): Promise<Partial<Outcome>> {
  return { measured: await lab.run(scenario) };
}

const { path, scenarios } = planOf(process.env.TCPX_PLAN ?? "");
const lab = await AckLab.create(path);
for (const scenario of scenarios) {
  const name = nameOf(scenario);
  console.log(formatOutcome(await tried(name, () => measure(lab, scenario))));
}
console.log(formatOutcome(await tried("end", () => lab[Symbol.asyncDispose]().then(() => ({})))));
console.log(formatOutcome(await tried("kernel log", async () => kernelLog().then(() => ({})))));
console.log(`VM: end ${scenarios.length + 2}`);
process.exit(0);
