// SPDX-License-Identifier: MIT
// A cgroup with a limit of tasks or memory, in whichever hierarchy has the controller.
import { existsSync, mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { until } from "./process.ts";
import { requirement } from "./requires.ts";

type Controller = "pids" | "memory";

const FILES = {
  pids: { v1: "pids.max", v2: "pids.max" },
  memory: { v1: "memory.limit_in_bytes", v2: "memory.max" },
} as const;

/** The hierarchy's root, and the file of the limit; undefined where nobody can limit that. */
function placeOf(controller: Controller): { root: string; file: string } | undefined {
  const v1 = `/sys/fs/cgroup/${controller}`;
  const { v1: first, v2: second } = FILES[controller];
  if (existsSync(join(v1, "cgroup.procs"))) return { root: v1, file: first };
  const v2 = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].find((root) => {
    try {
      const words = readFileSync(join(root, "cgroup.subtree_control"), "utf8").trim().split(" ");
      return words.includes(controller);
    } catch {
      return false;
    }
  });
  return v2 === undefined ? undefined : { root: v2, file: second };
}

export const limitsRequirement = requirement(
  "limits",
  placeOf("pids") !== undefined && placeOf("memory") !== undefined,
  "cgroups with pids and memory controllers",
);

export class LimitedCgroup implements AsyncDisposable {
  private readonly file: string;

  constructor(
    controller: Controller,
    private readonly name: string,
  ) {
    const place = placeOf(controller)!;
    this.path = join(place.root, name);
    this.file = place.file;
    mkdirSync(this.path);
  }
  readonly path: string;

  limit(value: number): void {
    writeFileSync(join(this.path, this.file), `${value}`);
  }

  /** The command that runs the command after it in here; a process enters it, and no other is started. */
  get wrap(): string[] {
    return ["sh", "-c", `echo $$ >"${this.path}/cgroup.procs"; ulimit -c 0; exec "$@"`, this.name];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const removed = await until(() => {
      try {
        rmdirSync(this.path);
        return true;
      } catch {
        return false;
      }
    });
    if (!removed) throw new Error(`${this.path} is not empty`);
  }
}
