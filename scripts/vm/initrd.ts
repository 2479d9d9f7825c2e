// SPDX-License-Identifier: MIT
// What the guest's memory holds at boot: busybox, iproute2, dist/tcpx with its libraries, the tests, and Bun for
// these, since the executable under test runs nothing but tcpx.

import { existsSync } from "node:fs";
import { chmod, copyFile, cp, mkdir, mkdtemp, rm, symlink } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { supportFolder } from "../../tests/support/build.ts";
import { run } from "../lib/run.ts";

const ROOT = resolve(import.meta.dir, "../..");
const FOLDERS = ["proc", "sys", "dev", "run", "tmp", "etc", "sbin", "usr/sbin", "tcpx/tests"];

/** At /usr/sbin: of iproute2's, busybox has some of the same names and not their abilities. */
const PROGRAMS = ["ip", "tc", "ss", "ethtool"];

/** Copies a program and the shared libraries that it needs, these to where they are here. */
async function addProgram(root: string, path: string, to: string): Promise<void> {
  await copyFile(path, join(root, to));
  // of a static program ldd says so and fails
  const text = await run(["ldd", path]).catch(() => "");
  for (const [library] of text.matchAll(/\/\S+/g)) {
    if (library === `${path}:` || existsSync(join(root, library))) continue;
    await mkdir(join(root, dirname(library)), { recursive: true });
    await copyFile(library, join(root, library));
  }
}

/** The test programs go where tests/support/build.ts looks for them, so the guest compiles nothing. */
async function addTests(root: string): Promise<void> {
  for (const dir of ["tests/support", "tests/vm", "tests/bench", "scripts/lib"])
    await cp(join(ROOT, dir), join(root, "tcpx", dir), { recursive: true });
  await mkdir(join(root, "tcpx/docs"), { recursive: true });
  await copyFile(join(ROOT, "docs/json.md"), join(root, "tcpx/docs/json.md")); // what documents are compared with
  const programs = await supportFolder();
  await cp(programs, join(root, "tcpx/cache/build", basename(programs)), { recursive: true });
}

/**
 * Appends a folder as a cpio archive: the kernel unpacks archives that follow one another.
 * @param depth how deep entries begin: a folder's own entry would replace a link of its name
 */
async function appendArchive(folder: string, file: string, depth = 0): Promise<void> {
  const script = 'find . -mindepth "$1" | cpio -o -H newc --quiet -R 0:0 >>"$0"';
  await run(["sh", "-c", script, file, `${depth}`], { cwd: folder });
}

/**
 * The part that all kernels share; `file` is made anew.
 * @param bases root file systems to begin with, later ones over earlier; their libraries serve all programs
 * @param programs that it has beside the usual ones
 * @param more puts what else the tests need below its root
 */
export async function buildInitrd(
  tcpx: string,
  file: string,
  bases: string[] = [],
  programs: readonly string[] = [],
  more: (root: string) => Promise<void> = async () => {},
): Promise<void> {
  const root = await mkdtemp(join(dirname(file), "initrd-"));
  for (const base of bases) await run(["cp", "-a", `${base}/.`, root]);
  for (const folder of [...FOLDERS, "bin"]) await mkdir(join(root, folder), { recursive: true });
  await addProgram(root, Bun.which("busybox")!, "bin/busybox");
  for (const applet of ["bin/sh", "sbin/modprobe"]) await symlink("/bin/busybox", join(root, applet));
  for (const name of [...PROGRAMS, ...programs]) {
    const there = ["bin", "sbin", "usr/bin", "usr/sbin"].some((dir) => existsSync(join(root, dir, name)));
    if (!there) await addProgram(root, Bun.which(name)!, `usr/sbin/${name}`);
  }
  await addProgram(root, tcpx, "usr/sbin/tcpx");
  await addProgram(root, process.execPath, "usr/sbin/bun");
  await addTests(root);
  await more(root);
  await copyFile(join(ROOT, "tests/vm/init.sh"), join(root, "init"));
  await chmod(join(root, "init"), 0o755);
  await rm(file, { force: true });
  await appendArchive(root, file);
  await rm(root, { recursive: true });
}

/** The shared part and a kernel's modules in one file, because QEMU takes one. */
export async function completeInitrd(shared: string, modules: string, file: string): Promise<void> {
  await copyFile(shared, file);
  await appendArchive(modules, file, 2);
}
