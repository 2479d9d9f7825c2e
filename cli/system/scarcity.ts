// SPDX-License-Identifier: MIT
// Limits that are met on the way. What the runtime would die of is told before it starts (native-loader/start/).

import { readFileSync } from "node:fs";
import { release } from "node:os";

/** Errors of system calls that tell of a limit, and what to raise. */
const HINTS: Record<string, string> = {
  EMFILE: "too many files are open at a time: raise the limit (ulimit -n, LimitNOFILE=)",
  ENFILE: "too many files are open on this host (sysctl fs.file-max)",
  ENOMEM: "memory is short, or limited (ulimit -v, MemoryMax=, memory.max)",
  EFBIG: "the size of files is limited: raise the limit (ulimit -f, LimitFSIZE=)",
};
const TASKS = "no more processes can be started: raise the limit (ulimit -u, TasksMax=, pids.max)";

/** What to do about an error that a limit has caused; undefined for others. */
export function limitHint({ code, syscall }: { code?: unknown; syscall?: unknown }): string | undefined {
  if (code === "EAGAIN" && typeof syscall === "string" && /spawn|fork/.test(syscall)) return TASKS;
  return typeof code === "string" && Object.hasOwn(HINTS, code) ? HINTS[code] : undefined;
}

/**
 * The limit of locked memory in KB where it counts programs and maps, which it does before Linux 5.11; undefined where
 * there is none.
 */
export function lockedMemoryLimit(
  version = release(),
  limits = readFileSync("/proc/self/limits", "utf8"),
): number | undefined {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  if (major > 5 || (major === 5 && minor >= 11)) return undefined;
  const soft = /^Max locked memory\s+(\d+)\s/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Math.floor(Number(soft) / 1024);
}
