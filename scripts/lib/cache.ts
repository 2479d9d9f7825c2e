// SPDX-License-Identifier: MIT
// Build results kept by a hash of what went into them: nobody waits for the same build twice.

import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readFile, rename, rm } from "node:fs/promises";
import { homedir } from "node:os";
import { basename, join } from "node:path";

export function cacheDir(): string {
  const { TCPX_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  return TCPX_CACHE_DIR || join(XDG_CACHE_HOME || join(homedir(), ".cache"), "tcpx");
}

/** Text counts as it is; `file:/absolute/path` counts with its base name and its content. */
async function hashOf(inputs: string[]): Promise<string> {
  const hash = createHash("sha256");
  for (const input of inputs) {
    const path = input.startsWith("file:") ? input.slice("file:".length) : undefined;
    const data = path ? await readFile(path) : Buffer.from(input);
    hash.update(`${path ? `file ${basename(path)}` : "text"} ${data.length}\n`).update(data);
  }
  return hash.digest("hex").slice(0, 20);
}

/**
 * The folder `<cache>/build/<name>-<hash of the inputs>`, built first when it is not there.
 * It appears in one step, complete; a build that fails leaves nothing.
 */
export async function cached(
  name: string,
  inputs: string[],
  build: (outDir: string) => Promise<void>,
): Promise<string> {
  const parent = join(cacheDir(), "build");
  const folder = join(parent, `${name}-${await hashOf(inputs)}`);
  if (existsSync(folder)) return folder;
  await mkdir(parent, { recursive: true });
  const work = await mkdtemp(join(parent, `.${name}-`));
  try {
    await build(work);
    await rename(work, folder);
  } catch (error) {
    await rm(work, { recursive: true, force: true });
    // Somebody else built the same at the same time and was first.
    const code = (error as NodeJS.ErrnoException).code;
    if ((code === "ENOTEMPTY" || code === "EEXIST") && existsSync(folder)) return folder;
    throw error;
  }
  return folder;
}
