#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Feeds the parsers of the bridge with what others might send: see docs/internals.md.

import { availableParallelism } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildHarness, hasFuzzer } from "./fuzz/build.ts";
import { FAULTS, prove } from "./fuzz/faults.ts";
import { fuzz, type Limits } from "./fuzz/run.ts";
import { TARGETS } from "./fuzz/targets.ts";
import { parallel } from "./lib/run.ts";

const KEEP = resolve(import.meta.dir, "../build/fuzz");
const SECONDS = 60;
const USAGE = `Usage: bun run fuzz [target...] [--seconds N | --runs N]
       bun run fuzz --prove

Feeds all parsers of the bridge, or the named ones, with inputs that grow out of the seeds in tests/fuzz/seeds and
out of what earlier calls have kept in build/fuzz/TARGET/corpus; inputs that fail are in build/fuzz/TARGET/found.
Needs clang with its libFuzzer (./install.sh --dev), no rights and no network.

${Object.entries(TARGETS)
  .map(([name, { about }]) => `  ${name.padEnd(12)} ${about}`)
  .join("\n")}

  --seconds N  for each (default ${SECONDS})
  --runs N     for each, from the seeds alone: the same ones every time
  --prove      puts every fault of scripts/fuzz/faults.ts back into a copy, and says what finds it
  --help       this text`;

class Usage extends Error {}

/** A whole number from 1 on. */
function count(name: string, text: string | undefined): number | undefined {
  if (text === undefined || /^[1-9]\d{0,8}$/.test(text)) return text === undefined ? undefined : Number(text);
  throw new Usage(`--${name} wants a whole number from 1 on, not ${text}`);
}

function read(args: string[]) {
  const flag = { type: "boolean" } as const;
  const value = { type: "string" } as const;
  const options = { seconds: value, runs: value, prove: flag, help: flag };
  const { values, positionals } = parseArgs({ args, options, allowPositionals: true });
  const unknown = positionals.find((name) => !(name in TARGETS));
  if (unknown !== undefined) {
    throw new Usage(`no target ${unknown}; there are ${Object.keys(TARGETS).join(", ")}`);
  }
  if (values.seconds && values.runs) throw new Usage("either --seconds or --runs");
  const runs = count("runs", values.runs);
  const limits: Limits =
    runs === undefined ? { seconds: count("seconds", values.seconds) ?? SECONDS } : { runs };
  return { ...values, limits, names: positionals.length > 0 ? positionals : Object.keys(TARGETS) };
}

/** Ctrl-C ends the harness that runs; what it has found out is kept. */
async function fuzzAll(names: string[], limits: Limits): Promise<boolean> {
  let clean = true;
  process.on("SIGINT", () => {});
  for (const name of names) {
    const keep = limits.runs === undefined ? { keep: join(KEEP, name) } : {};
    const outcome = await fuzz(name, await buildHarness(name), { ...limits, ...keep });
    const { runs, coverage, corpus, found } = outcome;
    console.log(`${name}: ${runs} runs, ${coverage} edges, ${corpus} inputs/bytes`);
    for (const line of found) console.log(`  ${line}`);
    clean &&= found.length === 0;
    if (outcome.interrupted) break;
  }
  return clean;
}

async function proveAll(): Promise<boolean> {
  let all = true;
  const tasks = Object.keys(FAULTS).map((name) => async () => {
    const { found, runs } = await prove(name);
    const head = found.length > 0 ? "found" : `NOT FOUND in ${runs} runs`;
    console.log([`${head}: ${name}`, ...found.slice(0, 2)].join("\n  "));
    all &&= found.length > 0;
  });
  await parallel(tasks, Math.max(2, availableParallelism()));
  return all;
}

async function main(args: string[]): Promise<number> {
  const wanted = read(args);
  if (wanted.help) {
    console.log(USAGE);
    return 0;
  }
  if (!hasFuzzer()) throw new Error("clang has no libFuzzer here; ./install.sh --dev installs it");
  return (await (wanted.prove ? proveAll() : fuzzAll(wanted.names, wanted.limits))) ? 0 : 1;
}

if (import.meta.main) {
  process.exitCode = await main(process.argv.slice(2)).catch((error: Error & { code?: string }) => {
    console.error(error.message);
    return error instanceof Usage || error.code?.startsWith("ERR_PARSE_ARGS") ? 2 : 1;
  });
}
