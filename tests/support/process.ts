// SPDX-License-Identifier: MIT
// Programs of the tests: started in a network namespace and a cgroup, awaited, stopped.
import { readFileSync } from "node:fs";

export const NETNS_DIR = "/run/netns";

export type Child = Bun.Subprocess<"pipe", "pipe", "pipe" | "inherit">;

export interface Place {
  /** Full name of a network namespace. */
  netns?: string | undefined;
  /** Path of a cgroup directory. */
  cgroup?: string | undefined;
}

/**
 * The command line that runs a command in a network namespace and a cgroup. Both helpers exec, so the pid
 * stays. The cgroup comes first and nsenter is used, because "ip netns exec" hides the cgroup tree.
 */
export function enter(command: readonly string[], { netns, cgroup }: Place): string[] {
  const inside = netns ? ["nsenter", `--net=${NETNS_DIR}/${netns}`, "--", ...command] : [...command];
  if (!cgroup) return inside;
  return ["sh", "-c", 'echo $$ > "$0/cgroup.procs" && exec "$@"', cgroup, ...inside];
}

/** Runs a command to its end and returns its stdout; a failure throws with its stderr. */
export async function run(command: readonly string[], where: Place = {}, stdin = ""): Promise<string> {
  const child = Bun.spawn(enter(command, where), {
    stdin: Buffer.from(stdin),
    stdout: "pipe",
    stderr: "pipe",
    timeout: 30_000,
  });
  const [out, err, code] = await Promise.all([child.stdout.text(), child.stderr.text(), child.exited]);
  if (code !== 0) throw new Error(`${command.join(" ")}: exit ${code}\n${err || out}`);
  return out;
}

export async function stop(child: Child, signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const hard = setTimeout(() => child.kill("SIGKILL"), 2000);
  await child.exited;
  clearTimeout(hard);
}

/** Long after a machine that others use, too, has got round to it; what is well takes milliseconds. */
const PATIENCE_MS = 20_000;

/** Asks until the answer is true; false when the time is over. */
export async function until(ready: () => boolean | Promise<boolean>, ms = PATIENCE_MS): Promise<boolean> {
  for (const end = Date.now() + ms; ; await Bun.sleep(20)) {
    if (await ready()) return true;
    if (Date.now() > end) return false;
  }
}

/** Measures until something is whole, which a busy machine spoils; after the last time, what there is. */
export async function attempts<T>(
  most: number,
  measure: (attempt: number) => Promise<T>,
  isWhole: (seen: T) => boolean,
): Promise<T> {
  for (let attempt = 1; ; attempt++) {
    const seen = await measure(attempt);
    if (isWhole(seen) || attempt === most) return seen;
  }
}

/** The cgroup2 mount point; on a hybrid host it is not /sys/fs/cgroup. */
export function cgroupMount(): string {
  for (const line of readFileSync("/proc/self/mounts", "utf8").split("\n")) {
    const [, path, type] = line.split(" ");
    if (type === "cgroup2" && path) return path;
  }
  throw new Error("no cgroup2 file system is mounted");
}
