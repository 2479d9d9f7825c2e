// SPDX-License-Identifier: MIT
// How often a scope's sock_ops program has run: the kernel's own count.
import { readFileSync, writeFileSync } from "node:fs";
import { run } from "./lab.ts";
import { every, labRequirement, requirement } from "./requires.ts";
import { scopeOf } from "./uto-lab.ts";

const STATS = "/proc/sys/kernel/bpf_stats_enabled";

export const runsRequirement = every(
  "all",
  labRequirement,
  requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool"),
);

/** Counts while it exists: the kernel does so only when it is told to. */
export class RunCounts implements Disposable {
  private readonly before = readFileSync(STATS, "utf8");

  constructor(private readonly sides: readonly { cgroup: string }[]) {
    writeFileSync(STATS, "1\n");
  }

  /** Runs of the programs of all sides so far; a side without rules has none. */
  async total(): Promise<number> {
    let sum = 0;
    for (const { cgroup } of this.sides) {
      const scope = await scopeOf(cgroup);
      if (!scope) continue;
      const shown = await run(["bpftool", "prog", "show", "id", `${scope.program_id}`, "-j"]);
      sum += JSON.parse(shown).run_cnt ?? 0;
    }
    return sum;
  }

  [Symbol.dispose](): void {
    writeFileSync(STATS, this.before);
  }
}
