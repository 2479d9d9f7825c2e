// SPDX-License-Identifier: MIT
// What a `tcpx watch` costs the connections that it tells of: a loop of short connections with all rules
// matching, with and without a watcher, in turn. It also counts what the watcher has lost.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildSupport } from "../support/build.ts";
import { type Child, Lab, until } from "../support/lab.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { ROUNDS, CASES as RULES } from "./connections.ts";
import { interval, quantile, summary } from "./stats.ts";

const CONNECTIONS = 10_000;
/** Before that, in every case: the runtime compiles what a watcher does often. */
const WARM = 6_000;

/** The first one is what the others are compared with. */
const CASES: readonly { name: string; watch?: (cgroup: string, other: string) => string[] }[] = [
  { name: "no watch" },
  { name: "watch", watch: (cgroup) => ["--cgroup", cgroup] },
  { name: "watch --json", watch: (cgroup) => ["--cgroup", cgroup, "--json"] },
  { name: "of another scope", watch: (_, other) => ["--cgroup", other] },
];

interface Run {
  perSecond: number;
  /** Of both ends, per connection: what the kernel's side adds. */
  loopMicros: number;
  events: number;
  lost: number;
  /** CPU time of the watcher per event, and its share of a CPU meanwhile. */
  micros: number;
  share: number;
}

/** CPU time of everything in a cgroup, microseconds. */
function usage(cgroup: string): number {
  return Number(/^usage_usec (\d+)$/m.exec(readFileSync(join(cgroup, "cpu.stat"), "utf8"))![1]);
}

class Watcher {
  private said = "";
  private readonly read: Promise<void>;

  private constructor(private readonly child: Child) {
    this.read = this.listen(child.stderr as ReadableStream<Uint8Array>);
  }

  private async listen(stream: ReadableStream<Uint8Array>): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of stream) this.said += decoder.decode(chunk, { stream: true });
  }

  static async start(lab: Lab, cgroup: string, args: string[]): Promise<Watcher> {
    const argv = ["sh", "-c", 'exec "$0" watch "$@" >/dev/null', tcpxPath(), ...args];
    const watcher = new Watcher(lab.spawn(argv, { cgroup, stderr: "pipe" }));
    if (!(await until(() => watcher.said.includes("Ctrl-C"), 10_000))) throw new Error(watcher.said);
    return watcher;
  }

  async end(): Promise<{ events: number; lost: number }> {
    this.child.kill("SIGINT");
    await Promise.all([this.child.exited, this.read]);
    const [, events, lost] = /(\d+) events, (\d+) lost/.exec(this.said) ?? [];
    return { events: Number(events), lost: Number(lost) };
  }
}

interface Place {
  lab: Lab;
  program: string;
  netns: string;
  cgroup: string;
  /** Of the watcher. */
  own: string;
}

async function once({ lab, program, netns, cgroup, own }: Place, args: string[] | undefined): Promise<Run> {
  const watcher = args && (await Watcher.start(lab, own, args));
  const loop = (count: number) => lab.exec(netns, [program, String(count)], "", cgroup);
  await loop(WARM);
  const before = usage(own);
  const out = await loop(CONNECTIONS);
  const [wall = 0, used = 0] = out.trim().split(" ").map(Number);
  const cpu = usage(own) - before;
  const { events, lost } = (await watcher?.end()) ?? { events: 0, lost: 0 };
  return {
    perSecond: (CONNECTIONS * 1e6) / wall,
    loopMicros: used / CONNECTIONS,
    events,
    lost,
    micros: events > 0 ? (cpu / events) * ((WARM + CONNECTIONS) / CONNECTIONS) : 0,
    share: cpu / wall,
  };
}

function row(name: string, runs: Run[], base: Run[]): string[] {
  const speed = (all: Run[]) => all.map(({ perSecond }) => perSecond);
  const cpu = (all: Run[]) => all.map(({ loopMicros }) => loopMicros);
  const median = (field: keyof Run) =>
    quantile(
      runs.map((run) => run[field]),
      0.5,
    );
  const lost = runs.reduce((sum, run) => sum + run.lost, 0);
  return [
    name,
    median("perSecond").toFixed(0),
    summary(speed(runs), speed(base)).ratio,
    median("loopMicros").toFixed(1),
    interval(cpu(runs), cpu(base)),
    median("events").toFixed(0),
    String(lost),
    median("micros").toFixed(2),
    `${(100 * median("share")).toFixed(0)} %`,
  ];
}

/** Runs all cases ROUNDS times in turn and returns the table's rows. */
export async function watchRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const [cgroup, other, own] = ["loop", "other", "watcher"].map((name) => lab.cgroup(name)) as [
    string,
    string,
    string,
  ];
  const place = { lab, program: (await buildSupport()).loop, netns: await lab.netns("loop"), cgroup, own };
  const runs = CASES.map((): Run[] => []);
  try {
    for (const rule of RULES.at(-1)!.rules) await tcpx([...rule, "--cgroup", cgroup, "--wait"]);
    for (let round = -1; round < ROUNDS; round++) {
      for (const [i, { watch }] of CASES.entries()) {
        const run = await once(place, watch?.(cgroup, other));
        if (round >= 0) runs[i]!.push(run); // the first round warms up
      }
    }
  } finally {
    for (const ext of ["uto", "cc-request", "iw"])
      await tcpx([ext, "unset", "--all", "--cgroup", cgroup, "--wait"]);
  }
  return CASES.map(({ name }, i) => row(name, runs[i]!, runs[0]!));
}
