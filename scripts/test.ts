#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Runs the rings of tests and counts what really ran.
//
// The exit code of `bun test` is not believed alone: a test that calls process.exit(0) ends it with
// success and without a report, and a file that dies while loading is not in the report.

import { existsSync, readFileSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { count, parseJunit, type TestCase } from "./lib/junit.ts";
import { filesOf, type Ring, ringsOf } from "./lib/rings.ts";

const ROOT = resolve(import.meta.dir, "..");
const EXPECTED_SKIPS = "tests/expected-skips.txt";
/** Of what one failed test says, in the summary. */
const MOST_LINES = 20;
const USAGE = `Usage: bun run test [--no-build] [ring...]

Builds dist/tcpx when it is missing or older than its sources, runs every ring of tests or the named
ones, and ends with the line "N passed, N failed, N skipped". With CI set, a skip that is not in
${EXPECTED_SKIPS} is an error.`;

interface Result {
  ring: string;
  cases: TestCase[];
  /** What went wrong outside of the tests; each counts as a failed test. */
  problems: string[];
  seconds: number;
}

let interrupted = false;

const childrenOf = (pid: number) =>
  readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ").filter(Boolean).map(Number);

/** Runs Bun with our own output, and ends it when we are told to end. */
async function pass(argv: string[], wrap: readonly string[] = [], env = {}): Promise<string> {
  const child = Bun.spawn([...wrap, process.execPath, ...argv], {
    cwd: ROOT,
    env: { ...process.env, ...env },
    stdin: "ignore",
    stdout: "inherit",
    stderr: "inherit",
  });
  const forward = (signal: NodeJS.Signals) => {
    interrupted = true;
    for (const pid of wrap.length > 0 ? childrenOf(child.pid) : [child.pid]) process.kill(pid, signal);
  };
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, forward);
  const code = await child.exited;
  for (const signal of ["SIGINT", "SIGTERM"] as const) process.off(signal, forward);
  return `${child.signalCode ?? code}`;
}

/** Of the folders and of all that is in them, so that a removed file counts too. */
async function newest(paths: string[]): Promise<number> {
  const below = async (path: string) => (await readdir(join(ROOT, path), { recursive: true })).concat(".");
  let time = 0;
  for (const path of paths) {
    const isFolder = (await stat(join(ROOT, path))).isDirectory();
    for (const name of isFolder ? await below(path) : ["."]) {
      time = Math.max(time, (await stat(join(ROOT, path, name))).mtimeMs);
    }
  }
  return time;
}

async function isBuilt(): Promise<boolean> {
  const built = await stat(join(ROOT, "dist/tcpx")).catch(() => undefined);
  if (!built || !existsSync(join(ROOT, "build/build.json"))) return false;
  const scripts = ["scripts/build.ts", "scripts/build-bridge.ts", "scripts/lib"];
  const own = ["cli", "embedded-bpf", "native-loader", "package.json", "bun.lock", "LICENSE"];
  const sources = [...own, ...scripts];
  return built.mtimeMs > (await newest(sources));
}

/** The tests in the report, and what it says that the runner's end does not, and the other way round. */
async function readReport(report: string, ended: string, files: readonly string[]) {
  const problems: string[] = [];
  const text = await readFile(report, "utf8").catch(() => undefined);
  if (text === undefined) {
    problems.push(`the runner ended (${ended}) without a report: did a test call process.exit?`);
    return { cases: [], problems };
  }
  let cases: TestCase[] = [];
  try {
    cases = parseJunit(text);
  } catch (error) {
    problems.push(`unreadable report: ${(error as Error).message}`);
  }
  const reported = new Set(cases.map((test) => test.file));
  for (const file of files) {
    if (!reported.has(file)) problems.push(`${file}: no test of it is in the report`);
  }
  if (interrupted) problems.push("interrupted");
  if (cases.length === 0) problems.push("the report holds 0 tests");
  if (ended !== "0" && count(cases).failed + problems.length === 0) {
    problems.push(`no test failed, and yet the runner ended with ${ended}`);
  }
  return { cases, problems };
}

async function runRing(ring: Ring, temporary: string): Promise<Result> {
  const files = await filesOf(ROOT, ring);
  if (ring.needsRoot && process.getuid?.() !== 0) {
    const name = `the whole ring, ${files.length} files, counted as one test [needs: root]`;
    const skipped = { file: `tests/${ring.name}`, name, outcome: "skipped" } as const;
    return { ring: ring.name, cases: [skipped], problems: [], seconds: 0 };
  }
  if (files.length === 0) {
    const problem = `tests/${ring.name} holds no *.test.ts`;
    return { ring: ring.name, cases: [], problems: [problem], seconds: 0 };
  }
  console.log(`\n--- ${ring.name}`);
  const start = performance.now();
  const report = join(temporary, `${ring.name}.xml`);
  const flags = ["--isolate", "--timeout", "60000", "--reporter=junit", `--reporter-outfile=${report}`];
  // Without "./" it would be a filter on names, and [test] root is not before it.
  const paths = (ring.again ?? [`tests/${ring.name}`]).map((path) => `./${path}`);
  // tests sweep what earlier ones have left in the temporary folder: each kind of host has its own
  const folder = join(temporary, ring.name);
  await mkdir(folder);
  const ended = await pass(["test", ...flags, ...paths], ring.wrap, ring.wrap && { TMPDIR: folder });
  const seconds = (performance.now() - start) / 1000;
  return { ring: ring.name, ...(await readReport(report, ended, files)), seconds };
}

