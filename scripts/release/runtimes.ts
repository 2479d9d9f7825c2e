// SPDX-License-Identifier: MIT
// Bun's executables for the targets of a release, from the npm registry, as runtimes/bun.lock has them.

import { copyFile, mkdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../lib/cache.ts";
import { run } from "../lib/run.ts";
import { TARGETS, type Target } from "../lib/targets.ts";

const FOLDER = join(import.meta.dir, "runtimes");
const FILES = ["package.json", "bun.lock"];

/** Like `bun install`, which compares each package with the lock file; but for every CPU and libc. */
async function install(out: string): Promise<void> {
  const work = join(out, "install");
  await mkdir(work);
  for (const file of FILES) await copyFile(join(FOLDER, file), join(work, file));
  const flags = ["--frozen-lockfile", "--ignore-scripts", "--os", "linux", "--cpu", "*"];
  await run([process.execPath, "install", ...flags], { cwd: work });
  for (const { name, runtime } of TARGETS) {
    await rename(join(work, "node_modules", runtime, "bin/bun"), join(out, name));
  }
  await rm(work, { recursive: true });
}

/** The path of the Bun that an executable for this target is made of. */
export async function runtimeFor(target: Target): Promise<string> {
  const wanted = JSON.parse(await readFile(join(FOLDER, "package.json"), "utf8"));
  const version = wanted.dependencies[target.runtime];
  if (version !== Bun.version) {
    throw new Error(`scripts/release/runtimes is of Bun ${version}, and this is ${Bun.version}`);
  }
  const inputs = FILES.map((file) => `file:${join(FOLDER, file)}`);
  const folder = await cached("runtimes", ["1", ...inputs], install);
  return join(folder, target.name);
}
