// SPDX-License-Identifier: MIT
// The loop of connections.ts in QEMU under virtual time: its clock counts instructions, so nothing that
// the machine does meanwhile has an influence. Caches and branches cost nothing there.

import { join } from "node:path";
import { boot } from "../../scripts/vm/boot.ts";
import { missingTool, vmFolder } from "../../scripts/vm/host.ts";
import { buildInitrd } from "../../scripts/vm/initrd.ts";
import { kernels } from "../../scripts/vm/kernels.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { CASES } from "./connections.ts";
import { quantile } from "./stats.ts";

const SERIES = "6.12";

/** The table's rows: virtual microseconds, of 500 instructions each, and their ratio to no tcpx. */
export async function instructionRows(): Promise<string[][]> {
  const missing = missingTool();
  if (missing !== undefined) throw new Error(`it needs ${missing}`);
  const kernel = (await kernels()).find(({ series }) => series === SERIES)!;
  if ("reason" in kernel) throw new Error(`it needs ${kernel.reason}`);
  const { path, cleanUp } = vmFolder();
  try {
    const initrd = join(path, "initrd");
    await buildInitrd(tcpxPath(), initrd);
    const run = await boot(kernel, initrd, { script: "cost-guest.ts", seed: 1, limitSeconds: 600 });
    if (run.problem) throw new Error(`${run.problem}\n${run.console}`);
    const found = [...run.console.matchAll(/^VM: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!));
    const of = (name: string): number[] => found.filter((f) => f.name === name).map(({ nanos }) => nanos);
    const base = quantile(of(CASES[0]!.name), 0.5);
    return CASES.map(({ name }) => {
      const [low, middle, high] = [0, 0.5, 1].map((q) => quantile(of(name), q));
      const range = `${(low! / 1000).toFixed(2)}..${(high! / 1000).toFixed(2)}`;
      return [name, (middle! / 1000).toFixed(2), range, (middle! / base).toFixed(4)];
    });
  } finally {
    cleanUp();
  }
}
