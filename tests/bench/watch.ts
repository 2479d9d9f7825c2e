// SPDX-License-Identifier: MIT
// What a `tcpx watch` costs the connections that it tells of: a loop of short connections with all rules
// matching, in turn with and without a watcher. It also counts what the watcher has lost. The clients are in
// a scope of their own, and the server's is watched: first with 10,000 connections offered in a second, then
// as fast as one client can, where every cycle of the watcher is one that the loop does not have. The hardest
// case has both ends in the scope that is watched.
//
// The runtime takes seconds to compile what a watcher does often, so one is kept: while it is stopped, and
// its wish withdrawn, nobody watches.

import { readFileSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, bridge } from "../../cli/bridge/bridge.ts";
import { type Fd, lookup, openPin } from "../../cli/bridge/maps.ts";
import { extensions } from "../../cli/extensions/index.ts";
import { structs, WatchSlot } from "../../cli/layout/layout.generated.ts";
import { decode } from "../../cli/layout/struct.ts";
import { layoutDir } from "../../cli/loader/pins.ts";
import { findBpffs } from "../../cli/system/host.ts";
import { buildSupport } from "../support/build.ts";
import { type Child, Lab, until } from "../support/lab.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { ROUNDS, CASES as RULES } from "./connections.ts";
import { interval, quantile, summary } from "./stats.ts";

const CONNECTIONS = 5_000;
const OFFERED = 10_000;
const WARM = 30_000;
/** Before every measurement: what changes with the watcher's coming and going. */
const SETTLE = 1_000;
/** Milliseconds in which a watcher has read what there was. */
const READ = 150;

interface Load {
  name: string;
  /** Are the clients in a scope of their own? */
  apart: boolean;
  /** Connections per second; 0: one after the other, as fast as it goes. */
  rate: number;
}

const LOADS: readonly Load[] = [
  { name: `server, ${OFFERED}/s`, apart: true, rate: OFFERED },
  { name: "server, all it can", apart: true, rate: 0 },
  { name: "both ends, all they can", apart: false, rate: 0 },
];

interface Case {
  name: string;
  load: Load;
  args: (watched: string, other: string) => string[];
}

const CASES: readonly Case[] = LOADS.flatMap((load) => [
  { name: `${load.name}: watch`, load, args: (watched) => ["--cgroup", watched] },
  { name: `${load.name}: watch --json`, load, args: (watched) => ["--cgroup", watched, "--json"] },
  { name: `${load.name}: of another scope`, load, args: (_, other) => ["--cgroup", other] },
]);

interface Run {
  perSecond: number;
  /** Of the server, or of both ends, per connection: what the kernel's side adds. */
  loopMicros: number;
  /** CPU time of the watcher per connection, and its share of a CPU meanwhile. */
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

  /** Nobody watches, until it goes on. */
  stop(lib: Bridge, map: Fd): void {
    this.child.kill("SIGSTOP");
    const key = new Uint8Array(new Uint32Array([WatchSlot.WANTED]).buffer);
    lib.tcpx_map_update(map.fd, key, new Uint8Array(structs.tcpx_watch.size), 0n);
  }

  /** Until it has renewed its wish. */
  async goOn(lib: Bridge, map: Fd): Promise<void> {
    this.child.kill("SIGCONT");
    const key = new Uint8Array(new Uint32Array([WatchSlot.WANTED]).buffer);
    const wish = () => decode("tcpx_watch", lookup(lib, map.fd, key, structs.tcpx_watch.size));
    if (!(await until(() => wish().until_ns > 0n, 10_000))) throw new Error("it does not go on");
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

async function once({ lab, program, netns, watched, clients, own }: Place, load: Load, count: number) {
  const before = usage(own);
  const { apart, rate } = load;
  const argv = [program, String(count), ...(apart ? [clients] : []), ...(rate ? [String(rate)] : [])];
  const [wall = 0, used = 0] = (await lab.exec(netns, argv, "", watched)).trim().split(" ").map(Number);
  await Bun.sleep(READ);
  const cpu = usage(own) - before;
  const run: Run = {
    perSecond: (count * 1e6) / wall,
    loopMicros: used / count,
    micros: cpu / count,
    share: cpu / wall,
  };
  return run;
}

/** With and without the watcher, as often, in turn and in both orders. */
async function measure(lib: Bridge, place: Place, { name, load, args }: Case): Promise<string[]> {
  const watcher = await Watcher.start(place.lab, place.own, args(place.watched, place.other));
  using map = openPin(lib, join(layoutDir(findBpffs(lib)!), "watch"))!;
  const runs: { with: Run[]; without: Run[] } = { with: [], without: [] };
  await once(place, load, WARM);
  const count = load.rate || CONNECTIONS;
  for (let round = 0; round < ROUNDS; round++) {
    for (const which of round % 2 ? (["with", "without"] as const) : (["without", "with"] as const)) {
      if (which === "without") watcher.stop(lib, map);
      else await watcher.goOn(lib, map);
      await once(place, load, SETTLE);
      runs[which].push(await once(place, load, count));
    }
  }
  await watcher.goOn(lib, map);
  const { events, lost } = await watcher.end();
  const perConnection = (events + lost) / (WARM + ROUNDS * (SETTLE + count));
  return row(name, runs.with, runs.without, perConnection, lost);
}

function row(name: string, runs: Run[], base: Run[], perConnection: number, lost: number): string[] {
  const of = (all: Run[], field: keyof Run) => all.map((run) => run[field]);
  const median = (all: Run[], field: keyof Run) => quantile(of(all, field), 0.5);
  return [
    name,
    median(base, "perSecond").toFixed(0),
    median(runs, "perSecond").toFixed(0),
    summary(of(runs, "perSecond"), of(base, "perSecond")).ratio,
    interval(of(runs, "perSecond"), of(base, "perSecond")),
    interval(of(runs, "loopMicros"), of(base, "loopMicros")),
    perConnection.toFixed(2),
    String(lost),
    (perConnection ? median(runs, "micros") / perConnection : 0).toFixed(2),
    `${(100 * median(runs, "share")).toFixed(1)} %`,
  ];
}

async function placeIn(lab: Lab): Promise<Place> {
  const { loop: program } = await buildSupport();
  const [watched, clients, other, own] = ["watched", "clients", "other", "watcher"].map((name) =>
    lab.cgroup(name),
  ) as [string, string, string, string];
  return { lab, program, netns: await lab.netns("loop"), watched, clients, other, own };
}

/** The table's rows. */
export async function watchRows(): Promise<string[][]> {
  await using lab = await Lab.create();
  const [place, lib] = [await placeIn(lab), await bridge()];
  const scopes = [place.watched, place.clients];
  const rows: string[][] = [];
  try {
    for (const cgroup of scopes)
      for (const rule of RULES.at(-1)!.rules) await tcpx([...rule, "--cgroup", cgroup, "--wait"]);
    for (const what of CASES) rows.push(await measure(lib, place, what));
  } finally {
    for (const cgroup of scopes)
      for (const { name } of extensions) await tcpx([name, "unset", "--all", "--cgroup", cgroup, "--wait"]);
  }
  return rows;
}
