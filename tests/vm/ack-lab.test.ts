// SPDX-License-Identifier: MIT
// How well `tcpx ack` does what it promises: real delays in QEMU under virtual time, against the same
// traffic without tcpx in the same guest. What is lossy is in tests/bench/ack-lab.ts, and not asserted.

import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { type Boot, boot } from "../../scripts/vm/boot.ts";
import { missingTool, vmFolder } from "../../scripts/vm/host.ts";
import { buildInitrd } from "../../scripts/vm/initrd.ts";
import { type Kernel, kernels, type Missing } from "../../scripts/vm/kernels.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { formatOutcomes, type Measured, type Outcome, parseOutcomes } from "./ack-lab-report.ts";
import { ALGORITHMS, FETCHES, KEEP_AGAIN, nameOf, PLANS, type Scenario } from "./ack-lab-scenarios.ts";

/** A guest under virtual time is one thread of QEMU. */
const LIMIT_MS = 30 * 60_000;
const GUEST = { script: "ack-lab-guest.ts", limitSeconds: 1500, seed: 1 };

async function guestKernels(): Promise<(series: string) => Kernel | Missing> {
  const reason = missingTool();
  const all = reason === undefined ? await kernels() : [];
  return (wanted) => all.find(({ series }) => series === wanted) ?? { series: wanted, reason: reason! };
}

const kernelOf = await guestKernels();
const { path: temporary, cleanUp } = vmFolder();
const boots = new Map<string, Boot>();

beforeAll(async () => {
  if (missingTool() !== undefined) return;
  const initrd = join(temporary, "initrd");
  await buildInitrd(tcpxPath(), initrd);
  await Promise.all(
    Object.entries(PLANS).map(async ([plan, { series }]) => {
      const kernel = kernelOf(series);
      if ("dir" in kernel) boots.set(plan, await boot(kernel, initrd, { ...GUEST, plan }));
    }),
  );
}, LIMIT_MS);

afterAll(() => {
  cleanUp();
  for (const [plan, { console: said, seconds, problem }] of boots) {
    console.log(`\n${plan}, ${seconds.toFixed(0)} s:\n${formatOutcomes(parseOutcomes(said))}`);
    if (problem) console.log(`${problem}; its console:\n${said}`);
  }
});

/** What a plan has measured, by scenario. */
class Results {
  constructor(private readonly plan: string) {}

  get all(): Outcome[] {
    return parseOutcomes(boots.get(this.plan)?.console ?? "");
  }

  of(what: string, algorithm: Scenario["algorithm"], rules: Scenario["rules"]): Measured {
    const name = nameOf({ what, algorithm, rules });
    const measured = this.all.find((outcome) => outcome.name === name)?.measured;
    if (!measured) throw new Error(`not measured: ${name}`);
    return measured;
  }
}

/** @param room what a packet carries, compared to one of the control */
function expectThinned(measured: Measured, control: Measured, room = 1): void {
  expect(control.ratio).toBeLessThan(2.1);
  expect(measured.ratio).toBeGreaterThanOrEqual(6);
  expect(measured.mbit! / (control.mbit! * room)).toBeGreaterThanOrEqual(0.99);
}

/** Completes as fast as the control, and the sender had no more reason to send anything again. */
function expectAsGood(measured: Measured, control: Measured): void {
  expect(measured.p50! / control.p50!).toBeLessThanOrEqual(1.02);
  for (const name of ["TCPLossProbes", "TCPTimeouts", "RetransSegs"] as const) {
    expect(`${name}: ${Math.max(0, measured.counters[name] - control.counters[name])} more`).toBe(
      `${name}: 0 more`,
    );
  }
}

/** What every plan has. */
function thins(plan: string, scenarios: Scenario[]): void {
  const results = new Results(plan);

  test("every scenario ran to its end, no data was lost, and the kernel did not complain", () => {
    expect(boots.get(plan)?.problem).toBeUndefined();
    expect(results.all.map(({ name }) => name)).toEqual([...scenarios.map(nameOf), "end", "kernel log"]);
    expect(results.all.filter(({ error }) => error !== undefined)).toEqual([]);
    const lossy = results.all.filter(({ measured: m }) => m && !(m.intact && m.sent === m.received));
    expect(lossy).toEqual([]);
  });

  for (const { what, rules, algorithm } of scenarios) {
    if (what !== "bulk" || rules !== "every 8") continue;
    test(`${algorithm}: --every 8 is at least 6 segments per ACK, at 0.99 of the throughput`, () => {
      expectThinned(results.of(what, algorithm, rules), results.of(what, algorithm, "default"));
    });
  }

  if (scenarios.some(({ what }) => what === "IPv6")) {
    test("IPv6: --every 8 does what it does with IPv4", () => {
      const control = results.of("bulk", "cubic", "default");
      expectThinned(results.of("IPv6", "cubic", "every 8"), control, 1428 / 1448);
    });
  }
}

function claims(plan: string): void {
  const results = new Results(plan);

  for (const algorithm of ALGORITHMS) {
    test(`${algorithm}: --every 1 is at most 1.1 segments per ACK`, () => {
      expect(results.of("bulk", algorithm, "every 1").ratio).toBeLessThanOrEqual(1.1);
    });
  }

  test("an accepted request for 8 does what --every 8 does", () => {
    expectThinned(results.of("upload", "cubic", "asked 8"), results.of("upload", "cubic", "default"));
  });

  for (const what of FETCHES) {
    for (const rules of ["every 8", "every 1"] as const) {
      test(`replies of 100 KB, ${what}, ${rules}: as fast as without, and nothing sent again`, () => {
        const controls = [what, ...(what === "keep" ? [KEEP_AGAIN] : [])];
        const measured = controls.map((name) => results.of(name, "cubic", "default"));
        const slowest = measured.reduce((a, b) => (a.p50! < b.p50! ? b : a));
        expectAsGood(results.of(what, "cubic", rules), slowest);
      });
    }
  }

  for (const rules of ["every 8", "every 1"] as const) {
    test(`${rules}: a second after the agent is killed it is as without tcpx`, () => {
      const control = results.of("bulk", "cubic", "default").ratio!;
      const kill = results.of("kill", "cubic", rules).kill!;
      const far = rules === "every 8" ? kill.before / control : control / kill.before;
      expect(far).toBeGreaterThan(1.5);
      expect(kill.after / control).toBeWithin(0.9, 1.1);
    });
  }
}

for (const [plan, { series, path, scenarios, isShort }] of Object.entries(PLANS)) {
  const tcp = path.accEcn ? `, AccECN ${path.accEcn}` : "";
  const name = `Linux ${series}, ${path.rttMs} ms, ${path.mbit} Mbit/s${tcp}`;
  const kernel = kernelOf(series);
  if ("reason" in kernel) test.skip(`${name} [needs: ${kernel.reason}]`, () => {});
  else
    describe(name, () => {
      thins(plan, scenarios);
      if (!isShort) claims(plan);
    });
}
