// SPDX-License-Identifier: MIT
// Compiles the harnesses of tests/fuzz with files of the bridge, clang's libFuzzer and its sanitizers inside.

import { readdir, readFile, writeFile } from "node:fs/promises";
import { availableParallelism } from "node:os";
import { basename, join, resolve } from "node:path";
import { cached } from "../lib/cache.ts";
import { parallel, run } from "../lib/run.ts";
import { sharedHeaders } from "../lib/shared-headers.ts";
import { TARGETS, targetOf } from "./targets.ts";

const ROOT = resolve(import.meta.dir, "../..");
const HARNESS = join(ROOT, "tests/fuzz");
/** Of which no two files have the same name. */
const BRIDGE = ["native-loader", "native-loader/agent"].map((name) => join(ROOT, name));

const CHECKS = "address,undefined";
// Fortified functions have other names, which --wrap would not see.
const COMPILE = [
  ...[
    "-std=gnu11",
    "-g",
    "-O1",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-fno-omit-frame-pointer",
    "-U_FORTIFY_SOURCE",
  ],
  ...[`-fsanitize=fuzzer-no-link,${CHECKS}`, "-fno-sanitize-recover=all", ...BRIDGE.map((dir) => `-I${dir}`)],
];
const LINK = [`-fsanitize=fuzzer,${CHECKS}`];

/** Whether clang has libFuzzer here. */
export function hasFuzzer(): boolean {
  if (!Bun.which("clang")) return false;
  const machine = process.arch === "x64" ? "x86_64" : "aarch64";
  const name = `libclang_rt.fuzzer-${machine}.a`;
  return Bun.spawnSync(["clang", `-print-file-name=${name}`])
    .stdout.toString()
    .startsWith("/");
}

async function sources(dir: string, kind: string): Promise<string[]> {
  return (await readdir(dir)).filter((name) => name.endsWith(kind)).sort();
}

const bridgeSources = async (kind: string) =>
  (
    await Promise.all(BRIDGE.map(async (dir) => (await sources(dir, kind)).map((file) => join(dir, file))))
  ).flat();

interface Unit {
  source: string;
  object: string;
}

const harnessObject = (name: string) => `harness-${name}.o`;
const bridgeObject = (name: string) => `bridge-${name}.o`;

/** Everything that some target needs. */
async function units(): Promise<Unit[]> {
  const stem = (file: string) => basename(file, ".c");
  const needed = (file: string) => Object.values(TARGETS).some(({ bridge }) => bridge.test(stem(file)));
  const own = (await sources(HARNESS, ".c")).map((file) => ({
    source: join(HARNESS, file),
    object: harnessObject(stem(file)),
  }));
  const bridge = (await bridgeSources(".c"))
    .filter(needed)
    .map((source) => ({ source, object: bridgeObject(stem(source)) }));
  return [...own, ...bridge];
}

async function inputs(): Promise<string[]> {
  const headers = (await sources(HARNESS, ".h")).map((file) => join(HARNESS, file));
  headers.push(...(await sharedHeaders()), ...(await bridgeSources(".h")));
  const files = [...(await units()).map(({ source }) => source), ...headers];
  return [await run(["clang", "--version"]), ...COMPILE, ...LINK, ...files.map((file) => `file:${file}`)];
}

const compile = (source: string, object: string) => run(["clang", ...COMPILE, "-c", source, "-o", object]);

/** The folder with all objects. */
async function objects(): Promise<string> {
  return cached("fuzz-objects", await inputs(), async (out) => {
    const tasks = (await units()).map((unit) => () => compile(unit.source, join(out, unit.object)));
    await parallel(tasks, Math.max(2, availableParallelism()));
  });
}

/** Functions that the linker leads to the harness: it has __wrap_NAME(), or THROUGH(type, NAME, ...). */
async function wrapped(files: string[]): Promise<string[]> {
  const texts = await Promise.all(files.map((name) => readFile(join(HARNESS, `${name}.c`), "utf8")));
  const found = texts.join("\n").matchAll(/\b__wrap_(\w+)\(|^THROUGH\(\w+, (\w+),/gm);
  return [...new Set([...found].map(([, plain, through]) => plain ?? through!))];
}

async function link(name: string, objectOf: (object: string) => string, out: string): Promise<void> {
  const target = targetOf(name);
  const files = [name, ...target.harness];
  const bridge = (await bridgeSources(".c")).map((file) => basename(file, ".c"));
  const objects = [
    ...files.map(harnessObject),
    ...bridge.filter((file) => target.bridge.test(file)).map(bridgeObject),
  ];
  const wraps = (await wrapped(files)).map((symbol) => `-Wl,--wrap=${symbol}`);
  await run(["clang", ...LINK, ...wraps, "-o", out, ...objects.map(objectOf)]);
}

/** The path of a harness. */
export async function buildHarness(name: string): Promise<string> {
  const target = targetOf(name);
  const folder = await objects();
  const parts = [...(await inputs()), ...target.harness, `${target.bridge}`, `file:${import.meta.path}`];
  const made = await cached(`fuzz-${name}`, parts, (out) =>
    link(name, (object) => join(folder, object), join(out, name)),
  );
  return join(made, name);
}

/** The same with other texts for some files of the bridge, by name; made in `dir`, since many are large. */
export async function buildWith(name: string, texts: Map<string, string>, dir: string): Promise<string> {
  const folder = await objects();
  const changed = new Set<string>();
  for (const [file, text] of texts) {
    const object = bridgeObject(basename(file, ".c"));
    const source = join(dir, basename(file)); // headers beside it are found with -I
    await writeFile(source, text);
    await compile(source, join(dir, object));
    changed.add(object);
  }
  await link(name, (object) => join(changed.has(object) ? dir : folder, object), join(dir, name));
  return join(dir, name);
}
