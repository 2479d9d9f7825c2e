// SPDX-License-Identifier: MIT
// Starts an executable of another target than the host's: below qemu's user mode, in a root with musl.

import { existsSync } from "node:fs";
import { copyFile, mkdir, rm, symlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "../lib/cache.ts";
import { hostRelease } from "../lib/private-apt.ts";
import { run } from "../lib/run.ts";
import type { Arch, Target } from "../lib/targets.ts";
import { Archive } from "../vm/archive.ts";

const COMPAT = join(import.meta.dir, "glibc-only.c");
/** Where Debian's cross compiler has glibc. */
const ARM64_ROOT = "/usr/aarch64-linux-gnu";

interface System {
  cc: string;
  /** Where Debian has libstdc++.so.6 and libgcc_s.so.1 of this architecture. */
  libraries: string[];
  loader: string;
  /** glibc's loader, whose name the two libraries ask for. */
  glibc: string;
  debian: string;
}

const SYSTEMS: Record<Arch, System> = {
  x64: {
    cc: "gcc",
    libraries: ["/usr/lib/x86_64-linux-gnu", "/lib/x86_64-linux-gnu"],
    loader: "ld-musl-x86_64.so.1",
    glibc: "ld-linux-x86-64.so.2",
    debian: "amd64",
  },
  arm64: {
    cc: "aarch64-linux-gnu-gcc",
    libraries: [join(ARM64_ROOT, "lib")],
    loader: "ld-musl-aarch64.so.1",
    glibc: "ld-linux-aarch64.so.1",
    debian: "arm64",
  },
};

function library(system: System, name: string): string | undefined {
  return system.libraries.map((folder) => join(folder, name)).find(existsSync);
}

/** A root folder with Debian's musl, and what Bun needs on top of it. */
async function buildMuslRoot(arch: Arch, out: string): Promise<void> {
  const system = SYSTEMS[arch];
  const { codename } = await hostRelease();
  await using archive = await Archive.create([`${codename}`, `${codename}-security`], system.debian);
  const unpacked = join(out, "unpacked");
  await archive.unpack(["musl"], unpacked);
  for (const folder of ["lib", "usr/lib", "proc", "sys", "dev", "tmp"]) {
    await mkdir(join(out, folder), { recursive: true });
  }
  await copyFile(join(unpacked, "lib", system.loader), join(out, "lib", system.loader));
  await rm(unpacked, { recursive: true });
  await symlink(system.loader, join(out, "lib", system.loader.replace("ld-musl", "libc.musl")));
  for (const name of ["libstdc++.so.6", "libgcc_s.so.1"]) {
    await copyFile(library(system, name)!, join(out, "usr/lib", name));
  }
  const flags = ["-shared", "-fPIC", "-nostdlib", "-fno-stack-protector", `-Wl,-soname,${system.glibc}`];
  await run([system.cc, ...flags, "-o", join(out, "usr/lib", system.glibc), COMPAT]);
  await writeFile(join(out, "tcpx"), ""); // what the executable is mounted on
}

export function muslRoot(arch: Arch): Promise<string> {
  return cached(`musl-root-${arch}`, ["1", arch, `file:${COMPAT}`], (out) => buildMuslRoot(arch, out));
}

/** In a mount namespace of its own, which takes all mounts with it. The root is $0, the executable $1. */
const ENTER = `set -e
for dir in proc sys dev; do mount --rbind "/$dir" "$0/$dir"; done
mount --bind "$1" "$0/tcpx"
shift
exec chroot "$0" /tcpx "$@"`;

/** Debian has called it both. */
const qemu = ["qemu-aarch64-static", "qemu-aarch64"].find((name) => Bun.which(name) !== null);

/** What is missing to start executables of this target here, if anything is. */
export async function missingFor({ arch, libc }: Target): Promise<string | undefined> {
  const native = arch === process.arch;
  if (native && libc === "glibc") return undefined;
  if (process.arch !== "x64") return "a host of x86-64";
  if (!native && !qemu) return "qemu-user-static";
  const system = SYSTEMS[arch];
  if (libc === "glibc")
    return existsSync(join(ARM64_ROOT, "lib", system.glibc)) ? undefined : "libc6-arm64-cross";
  if ((await hostRelease()).id !== "debian") return "Debian, for its musl";
  if (!Bun.which(system.cc)) return system.cc;
  const absent = ["libstdc++.so.6", "libgcc_s.so.1"].find((name) => !library(system, name));
  if (absent) return `${absent} for ${arch}`;
  return native && process.getuid?.() !== 0 ? "root, to enter a root with musl" : undefined;
}

export type Place = { command: string[]; where: string } | { missing: string };

/** The command line that runs an executable of this target here; arguments of tcpx follow it. */
export async function commandFor(target: Target, executable: string): Promise<Place> {
  const missing = await missingFor(target);
  if (missing) return { missing };
  const { arch, libc } = target;
  if (arch === process.arch) {
    if (libc === "glibc") return { command: [executable], where: "on this host" };
    const command = ["unshare", "--mount", "sh", "-c", ENTER, await muslRoot(arch), executable];
    return { command, where: "on musl" };
  }
  const where = `on ${libc} in ${qemu}`;
  if (libc === "glibc") return { command: [qemu!, "-L", ARM64_ROOT, executable], where };
  // The cross compiler's libraries do not ask for glibc's loader, which ours is named after.
  const preload = `LD_PRELOAD=/usr/lib/${SYSTEMS[arch].glibc}`;
  return { command: [qemu!, "-L", await muslRoot(arch), "-E", preload, executable], where };
}
