// SPDX-License-Identifier: MIT
// What a `tcpx watch` costs the connections that it tells of: a loop of short connections with all rules
// matching, with and without a watcher, in turn. It also counts what the watcher has lost. The clients are
// in a scope of their own, and the server's is watched; the harder case has both ends in the one watched.

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

interface Case {
  name: string;
  /** Are the clients in a scope of their own? */
  apart: boolean;
  watch?: (watched: string, other: string) => string[];
}

const casesFor = (apart: boolean, name: string): Case[] => [
  { name: `${name}: no watch`, apart },
  { name: `${name}: watch`, apart, watch: (watched) => ["--cgroup", watched] },
  { name: `${name}: watch --json`, apart, watch: (watched) => ["--cgroup", watched, "--json"] },
  { name: `${name}: of another scope`, apart, watch: (_, other) => ["--cgroup", other] },
];

/** The first one of each kind is what the others are compared with. */
const CASES: readonly Case[] = [...casesFor(true, "server"), ...casesFor(false, "both ends")];

interface Run {
  perSecond: number;
  /** Of the server, or of both ends, per connection: what the kernel's side adds. */
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
  /** What is watched; the clients, when apart; nobody; the watcher. */
  watched: string;
  clients: string;
  other: string;
  own: string;
}

async function once(place: Place, { apart, watch }: Case): Promise<Run> {
  const { lab, program, netns, watched, clients, other, own } = place;
  const watcher = watch && (await Watcher.start(lab, own, watch(watched, other)));
  const loop = (count: number) => {
    const argv = [program, String(count), ...(apart ? [clients] : [])];
    return lab.exec(netns, argv, "", watched);
  };
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
  const of = (all: Run[], field: keyof Run) => all.map((run) => run[field]);
  const median = (field: keyof Run) => quantile(of(runs, field), 0.5);
  const lost = runs.reduce((sum, run) => sum + run.lost, 0);
  return [
    name,
    median("perSecond").toFixed(0),
    summary(of(runs, "perSecond"), of(base, "perSecond")).ratio,
    interval(of(runs, "perSecond"), of(base, "perSecond")),
    median("loopMicros").toFixed(1),
    interval(of(runs, "loopMicros"), of(base, "loopMicros")),
    median("events").toFixed(0),
    String(lost),
    median("micros").toFixed(2),
    `${(100 * median("share")).toFixed(0)} %`,
  ];
}

async function placeIn(lab: Lab): Promise<Place> {
  const { loop: program } = await buildSupport();
  const [watched, clients, other, own] = ["watched", "clients", "other", "watcher"].map((name) =>
    lab.cgroup(name),
  ) as [string, string, string, string];
  return { lab, program, netns: await lab.netns("loop"), watched, clients, other, own };
}

/** Runs all cases ROUNDS times in turn and returns the table's rows. */
export async function watchRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const place = await placeIn(lab);
  const scopes = [place.watched, place.clients];
  const runs = CASES.map((): Run[] => []);
  try {
    for (const cgroup of scopes)
      for (const rule of RULES.at(-1)!.rules) await tcpx([...rule, "--cgroup", cgroup, "--wait"]);
    for (let round = -1; round < ROUNDS; round++) {
      for (const [i, what] of CASES.entries()) {
        const run = await once(place, what);
        if (round >= 0) runs[i]!.push(run); // the first round warms up
      }
    }
  } finally {
    for (const cgroup of scopes)
      for (const ext of ["uto", "cc-request", "iw"])
        await tcpx([ext, "unset", "--all", "--cgroup", cgroup, "--wait"]);
  }
  const baseOf = ({ apart }: Case) => runs[CASES.findIndex((other) => other.apart === apart)]!;
  return CASES.map((what, i) => row(what.name, runs[i]!, baseOf(what)));
}
