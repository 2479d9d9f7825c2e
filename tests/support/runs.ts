// SPDX-License-Identifier: MIT
// How often a scope's sock_ops program has run: the kernel's own count.
import { dlopen } from "bun:ffi";
import { closeSync } from "node:fs";
import { cgroupMount, run } from "./lab.ts";
import { every, labRequirement, requirement } from "./requires.ts";
import { scopeOf } from "./uto-lab.ts";

const SYS_BPF = process.arch === "arm64" ? 280 : 321;
const BPF_ENABLE_STATS = 32;
const libc = dlopen("libc.so.6", {
  syscall: { args: ["i64", "i64", "ptr", "i64"], returns: "i64" },
}).symbols;

const bpftool = requirement("bpftool", Bun.which("bpftool") !== null, "the program bpftool");

/** Programs that the kernel runs for every socket of the machine: another tcpx may have a rule there. */
function onRoot(): string[] {
  const { stdout } = Bun.spawnSync(["bpftool", "cgroup", "show", cgroupMount(), "-j"]);
  const shown: { attach_type: string; name: string }[] = JSON.parse(stdout.toString().trim() || "[]");
  return shown.filter(({ attach_type }) => attach_type.endsWith("sock_ops")).map(({ name }) => name);
}

/** Where others have programs, too, tcpx leaves them all callbacks for good, and its own program runs on. */
export const aloneRequirement = requirement(
  "alone",
  !labRequirement.ok || !bpftool.ok || onRoot().length === 0,
  "no sock_ops program of others on the root cgroup",
);

export const runsRequirement = every("all", labRequirement, bpftool, aloneRequirement);

/** Counts while it exists: the kernel does so only while somebody wants it, whatever others want. */
export class RunCounts implements Disposable {
  private readonly fd: number;

  constructor(private readonly sides: readonly { cgroup: string }[]) {
    const runTime = new Uint32Array(1); // BPF_STATS_RUN_TIME
    this.fd = Number(libc.syscall(SYS_BPF, BPF_ENABLE_STATS, runTime, runTime.byteLength));
    if (this.fd < 0) throw new Error("the kernel does not count runs of programs");
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
    closeSync(this.fd);
  }
}
