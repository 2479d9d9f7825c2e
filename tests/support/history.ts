// SPDX-License-Identifier: MIT
// Executables of earlier layouts, built from what their last commits had. The sources stand in
// tests/support/history/, since a checkout need not have its history: `bun tests/support/history.ts` has put them
// there from git, and tests/unit/history.test.ts compares them with it.
import { existsSync, statSync, writeFileSync } from "node:fs";
import { mkdir, rename, rm, symlink } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cached } from "../../scripts/lib/cache.ts";
import { run } from "../../scripts/lib/run.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** The oldest layout whose rules are taken over. */
export const OLDEST = 6;

/** The last commit of each layout. That of the present one, if it is here, waits for the next. */
export const HISTORY: readonly { layout: number; commit: string }[] = [
  { layout: 6, commit: "2eb1db5a65c6116dd0669433e19749c12ab6841e" },
  { layout: 7, commit: "4f01f1044470327201c165c029140e8dbe55ee3a" },
  { layout: 8, commit: "cc6b3a1df4933537b1ab9132b44816c6584122f5" },
];

/** What an executable is built from. */
const SOURCES = [
  ...["cli", "embedded-bpf", "native-loader", "scripts/lib", "scripts/build.ts", "scripts/build-bridge.ts"],
  ...["scripts/man.ts", "package.json", "bun.lock", "bunfig.toml", "LICENSE"],
];

export const archiveOf = (layout: number) => join(import.meta.dir, `history/layout-${layout}.tar.xz`);

const git = (...words: string[]) => Bun.spawnSync(["git", "-c", "tar.umask=0022", ...words], { cwd: ROOT });

/** Has this checkout the commit? */
export const isHere = (commit: string): boolean =>
  Bun.which("git") !== null && git("cat-file", "-e", `${commit}^{commit}`).exitCode === 0;

/** The sources of a commit as a tar file: always the same bytes. */
export function sourcesOf(commit: string): Uint8Array<ArrayBuffer> {
  const { exitCode, stdout, stderr } = git("archive", "--format=tar", commit, ...SOURCES);
  if (exitCode !== 0) throw new Error(`git archive ${commit}: ${stderr}`);
  return new Uint8Array(stdout);
}

/** Builds it in a new folder, with the packages of its own lock file. */
async function build(layout: number, folder: string): Promise<void> {
  await mkdir(folder);
  await run(["tar", "-xJf", archiveOf(layout), "-C", folder]);
  const install = ["install", "--frozen-lockfile", "--ignore-scripts", "--production"];
  await run([process.execPath, ...install], { cwd: folder });
  // where the licence of Bun is read: of the one that builds
  await symlink(join(ROOT, "node_modules/bun-types"), join(folder, "node_modules/bun-types"));
  await run([process.execPath, "scripts/build.ts"], { cwd: folder });
}

/** The path of a layout's last executable, which is built once and then kept. */
export async function executableOf(layout: number): Promise<string> {
  const compiler = (await run(["clang", "--version"])).split("\n")[0]!;
  const inputs = [Bun.version, compiler, `file:${archiveOf(layout)}`];
  const kept = await cached(`history-${layout}`, inputs, async (out) => {
    const folder = join(out, "sources");
    await build(layout, folder);
    await rename(join(folder, "dist/tcpx"), join(out, "tcpx"));
    await rm(folder, { recursive: true });
  });
  return join(kept, "tcpx");
}

/** Writes the archives that are missing. */
if (import.meta.main) {
  for (const { layout, commit } of HISTORY) {
    const path = archiveOf(layout);
    if (existsSync(path)) continue;
    const { exitCode, stdout, stderr } = Bun.spawnSync(["xz", "-9e"], { stdin: sourcesOf(commit) });
    if (exitCode !== 0) throw new Error(`xz: ${stderr}`);
    writeFileSync(path, stdout);
    console.log(`${path}: ${statSync(path).size} bytes`);
  }
}