/** One substring of a test's name per line; a comment says why the skip is expected. */
async function expectedSkips(): Promise<string[]> {
  const text = await readFile(join(ROOT, EXPECTED_SKIPS), "utf8").catch(() => "");
  const lines = text.split("\n").map((line) => line.trim());
  return lines.filter((line) => line !== "" && !line.startsWith("#"));
}

function printTable(results: Result[]): void {
  const row = (cells: (string | number)[]) =>
    console.log(cells.map((cell, i) => (i === 0 ? `${cell}`.padEnd(8) : `${cell}`.padStart(9))).join(""));
  console.log();
  row(["ring", "passed", "failed", "skipped", "seconds"]);
  for (const { ring, cases, problems, seconds } of results) {
    const { passed, failed, skipped } = count(cases);
    row([ring, passed, failed + problems.length, skipped, seconds.toFixed(1)]);
  }
}

/** A failure's lines below its name: the place where the runner said them may be far up, or cut off. */
function indented(why = ""): string {
  const lines = why.split("\n").filter((line) => line.trim() !== "");
  const shown = lines.length > MOST_LINES ? [...lines.slice(0, MOST_LINES), "..."] : lines;
  return shown.map((line) => `\n  ${line.trimEnd()}`).join("");
}

/** Lists what did not pass; returns how many skips nobody expected. */
async function printDetails(results: Result[]): Promise<number> {
  const expected = await expectedSkips();
  let surprises = 0;
  for (const { ring, cases, problems } of results) {
    for (const problem of problems) console.log(`failed: ${ring}: ${problem}`);
    for (const { file, name, outcome, why } of cases) {
      if (outcome === "failed") console.log(`failed: ${file}: ${name}${indented(why)}`);
      if (outcome !== "skipped") continue;
      const known = expected.some((part) => name.includes(part));
      if (!known) surprises++;
      console.log(`skipped (${known ? "expected" : "NOT expected"}): ${file}: ${name}`);
    }
  }
  return surprises;
}

/** Prints everything, the counts last; returns the exit code. */
async function summarize(results: Result[]): Promise<number> {
  printTable(results);
  const surprises = await printDetails(results);
  const counts = count(results.flatMap((result) => result.cases));
  const failed = counts.failed + results.reduce((sum, result) => sum + result.problems.length, 0);
  const strict = !["", "0", "false"].includes(process.env.CI ?? "");
  if (strict && surprises > 0) {
    console.log(`CI is set, and ${surprises} skipped tests are not in ${EXPECTED_SKIPS}`);
  }
  console.log(`${counts.passed} passed, ${failed} failed, ${counts.skipped} skipped`);
  return failed > 0 || (strict && surprises > 0) ? 1 : 0;
}

/** The rings that exist, or those that were named, in their order; undefined for wrong arguments. */
function chosen(names: string[]): Ring[] | undefined {
  const existing = ringsOf(ROOT);
  const unknown = names.filter((name) => !existing.some((ring) => ring.name === name));
  if (unknown.length === 0) return existing.filter((ring) => names.length === 0 || names.includes(ring.name));
  const rings = existing.map((ring) => ring.name).join(", ");
  console.error(`unknown: ${unknown.join(" ")}; there are the rings ${rings}\n\n${USAGE}`);
  return undefined;
}

async function main(args: string[]): Promise<number> {
  if (args.includes("--help")) {
    console.log(USAGE);
    return 0;
  }
  const rings = chosen(args.filter((arg) => arg !== "--no-build"));
  if (rings === undefined) return 2;
  if (!args.includes("--no-build") && !(await isBuilt())) {
    const ended = await pass(["run", "build"]);
    const problem = `bun run build ended with ${ended}; no test ran`;
    if (ended !== "0") return summarize([{ ring: "build", cases: [], problems: [problem], seconds: 0 }]);
  }
  const temporary = await mkdtemp(join(tmpdir(), "tcpx-test-"));
  const results: Result[] = [];
  for (const ring of rings) {
    if (!interrupted) results.push(await runRing(ring, temporary));
    else results.push({ ring: ring.name, cases: [], problems: ["interrupted before it ran"], seconds: 0 });
  }
  await rm(temporary, { recursive: true });
  return summarize(results);
}

if (import.meta.main) process.exitCode = await main(process.argv.slice(2));
