// SPDX-License-Identifier: MIT
// Where this host keeps cgroups and bpffs, and who we are on it.

import { existsSync, lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, cstr, Errno, isErrno, unwrap } from "../bridge/bridge.ts";
import type { Fd } from "../bridge/maps.ts";
import { byDepth, cgroupMounts } from "../system/cgroup-path.ts";
import { makeDirectory } from "../system/files.ts";
import { lockHolder } from "../system/lock-holder.ts";
import { effectiveUid } from "../system/process.ts";
import { PATIENCE_MS, type Patience, tryFlock, waitForLock } from "./lock.ts";
import { hostView, mountInfo, mountsOf, type View, viewpoints } from "./viewpoint.ts";

const BPFFS_MAGIC = 0xcafe4a11n;
const SYSFS_MAGIC = 0x62656572n;
export const BPFFS = "/sys/fs/bpf";

/** A scope: a cgroup v2 directory. */
export interface Scope {
  /** Path that this process can open; undefined: the cgroup cannot be seen from here. */
  path: string | undefined;
  /** Path below the cgroup2 mount, "/" for the root. Which cgroup that is depends on who says it. */
  name: string;
  /** Says which cgroup it is. */
  id: bigint;
  /** A service that does not run: the cgroup is gone, and its rules wait for the next one. */
  waiting?: true;
}

/** The cgroup2 mount point as this process can reach it, or undefined. Of several, the one that shows most. */
export function findCgroupRoot(): string | undefined {
  for (const view of viewpoints()) {
    const mounts = byDepth(cgroupMounts(mountInfo(view))).map(({ path }) => view.root + path);
    // something else may be mounted over it
    const root = mounts.find((path) => existsSync(join(path, "cgroup.controllers")));
    if (root !== undefined) return root;
  }
  return undefined;
}

export function cgroupRoot(): string {
  const root = findCgroupRoot();
  if (root) return root;
  throw new TcpxError(Exit.UNSUPPORTED, "no cgroup2 file system is mounted", {
    hint: "mount one with: mount -t cgroup2 none /sys/fs/cgroup",
  });
}

export function fsType(lib: Bridge, path: string): bigint {
  const magic = new BigUint64Array(1);
  return lib.tcpx_fs_type(cstr(path), magic) < 0 ? 0n : magic[0]!;
}

export const BTF = "/sys/kernel/btf/vmlinux";

/** The kernel's types: hidden is where no sysfs is that would have them. */
export function btfState(lib: Bridge): "there" | "missing" | "hidden" {
  if (existsSync(BTF)) return "there";
  return fsType(lib, "/sys") === SYSFS_MAGIC ? "missing" : "hidden";
}

/** The bpffs that this host's pins live in, or undefined while none is mounted. */
export function findBpffs(lib: Bridge): string | undefined {
  return viewpoints()
    .map((view) => view.root + BPFFS)
    .find((path) => fsType(lib, path) === BPFFS_MAGIC);
}

function mountError(why: string, cause?: unknown): TcpxError {
  return new TcpxError(Exit.UNSUPPORTED, `bpffs is not mounted and ${why}`, {
    hint: `mount it on the host with: mount -t bpf bpf ${BPFFS}`,
    cause,
  });
}

/** Has somebody the lock who is no tcpx that may mount? */
function isHeldByStranger(dir: string): boolean {
  const holder = lockHolder(dir);
  return holder !== undefined && effectiveUid(holder.pid) !== process.geteuid?.();
}

/**
 * Two first commands at the same time must not mount two of them. Whoever can read the directory can have this
 * lock, and not only root, so the patience is a short one, and for others than us there is none. Null: without it.
 */
function mountLock(lib: Bridge, dir: string, patience: Patience): Promise<Fd | null> {
  const place = {
    dir: () => dir,
    doing: "mounting bpffs",
    hint: `end it, or mount it: mount -t bpf bpf ${BPFFS}`,
  };
  const short = { ...patience, ms: Math.min(patience.ms, PATIENCE_MS) };
  return waitForLock(place, short, async () => {
    try {
      return tryFlock(lib, dir) ?? (isHeldByStranger(dir) ? null : undefined);
    } catch {
      return null; // mounting will say what is wrong
    }
  });
}

/** Finds bpffs, mounting it where it is not; mount source "tcpx" marks it as ours. Returns its path. */
export async function ensureBpffs(lib: Bridge, patience: Patience): Promise<string> {
  const present = findBpffs(lib);
  if (present) return present;
  const host = hostView();
  if (!host) throw mountError("this is a private mount namespace, with which the mount would end");
  const path = host.root + BPFFS;
  using _ = await mountLock(lib, path, patience);
  if (fsType(lib, path) === BPFFS_MAGIC) return path;
  const result = lib.tcpx_mount_bpffs(cstr(BPFFS), host.mntNs === null ? null : cstr(host.mntNs));
  if (result < 0) {
    const error = new Errno("mount", -result);
    throw mountError(`could not be mounted at ${BPFFS} (${error.code})`, error);
  }
  return path;
}

