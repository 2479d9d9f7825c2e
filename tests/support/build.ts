// SPDX-License-Identifier: MIT
// Compiles the C programs of the tests once per version of their sources.
import { mkdirSync, readdirSync, renameSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

/** Folders with the sources of one program each. */
const PROGRAMS = ["peer", "wire"] as const;
const FLAGS = ["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"];

export type Support = Record<(typeof PROGRAMS)[number], string>;

let building: Promise<Support> | undefined;

/** The paths of the test programs. They are static, so they run in a bare initrd too. */
export function buildSupport(): Promise<Support> {
  building ??= build();
  return building;
}

async function build(): Promise<Support> {
  const hash = new Bun.CryptoHasher("sha256").update(FLAGS.join(" "));
  for (const path of PROGRAMS.flatMap((name) => sources(name, /\.[ch]$/))) {
    hash.update(path.slice(import.meta.dir.length)).update(await Bun.file(path).bytes());
  }
  const dir = join(cacheRoot(), "tcpx", "test-support", hash.digest("hex").slice(0, 16));
  mkdirSync(dir, { recursive: true });
  const [peer, wire] = await Promise.all(PROGRAMS.map((name) => compile(name, join(dir, name))));
  return { peer: peer!, wire: wire! };
}

function cacheRoot(): string {
  const { TCPX_CACHE_DIR, XDG_CACHE_HOME } = process.env;
  return TCPX_CACHE_DIR || XDG_CACHE_HOME || join(homedir(), ".cache");
}

function sources(name: string, kind: RegExp): string[] {
  const dir = join(import.meta.dir, name);
  const files = readdirSync(dir).filter((file) => kind.test(file));
  return files.sort().map((file) => join(dir, file));
}

async function compile(name: string, target: string): Promise<string> {
  if (await Bun.file(target).exists()) return target;
  // Two test runs may compile at the same time: only the rename makes the program visible.
  const draft = `${target}.${process.pid}`;
  const cc = Bun.spawn([process.env.CC || "cc", ...FLAGS, "-o", draft, ...sources(name, /\.c$/)], {
    stdout: "ignore",
    stderr: "pipe",
  });
  const [code, messages] = await Promise.all([cc.exited, cc.stderr.text()]);
  if (code !== 0) throw new Error(`cc failed for ${name}:\n${messages}`);
  renameSync(draft, target);
  return target;
}
