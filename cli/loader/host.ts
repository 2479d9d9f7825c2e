// SPDX-License-Identifier: MIT
// Where this host keeps cgroups and bpffs, and who we are on it.

import { mkdirSync, readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { join, relative, resolve } from "node:path";
import { Exit, TcpxError, usageError } from "../errors.ts";
import { type Bridge, cstr, Errno, isErrno, unwrap } from "./bridge.ts";

const CGROUP2_MAGIC = 0x63677270n;
const BPFFS_MAGIC = 0xcafe4a11n;
const BPFFS = "/sys/fs/bpf";
/** `ip netns exec` hides /sys/fs/*; what process 1 sees is still the host's. */
const INIT_ROOT = "/proc/1/root";

/** A scope: a cgroup v2 directory. */
export interface Scope {
  /** Path that this process can open. */
  path: string;
  /** Path below the cgroup2 mount, "/" for the root. */
  name: string;
  id: bigint;
}

function text(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

function cgroup2In(mounts: string): string | undefined {
  const line = mounts.split("\n").find((l) => l.split(" ")[2] === "cgroup2");
  return line?.split(" ")[1]?.replaceAll("\\040", " ");
}

/** The cgroup2 mount point as this process can reach it, or undefined. */
export function findCgroupRoot(): string | undefined {
  const own = cgroup2In(text("/proc/self/mounts"));
  if (own) return own;
  const init = cgroup2In(text("/proc/1/mounts"));
  return init && INIT_ROOT + init;
}

export function cgroupRoot(): string {
  const root = findCgroupRoot();
  if (root) return root;
  throw new TcpxError(Exit.UNSUPPORTED, "no cgroup2 file system is mounted", {
    hint: "mount one with: mount -t cgroup2 none /sys/fs/cgroup",
  });
}

function fsType(lib: Bridge, path: string): bigint {
  const magic = new BigUint64Array(1);
  return lib.tcpx_fs_type(cstr(path), magic) < 0 ? 0n : magic[0]!;
}

function isDirectory(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? false;
}

/**
 * The scope that `--cgroup` names: a directory of the cgroup2 mount, absolute or relative to it.
 * @throws TcpxError (usage) when it is none
 */
export function findScope(lib: Bridge, cgroup: string | undefined): Scope {
  const root = cgroupRoot();
  const candidates =
    cgroup === undefined ? [root] : [resolve(cgroup), INIT_ROOT + resolve(cgroup), join(root, cgroup)];
  const path = candidates.find((p) => isDirectory(p) && fsType(lib, p) === CGROUP2_MAGIC);
  if (!path) {
    const shown = candidates.find(isDirectory);
    const why = shown ? "is not in the cgroup2 hierarchy" : "does not exist";
    const hint = `accepted is a directory below ${root.replace(INIT_ROOT, "")}`;
    throw usageError(`--cgroup '${cgroup}' ${why}`, cgroup, hint);
  }
  const real = path.startsWith(INIT_ROOT) ? path : realpathSync(path);
  const below = relative(path.startsWith(INIT_ROOT) ? root : realpathSync(root), real);
  return { path: real, name: below === "" ? "/" : `/${below}`, id: statSync(real, { bigint: true }).ino };
}

/** The bpffs that this host's pins live in, or undefined while none is mounted. */
export function findBpffs(lib: Bridge): string | undefined {
  return [BPFFS, INIT_ROOT + BPFFS].find((path) => fsType(lib, path) === BPFFS_MAGIC);
}

/** Are we in another mount namespace than process 1? A mount made here would end with it. */
function inPrivateMounts(): boolean {
  try {
    return readlinkSync("/proc/self/ns/mnt") !== readlinkSync("/proc/1/ns/mnt");
  } catch {
    return false;
  }
}

/** Finds bpffs, mounting it where it is not; mount source "tcpx" marks it as ours. */
export function ensureBpffs(lib: Bridge): { path: string; mounted: boolean } {
  const present = findBpffs(lib);
  if (present) return { path: present, mounted: false };
  const inInit = inPrivateMounts();
  const result = lib.tcpx_mount_bpffs(cstr(BPFFS), inInit ? 1 : 0);
  if (result < 0) {
    const error = new Errno("mount", -result);
    throw new TcpxError(
      Exit.UNSUPPORTED,
      `bpffs is not mounted and could not be mounted at ${BPFFS} (${error.code})`,
      {
        hint: `mount it with: mount -t bpf bpf ${BPFFS}`,
        cause: error,
      },
    );
  }
  return { path: inInit ? INIT_ROOT + BPFFS : BPFFS, mounted: true };
}

/** Takes back a mount that tcpx made. False when it is not ours, or holds somebody's pins. */
export function unmountOwnBpffs(lib: Bridge): boolean {
  const ours = text("/proc/1/mounts")
    .split("\n")
    .some((line) => line.startsWith(`tcpx ${BPFFS} bpf `));
  // unmounting would destroy what other programs have pinned there
  const empty = readdirSync(inPrivateMounts() ? INIT_ROOT + BPFFS : BPFFS).every((name) => name.endsWith(".debug"));
  return ours && empty && lib.tcpx_umount(cstr(BPFFS), inPrivateMounts() ? 1 : 0) >= 0;
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

const CAP = { NET_ADMIN: 12n, SYS_ADMIN: 21n, PERFMON: 38n, BPF: 39n } as const;

/** Names of the capabilities that tcpx needs and this process lacks. */
export function missingCapabilities(lib: Bridge): string[] {
  const effective = new BigUint64Array(1);
  unwrap("capget", lib.tcpx_capabilities(effective));
  const has = (cap: bigint) => (effective[0]! & (1n << cap)) !== 0n;
  const needed = (["NET_ADMIN", "PERFMON", "BPF"] as const).filter(
    (name) => !has(CAP[name]) && (name === "NET_ADMIN" || !has(CAP.SYS_ADMIN)),
  );
  return needed.map((name) => `CAP_${name}`);
}

/** @throws TcpxError (permission) */
export function requireCapabilities(lib: Bridge): void {
  const missing = missingCapabilities(lib);
  if (missing.length === 0) return;
  throw new TcpxError(Exit.PERMISSION, `not permitted: ${missing.join(", ")} missing`, {
    hint: "run it as root, for example with sudo",
  });
}

/** Creates our directory in bpffs, and refuses one that somebody else could have planted. */
export function ownDirectory(path: string): void {
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  }
  const info = statSync(path, { throwIfNoEntry: false });
  if (info?.isDirectory() && info.uid === process.geteuid?.() && (info.mode & 0o022) === 0) return;
  throw new TcpxError(Exit.PERMISSION, `${path} is not a directory of ours`, {
    value: path,
    hint: "somebody else made it: look at it, then remove it",
  });
}
