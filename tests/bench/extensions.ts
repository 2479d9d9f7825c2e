// SPDX-License-Identifier: MIT
// What an extension of the host costs: each connection, in QEMU where the clock counts instructions; and to add it.

import { mkdirSync, mkdtempSync, rmdirSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { objectFrom, paceObject, writePackage } from "../support/ext-packages.ts";
import { cgroupMount } from "../support/lab.ts";
import { EXTENSION_CASES, NONE, PACKAGES } from "./extension-cases.ts";
import { withGuests } from "./guest.ts";
import { quantile, type Sample, summary } from "./stats.ts";

/** As pace.bpf.c, with another option of the socket. */
const PRIO = `#define SOL_SOCKET 1
#define SO_PRIORITY 12
TCPX_HOOK(established)
{
	if (tcpx_active(TCPX_LOCAL) && !tcpx_has_outcome())
		tcpx_apply(SOL_SOCKET, SO_PRIORITY, tcpx_value(TCPX_LOCAL, 0) & 3);
	return 0;
}`;

/** NAME.tcpx of each, in `dir`. */
async function pack(dir: string): Promise<void> {
  mkdirSync(dir, { recursive: true });
  await writePackage(dir, "prio", await objectFrom(dir, PRIO));
  await writePackage(dir, "pace", await paceObject(dir));
}

/** The table's rows: virtual microseconds, of 500 instructions each, and their ratios. */
export async function extensionCostRows(): Promise<string[][]> {
  const guest = { script: "ext-cost-guest.ts", seed: 1, limitSeconds: 900 };
  const text = await withGuests(
    (start) => start(guest),
    [],
    (root) => pack(join(root, PACKAGES)),
  );
  const found = [...text.matchAll(/^VM: (\{.*\})$/gm)].map(([, json]) => JSON.parse(json!));
  const of = (name: string): number[] => found.filter((f) => f.name === name).map(({ nanos }) => nanos);
  return EXTENSION_CASES.map(({ name, base }) => {
    const [low, middle, high] = [0, 0.5, 1].map((q) => quantile(of(name), q));
    const range = `${(low! / 1000).toFixed(2)}..${(high! / 1000).toFixed(2)}`;
    const ratio = (to: string) => (middle! / quantile(of(to), 0.5)).toFixed(4);
    return [name, (middle! / 1000).toFixed(2), range, ratio(NONE), ratio(base), base];
  });
}

const TCPX = process.env.TCPX_BIN ?? resolve(import.meta.dir, "../../dist/tcpx");
const ROUNDS = 20;

function timed(args: string[]): number {
  const start = performance.now();
  const { exitCode, stderr } = Bun.spawnSync([TCPX, ...args], { stdout: "ignore", stderr: "pipe" });
  const ms = performance.now() - start;
  if (exitCode !== 0) throw new Error(`tcpx ${args.join(" ")}: exit ${exitCode}: ${stderr}`);
  return ms;
}

/** Wall time of adding one, which is there no more after it. It changes /etc/tcpx: in a namespace of mounts of its own. */
export async function addingRows(): Promise<string[][]> {
  const dir = mkdtempSync(join(tmpdir(), "tcpx-bench-ext-"));
  const cgroup = join(cgroupMount(), `tcpx-bench-ext-${process.pid}`);
  mkdirSync(cgroup);
  try {
    await pack(dir);
    const [file, place] = [join(dir, "prio.tcpx"), ["--cgroup", cgroup, "--wait"]];
    const cases: { name: string; goal?: number; args: string[] }[] = [
      { name: "tcpx version", args: ["version"] },
      { name: "ext add", goal: 100, args: ["ext", "add", file] },
      { name: "ext add, already there", args: ["ext", "add", file] },
      { name: "first rule", args: ["prio", "set", "64k", ...place] },
      { name: "ext remove, with its rule", args: ["ext", "remove", "prio"] },
      { name: "ext add --dry-run", args: ["ext", "add", file, "--dry-run"] },
      { name: "ext verify", args: ["ext", "verify", file] },
    ];
    const samples = new Map<string, Sample>(cases.map(({ name }) => [name, []]));
    for (let round = -1; round < ROUNDS; round++)
      for (const { name, args } of cases) {
        const ms = timed(args);
        if (round >= 0) samples.get(name)!.push(ms);
      }
    return cases.map(({ name, goal }) => {
      const { median, low, high, ratio } = summary(samples.get(name)!, samples.get("tcpx version")!);
      const range = `${low.toFixed(1)}..${high.toFixed(1)}`;
      return [name, median.toFixed(1), range, ratio, goal === undefined ? "" : `<= ${goal}`];
    });
  } finally {
    rmdirSync(cgroup);
    rmSync(dir, { recursive: true });
  }
}
