// SPDX-License-Identifier: MIT
// Whose programs are these, which no pin of ours holds? Looks into the bpffs of other mount namespaces, then at
// who holds them open. What another host's /proc would say cannot be known here.

import { readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import type { Bridge } from "../bridge/bridge.ts";
import { linkInfo, openPin } from "../bridge/maps.ts";
import { octal } from "../system/cgroup-path.ts";
import { allScopeDirs, linksIn } from "./pins.ts";

/** As long as a look may take, ms: a host may have 100,000 processes. */
const MOST_MS = 2000;

export interface Owner {
  /** A process that holds it, or lives where its bpffs is. */
  pid: number;
  command: string;
  /** Inode numbers. */
  pidNamespace: number | null;
  mountNamespace: number | null;
  /** By the name of its cgroup, as container runtimes give it; null: in none of those. */
  container: string | null;
  /** Where the other bpffs is mounted there; null: it is not known to be pinned. */
  bpffs: string | null;
}

const orUndefined = <T>(look: () => T): T | undefined => {
  try {
    return look();
  } catch {
    return undefined; // it has ended, or we may not look
  }
};

const text = (path: string) => orUndefined(() => readFileSync(path, "utf8")) ?? "";

/** Every process that can be seen, the oldest first. */
export const processes = (): number[] =>
  readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number)
    .sort((a, b) => a - b);

function namespaceOf(pid: number, kind: "mnt" | "pid"): number | null {
  const link = orUndefined(() => readlinkSync(`/proc/${pid}/ns/${kind}`)) ?? "";
  const inode = /\d+/.exec(link)?.[0];
  return inode === undefined ? null : Number(inode);
}

function ownerOf(pid: number, bpffs: string | null): Owner {
  return {
    pid,
    command: text(`/proc/${pid}/comm`).trim(),
    pidNamespace: namespaceOf(pid, "pid"),
    mountNamespace: namespaceOf(pid, "mnt"),
    container: /[0-9a-f]{64}/.exec(text(`/proc/${pid}/cgroup`))?.[0].slice(0, 12) ?? null,
    bpffs,
  };
}

/** Of processes that share a mount namespace, the one that is process 1 of a pid namespace, as in a container. */
function chiefOf(pids: readonly number[]): number {
  const isInit = (pid: number) => /^NSpid:(?:\t\d+)+\t1$/m.test(text(`/proc/${pid}/status`));
  return pids.find(isInit) ?? pids[0]!;
}

/** Where bpffs is mounted, as a process sees it. */
function bpffsMounts(pid: number): string[] {
  return text(`/proc/${pid}/mountinfo`)
    .split("\n")
    .flatMap((line) => (line.includes(" - bpf ") ? octal(line.split(" ")[4] ?? "") : []));
}

/** Programs of the links that another tcpx has pinned there. */
function pinnedIn(lib: Bridge, bpffs: string): number[] {
  const links = (orUndefined(() => allScopeDirs(bpffs)) ?? []).flatMap((dir) =>
    linksIn(dir).map((name) => join(dir, name)),
  );
  return links.flatMap((path) => {
    const found = orUndefined(() => {
      using link = openPin(lib, path);
      return link && linkInfo(lib, link.fd).progId;
    });
    return found ?? [];
  });
}

/** Programs of links that a process has open. */
function heldBy(pid: number): number[] {
  const fds = orUndefined(() => readdirSync(`/proc/${pid}/fd`)) ?? [];
  return fds.flatMap((fd) => {
    const link = orUndefined(() => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? "";
    if (!/^anon_inode:\[?bpf[-_](?:link|prog)/.test(link)) return [];
    return Number(/^prog_id:\s*(\d+)$/m.exec(text(`/proc/${pid}/fdinfo/${fd}`))?.[1] ?? 0);
  });
}

/**
 * Who has these programs, as far as that can be seen from here, in a bounded time.
 * @param ownBpffs is not looked into
 */
export function ownersOf(
  lib: Bridge,
  programs: ReadonlySet<number>,
  ownBpffs: string | undefined,
): Map<number, Owner> {
  const owners = new Map<number, Owner>();
  const end = performance.now() + MOST_MS;
  const goesOn = () => owners.size < programs.size && performance.now() < end;
  const note = (ids: number[], owner: () => Owner) => {
    for (const id of ids) if (programs.has(id) && !owners.has(id)) owners.set(id, owner());
  };
  const devices = new Set([ownBpffs && statSync(ownBpffs, { throwIfNoEntry: false })?.dev]);
  const pids = processes();
  const views = Map.groupBy(pids, (pid) => (goesOn() ? namespaceOf(pid, "mnt") : null));
  views.delete(null);
  for (const sharers of views.values()) {
    if (!goesOn()) return owners;
    const [pid] = sharers as [number];
    for (const path of bpffsMounts(pid)) {
      const seen = `/proc/${pid}/root${path}`;
      const device = orUndefined(() => statSync(seen).dev);
      if (device === undefined || devices.has(device)) continue;
      devices.add(device);
      note(pinnedIn(lib, seen), () => ownerOf(chiefOf(sharers), path));
    }
  }
  for (const pid of pids) {
    if (!goesOn()) return owners;
    note(heldBy(pid), () => ownerOf(pid, null));
  }
  return owners;
}
