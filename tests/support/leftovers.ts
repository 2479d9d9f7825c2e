// SPDX-License-Identifier: MIT
// What a lab leaves in the system, found by its name: namespaces, cgroups, temporary directories.
import { readdirSync, readFileSync, rmdirSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { cgroupMount, NETNS_DIR } from "./process.ts";

/** Inode of our pid namespace: a pid of another one tells nothing about who is alive. */
const PID_NS = statSync("/proc/self/ns/pid").ino;
const NAME = new RegExp(`^tcpx-t-${PID_NS}-(\\d+)-`);

/** What the names begin with of all that this process makes. */
export const OWN_PREFIX = `tcpx-t-${PID_NS}-${process.pid}-`;

function list(dir: string): string[] {
  try {
    return readdirSync(dir).filter((name) => NAME.test(name));
  } catch {
    return [];
  }
}

/** Namespaces, cgroups and temporary directories whose names start with the prefix. */
export function leftovers(prefix: string): string[] {
  return [NETNS_DIR, cgroupMount(), tmpdir()].flatMap((dir) =>
    list(dir)
      .filter((name) => name.startsWith(prefix))
      .map((name) => join(dir, name)),
  );
}

/** What killed test runs left behind: only of processes that are gone, and only cgroups that are empty. */
export function sweep(): void {
  for (const path of leftovers("")) {
    const pid = Number(NAME.exec(basename(path))?.[1]);
    if (statExists(`/proc/${pid}`)) continue;
    if (path.startsWith(NETNS_DIR)) Bun.spawnSync(["ip", "netns", "del", basename(path)]);
    else if (path.startsWith(cgroupMount())) removeCgroup(path);
    else rmSync(path, { recursive: true, force: true });
  }
}

export function statExists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function cgroupTree(path: string): string[] {
  if (!statExists(path)) return [];
  const children = readdirSync(path, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return [...children.flatMap((entry) => cgroupTree(join(path, entry.name))), path];
}

/** Children first. False while a process that is ending still holds one of them. */
export function removeCgroup(path: string): boolean {
  try {
    for (const dir of cgroupTree(path)) rmdirSync(dir);
    return true;
  } catch {
    return false;
  }
}

/** The pids in a cgroup and the cgroups below it, without those of outer pid namespaces, which have none here. */
export function processesOf(cgroup: string): number[] {
  return cgroupTree(cgroup).flatMap((dir) =>
    readFileSync(join(dir, "cgroup.procs"), "utf8")
      .split("\n")
      .map(Number)
      .filter((pid) => pid > 0),
  );
}

/** The labs in use. */
export const open = new Set<{ abandon(): void }>();
let watching = false;

/** The last resort, when the process ends before the disposal: everything at once, and synchronous. */
export function watchExit(): void {
  if (watching) return;
  watching = true;
  const abandon = () => {
    for (const lab of open) lab.abandon();
  };
  process.on("exit", abandon);
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.on(signal, () => {
      abandon();
      process.exit(code);
    });
  }
}
