#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Everything that can be said about the sources without running them: format, lint, types, rooms, names, layout.

import { existsSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { buildObjects, layoutText, registryTexts } from "./build.ts";
import { nameProblems } from "./lib/extension-names.ts";
import { roomProblems, type Sources } from "./lib/rooms.ts";
import { run } from "./lib/run.ts";

const ROOT = resolve(import.meta.dir, "..");
const LAYOUT = "cli/layout/layout.generated.ts";
const USAGE =
  "Usage: bun run check [--write]\n\n--write (`bun run format`) also repairs what a tool can repair.";

/** The files of the checkout, tracked or not, that match the patterns of git. */
async function files(...patterns: string[]): Promise<string[]> {
  const list = ["git", "ls-files", "-z", "-co", "--exclude-standard", "--deduplicate", "--", ...patterns];
  const names = (await run(list, { cwd: ROOT })).split("\0").filter(Boolean);
  // A file that is removed and not committed yet is still listed.
  return names.filter((name) => existsSync(join(ROOT, name)));
}

/** Runs a tool; when it is not there, the package that has it is named. */
async function tool(from: string, argv: string[]): Promise<void> {
  if (!Bun.which(argv[0]!)) throw new Error(`${argv[0]} is not installed; it comes with ${from}`);
  const child = Bun.spawn(argv, { cwd: ROOT, stdin: "ignore", stdout: "pipe", stderr: "pipe" });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${out}${err}`.trim() || `${argv[0]} ended with ${code}`);
}

const fromApt = (name: string) => `the package ${name} (./install.sh --dev installs it)`;
const fromNpm = "`bun install`";
const bin = (name: string) => join(ROOT, "node_modules/.bin", name);

async function clangFormat(write: boolean): Promise<void> {
  const sources = await files("*.c", "*.h");
  if (sources.length === 0) throw new Error("no C files found");
  const how = write ? ["-i"] : ["--dry-run", "-Werror"];
  await tool(fromApt("clang-format"), ["clang-format", ...how, ...sources]);
}

async function shellcheck(): Promise<void> {
  const scripts = await files("install.sh", ".ci/run", "*.sh", "*.bash");
  if (scripts.length === 0) throw new Error("no shell scripts found");
  await tool(fromApt("shellcheck"), ["shellcheck", ...scripts]);
}

/** What is wrong with the sources as texts. */
async function texts(problemsOf: (sources: Sources) => string[], ...patterns: string[]): Promise<void> {
  const paths = await files(...patterns);
  const sources = paths.map(async (path) => [path, await readFile(join(ROOT, path), "utf8")] as const);
  const problems = problemsOf(new Map(await Promise.all(sources)));
  if (problems.length > 0) throw new Error(problems.join("\n"));
}

async function registry(): Promise<void> {
  for (const [path, wanted] of Object.entries(await registryTexts())) {
    if ((await readFile(join(ROOT, path), "utf8").catch(() => "")) === wanted) continue;
    throw new Error(`${path} is not what embedded-bpf/extensions.def gives; \`bun run build\` writes it`);
  }
}

async function layout(): Promise<void> {
  const wanted = await layoutText(await buildObjects());
  if ((await readFile(join(ROOT, LAYOUT), "utf8")) === wanted) return;
  throw new Error(`${LAYOUT} is not what embedded-bpf/tcpx_shared.h gives; \`bun run build\` writes it`);
}

function checks(write: boolean): [name: string, check: () => Promise<void>][] {
  return [
    ["biome", () => tool(fromNpm, [bin("biome"), "check", ...(write ? ["--write"] : [])])],
    ["tsc", () => tool(fromNpm, [bin("tsc"), "--noEmit"])],
    ["clang-format", () => clangFormat(write)],
    ["shellcheck", shellcheck],
    ["registry", registry],
    ["rooms", () => texts(roomProblems, "cli/*.ts", "native-loader/*.c", "native-loader/*.h")],
    ["names", () => texts((sources) => nameProblems(sources), "cli/*.ts")],
    ["layout", layout],
  ];
}

/** Returns whether all is well. */
async function main(write: boolean): Promise<boolean> {
  let good = true;
  // One after the other: with --write a tool should not read what another one is writing.
  for (const [name, check] of checks(write)) {
    const failure = await check().then(
      () => undefined,
      (error: unknown) => (error instanceof Error ? error.message : `${error}`),
    );
    console.log(`${name}: ${failure === undefined ? "ok" : "FAILED"}`);
    if (failure === undefined) continue;
    good = false;
    console.log(failure);
  }
  return good;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  if (args.some((arg) => arg !== "--write")) {
    console.log(USAGE);
    process.exitCode = args.includes("--help") ? 0 : 2;
  } else {
    process.exitCode = (await main(args.includes("--write"))) ? 0 : 1;
  }
}
