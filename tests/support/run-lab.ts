// SPDX-License-Identifier: MIT
// `tcpx run` in a child cgroup: started as a user would, and judged from outside.
import { type Dirent, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { type Child, Lab, type SpawnOptions, until } from "./lab.ts";
import { tcpxPath } from "./tcpx.ts";

export interface Ended {
  code: number;
  stdout: string;
  stderr: string;
}

export class RunLab implements AsyncDisposable {
  private constructor(
    readonly lab: Lab,
    /** The cgroup of those who call tcpx. */
    readonly home: string,
  ) {}

  static async create(): Promise<RunLab> {
    const lab = await Lab.create();
    return new RunLab(lab, lab.cgroup("home"));
  }

  /** The cgroups of runs below a cgroup, that of the nested ones included. */
  runs(below = this.home): string[] {
    let entries: Dirent[];
    try {
      entries = readdirSync(below, { withFileTypes: true }).filter((entry) => entry.isDirectory());
    } catch {
      return []; // it has just gone
    }
    return entries.flatMap(({ name }) => {
      const path = join(below, name);
      return [...(/^tcpx-run-/.test(name) ? [path] : []), ...this.runs(path)];
    });
  }

  /** Waits until no run is left; says whether that has happened. */
  gone(ms?: number): Promise<boolean> {
    return until(() => this.runs().length === 0, ms);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const gone = await this.gone();
    await this.lab[Symbol.asyncDispose]();
    if (!gone) throw new Error("a run was left behind");
  }

  /** Starts `tcpx run WORDS`. */
  start(words: readonly string[], where: SpawnOptions = {}): Child {
    return this.lab.spawn([tcpxPath(), "run", ...words], { cgroup: this.home, stderr: "pipe", ...where });
  }

  /** Runs it to its end. */
  async run(words: readonly string[], where: SpawnOptions = {}): Promise<Ended> {
    const child = this.start(words, where);
    void child.stdin.end();
    const stderr = new Response(child.stderr as ReadableStream).text();
    const [stdout, err, code] = await Promise.all([child.stdout.text(), stderr, child.exited]);
    return { code, stdout, stderr: err };
  }

  /** Waits until the process that was started as tcpx is this program. */
  became(child: Child, program: string): Promise<boolean> {
    return until(() => commOf(child.pid) === program, 10_000);
  }

  /** The watchers of these cgroups' callers. */
  watchers(cgroup = this.home): number[] {
    const pids = readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean).map(Number);
    return pids.filter((pid) => commOf(pid) === "tcpx-run-watch");
  }
}

export function commOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
  } catch {
    return "";
  }
}

/** The name of the cgroup v2 that a process is in. */
export function cgroupNameOf(pid: number): string {
  const line = readFileSync(`/proc/${pid}/cgroup`, "utf8").split("\n");
  return basename(line.find((l) => l.startsWith("0::")) ?? "");
}
