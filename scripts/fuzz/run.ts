// SPDX-License-Identifier: MIT
// Runs a harness, as nobody when we are root: it needs no rights, and what it finds should have none.

import { chmod, copyFile, mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { writeSeeds } from "./seeds.ts";

export interface Outcome {
  runs: number;
  /** Edges of the code that were taken, harness and bridge. */
  coverage: number;
  /** Inputs that each did something new, as "inputs/bytes". */
  corpus: string;
  /** What was found, the first line first; empty: nothing. */
  found: string[];
  /** Somebody has ended it, with SIGINT or SIGTERM. */
  interrupted: boolean;
}

export interface Limits {
  /** Ends after so many runs; the same ones each time. */
  runs?: number;
  seconds?: number;
  /** Where inputs are kept that do something new, and those that fail. */
  keep?: string;
}

const NOBODY = 65534;
const LONGEST = 4096; // bytes of an input
/** Seconds for one input: a machine may be busy. */
const PATIENCE = 60;
/** libFuzzer's exit code after SIGINT and SIGTERM. */
const INTERRUPTED = 72;

const asNobody = () =>
  process.getuid?.() === 0
    ? ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--no-new-privs", "--"]
    : [];

/** What was found, then where in the bridge. */
function findings(text: string): string[] {
  const lines = text.split("\n").map((line) => line.trim());
  const what = lines.filter((line) => /^FOUND: |runtime error: |ERROR: |deadly signal/.test(line));
  const where = lines.filter((line) => /^#\d+ .*native-loader\//.test(line)).slice(0, 3);
  const why = what.find((line) => !line.includes("deadly signal")) ?? what[0];
  return [why ?? "it ended without a reason", ...where];
}

function judge(text: string, code: number | null, runs = 0): Outcome {
  const last = [...text.matchAll(/^#\d+\s+\w+\s+cov: (\d+) ft: \d+ corp: (\S+)/gm)].at(-1);
  const executed = Number(text.match(/stat::number_of_executed_units:\s*(\d+)/)?.[1] ?? 0);
  const interrupted = code === INTERRUPTED;
  let found: string[] = [];
  if (code !== 0 && !interrupted) found = findings(text);
  else if (executed < runs) found = [`it made ${executed} runs instead of ${runs}`];
  return { runs: executed, coverage: Number(last?.[1] ?? 0), corpus: last?.[2] ?? "", found, interrupted };
}

/**
 * Addresses are among what libFuzzer learns from: the same ones each time, where that is allowed. Sanitizers before
 * clang 17 also fail now and then where vm.mmap_rnd_bits is 32.
 */
const sameAddresses = () =>
  Bun.which("setarch") && Bun.spawnSync(["setarch", "-R", "true"]).success ? ["setarch", "-R"] : [];

/** Names are relative to `work`, and seeds in an order of their own: a run is to be like the one before. */
async function execute(work: string, limits: Limits): Promise<Outcome> {
  const seeds = (await readdir(join(work, "seeds"))).sort().map((name) => `seeds/${name}`);
  const flags = ["-seed=1", `-max_len=${LONGEST}`, `-timeout=${PATIENCE}`, "-print_final_stats=1"];
  if (limits.runs !== undefined) flags.push(`-runs=${limits.runs}`);
  if (limits.seconds !== undefined) flags.push(`-max_total_time=${limits.seconds}`);
  flags.push("-artifact_prefix=found/", `-seed_inputs=${seeds.join(",")}`, "corpus");
  const child = Bun.spawn([...asNobody(), ...sameAddresses(), "env", "./harness", ...flags], {
    cwd: work,
    env: { PATH: process.env.PATH, LC_ALL: "C" },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
  });
  const text = await child.stderr.text();
  return judge(text, await child.exited, limits.runs);
}

async function copyAll(from: string, to: string): Promise<void> {
  await mkdir(to, { recursive: true });
  for (const name of await readdir(from)) await copyFile(join(from, name), join(to, name));
}

/** Runs a harness from its seeds on, and from what `keep` has of earlier runs. */
export async function fuzz(target: string, harness: string, limits: Limits): Promise<Outcome> {
  const work = await mkdtemp(join(tmpdir(), "tcpx-fuzz-"));
  const folder = (name: string) => join(work, name);
  try {
    await writeSeeds(target, folder("seeds"));
    for (const name of ["corpus", "found"]) {
      await mkdir(folder(name));
      await chmod(folder(name), 0o777);
    }
    await chmod(work, 0o755);
    await copyFile(harness, folder("harness"));
    if (limits.keep) {
      await mkdir(join(limits.keep, "corpus"), { recursive: true });
      await copyAll(join(limits.keep, "corpus"), folder("corpus"));
    }
    const outcome = await execute(work, limits);
    if (limits.keep) {
      for (const name of ["corpus", "found"]) await copyAll(folder(name), join(limits.keep, name));
    }
    return outcome;
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}