/** Takes back a mount that tcpx made. False when it is not ours, is in use, or holds somebody's pins. */
export function unmountOwnBpffs(lib: Bridge): boolean {
  // of several mounts in one place the last one is what is seen, and what umount(2) takes off
  const isOurs = (view: View) => mountsOf(view).findLast(({ path }) => path === BPFFS)?.source === "tcpx";
  const view = viewpoints().find(isOurs);
  if (!view) return false;
  // unmounting would destroy what other programs have pinned there
  if (!readdirSync(view.root + BPFFS).every((name) => name.endsWith(".debug"))) return false;
  return lib.tcpx_umount(cstr(BPFFS), view.mntNs === null ? null : cstr(view.mntNs)) >= 0;
}

/** The caller's network namespace; null where the kernel has no cookies (before 5.14). */
export function currentNetns(lib: Bridge): { cookie: bigint; inode: number } | null {
  const cookie = new BigUint64Array(1);
  const result = lib.tcpx_netns_cookie(cookie);
  if (result < 0) {
    const error = new Errno("SO_NETNS_COOKIE", -result);
    if (isErrno(error, "ENOPROTOOPT", "EOPNOTSUPP", "ENOTSUP", "EINVAL")) return null;
    throw error;
  }
  return { cookie: cookie[0]!, inode: statSync("/proc/thread-self/ns/net").ino };
}

const CAP = {
  ...{
    NET_BIND_SERVICE: 10n,
    NET_ADMIN: 12n,
    NET_RAW: 13n,
    SYS_MODULE: 16n,
    SYS_PTRACE: 19n,
    SYS_ADMIN: 21n,
  },
  ...{ PERFMON: 38n, BPF: 39n },
} as const;

export type Capability = keyof typeof CAP;

/** As the kernel has sets of them: bit N is capability N. */
export const capabilityMask = (names: readonly Capability[]): bigint =>
  names.reduce((mask, name) => mask | (1n << CAP[name]), 0n);

/** Tells which of them this process has. */
export function capabilities(lib: Bridge): (name: Capability) => boolean {
  const effective = new BigUint64Array(1);
  unwrap("capget", lib.tcpx_capabilities(effective));
  return (name) => (effective[0]! & capabilityMask([name])) !== 0n;
}

/** What a command does, and what the kernel asks for that; CAP_SYS_ADMIN stands for PERFMON and BPF. */
const NEEDED = {
  /** Reads maps that are pinned. */
  read: ["BPF"],
  /** Also has an iterator list sockets. */
  list: ["PERFMON", "BPF"],
  /** Loads programs of the network and attaches them. */
  change: ["NET_ADMIN", "PERFMON", "BPF"],
} as const satisfies Record<string, readonly Capability[]>;

export type Work = keyof typeof NEEDED;

/** Names of the capabilities that this work needs and this process lacks. */
export function missingCapabilities(lib: Bridge, work: Work = "change"): string[] {
  const has = capabilities(lib);
  const missing = NEEDED[work].filter((name) => !has(name) && (name === "NET_ADMIN" || !has("SYS_ADMIN")));
  return missing.map((name) => `CAP_${name}`);
}

/** @throws TcpxError (permission) */
export function requireCapabilities(lib: Bridge, work: Work = "change"): void {
  const missing = missingCapabilities(lib, work);
  if (missing.length === 0) return;
  throw new TcpxError(Exit.PERMISSION, `not permitted: ${missing.join(", ")} missing`, {
    hint: "run it as root, for example with sudo",
  });
}

/** Creates our directory in bpffs unless it is there. */
export function ownDirectory(path: string): void {
  try {
    makeDirectory(path, 0o700);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  requireOwn(path);
}

/** Refuses a directory that somebody else could have planted: a bpffs may be writable for all. */
export function requireOwn(path: string): void {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info) return;
  const refused = (why: string, hint: string) =>
    new TcpxError(Exit.PERMISSION, `${path} ${why}`, { value: path, hint });
  if (!info.isDirectory()) throw refused("is not a directory", "look at it, then remove it");
  if (info.uid !== process.geteuid?.()) {
    throw refused(
      `is not ours: it belongs to uid ${info.uid}`,
      "run tcpx on the host as root, or look at it, then remove it",
    );
  }
  if ((info.mode & 0o022) !== 0)
    throw refused("can be written to by others", `look at it, then: chmod 700 ${path}`);
}
