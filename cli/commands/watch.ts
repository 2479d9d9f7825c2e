// SPDX-License-Identifier: MIT

import { setPriority } from "node:os";
import {
  type Args,
  flagArg,
  globalArgs,
  netnsArgs,
  scopeArgs,
  scopeFlags,
  selectorArgs,
  textArg,
} from "../base/args.ts";
import { counted } from "../base/count.ts";
import { Exit } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { extensions, helpOf } from "../extensions/index.ts";
import { openHost } from "../flags/host-access.ts";
import { selectorsOf } from "../flags/selectors.ts";
import type { FoundScope } from "../loader/named-scope.ts";
import { readSite } from "../loader/site-map.ts";
import { readHeads } from "../loader/state.ts";
import { extensionHint, parseCount, parseExtensions, Report } from "../observe/watch-report.ts";
import type { Watched } from "../observe/watched.ts";
import { RING, Watcher, type Wish } from "../observe/watching.ts";
import type { Io } from "../output/io.ts";
import { Outlet, Pause } from "../output/outlet.ts";
import { refresher } from "../packages/refresh.ts";
import type { Selector } from "../policy/rule.ts";
import { ownNamespace } from "../system/netns.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

/** Milliseconds between two looks: at least, and at most. */
const SOON = 20;
const IDLE = 100;
/** And between two looks for a scope that is not found, or for the names of numbers. */
const AGAIN = 1000;

const HELP = helpOf("watch");
/** What is only asked. */
const UNANSWERED = extensions.flatMap(({ seen }) => seen?.unanswered ?? []);

const GONE = "the last rule was removed: waiting for the next one";

/** Connections go first: what is not read in time is counted. */
function stepBack(): void {
  try {
    setPriority(5);
  } catch {
    // then it does not
  }
}

/** Paths of scopes by id, looked up when an unknown one turns up. */
function cgroupNames(lib: Bridge): (scope: bigint) => string | null {
  const names = new Map<bigint, string>();
  const missed = new Map<bigint, number>();
  return (scope) => {
    const known = names.get(scope);
    if (known !== undefined) return known;
    const now = performance.now();
    if (now - (missed.get(scope) ?? Number.NEGATIVE_INFINITY) < AGAIN) return null;
    for (const { id, name, visible } of readHeads(lib)) if (visible) names.set(id, name);
    missed.set(scope, now); // its last rule may just have gone
    return names.get(scope) ?? null;
  };
}

/** When to look again: few looks with many events cost less than many with few. */
class Pace {
  private since = performance.now();
  private bytes = 0;

  /** Milliseconds in which, at the pace of the last ones, a quarter of the ring fills. */
  next(events: Watched | undefined): number {
    this.bytes += events?.bytes.length ?? 0;
    if (events?.full) return 0;
    const now = performance.now();
    const wait = this.bytes > 0 ? (((now - this.since) / this.bytes) * RING) / 4 : IDLE;
    [this.since, this.bytes] = [now, 0];
    return Math.min(IDLE, Math.max(SOON, wait));
  }
}

/** Looks from time to time whether numbers have other names, and whether extensions have been added. */
class Names {
  private next = 0;
  private readonly added = refresher(Object.keys(commands));

  constructor(
    private readonly lib: Bridge,
    private readonly report: Report,
  ) {}

  async refresh(): Promise<void> {
    const now = performance.now();
    if (now < this.next) return;
    this.next = now + AGAIN;
    await this.added();
    this.report.nameBy(readSite(this.lib));
  }
}

/** False: nobody reads any more. */
async function follow(
  watcher: Watcher,
  names: Names,
  report: Report,
  outlet: Outlet,
  pause: Pause,
  io: Io,
): Promise<boolean> {
  const pace = new Pace();
  while (!report.done) {
    if (pause.ended) watcher.stop();
    const { events, notes, turned } = watcher.poll();
    if (turned) io.messages.info(watcher.active ? "there are rules now" : GONE);
    if (events) await names.refresh();
    const text = notes.map((note) => report.note(note)).join("") + (events ? report.events(events) : "");
    if (text !== "" && !(await outlet.write(text, pause))) return false;
    if (watcher.stopped && !events) return true; // what there was has been shown
    if (outlet.closed) return false;
    await pause.wait(watcher.stopped ? 0 : pace.next(events));
  }
  return true;
}

function parse(args: Args, io: Io) {
  return {
    wanted: { selectors: selectorsOf(args, io).selectors, count: parseCount(textArg(args, "count")) },
    extensions: parseExtensions(textArg(args, "ext")),
  };
}

/** The root scope is the caller's namespace; a named one is in all that its processes use. */
function placeOf(scope: FoundScope, everywhere: boolean, own: number) {
  if (scope.name !== "/") return { scope: scope.id, netns: 0, where: `cgroup ${scope.name}` };
  if (everywhere) return { scope: 0n, netns: 0, where: "every network namespace" };
  return { scope: 0n, netns: own, where: "this network namespace" };
}

/** That of all selectors. */
function directionOf(selectors: readonly Selector[]): Wish["direction"] {
  const [first, ...more] = selectors.map(({ direction }) => direction);
  return first !== undefined && more.every((direction) => direction === first) ? first : "both";
}

export const watch = leaf({
  summary: "Negotiations as they happen: what was asked, granted, refused, and why.",
  args: {
    ...selectorArgs,
    ext: {
      type: "string",
      valueHint: extensionHint(),
      description: "Only these extensions",
    },
    count: { type: "string", valueHint: "N", description: "End after so many events" },
    ...scopeArgs,
    ...netnsArgs,
    ...globalArgs,
    json: { ...globalArgs.json, description: "Print one JSON document per line" },
  },
  examples: [
    ["tcpx watch", "All of this network namespace, until Ctrl-C"],
    ...HELP.examples,
    ["tcpx watch --to 10.0.0.0/8 --port 443 --count 10", "The next ten with these servers"],
    ["tcpx watch --json | jq -c 'select(.event == \"refused\")'", "Refusals, for a script"],
  ],
  notes: [
    "A line: time, local port, > (we opened it) or < (we accepted it), the peer, extension, what happened. " +
      `asked, granted, refused, unanswered, no room = what we wanted of the peer (${UNANSWERED.join(" and ")} are only asked: ` +
      "nobody answers them); gave, denied = what the peer wanted of us; malformed = its option was ignored; " +
      "withheld = TCP-AO signs the options, and the connection went without ours; " +
      "fallback = a segment was lost, and the connection went on without options, or its path does not take " +
      ["them.", ...HELP.notes].join(" "),
    "While nobody watches the kernel's side writes nothing. There can be one watcher per host; a second one ends " +
      "with 5. Events that it could not read in time are counted, and told where they are missing. " +
      "Ctrl-C or SIGTERM ends it with exit code 0.",
  ],
  async run(args, io) {
    const { wanted, extensions } = parse(args, io);
    const host = await openHost(scopeFlags(args), "read");
    const scope = host.scope();
    for (const notice of scope.notices) io.messages.warn(notice);
    const netns = ownNamespace().inode;
    const { where, ...place } = placeOf(scope, flagArg(args, "all-netns"), netns);
    const wish = { ...place, extensions, direction: directionOf(wanted.selectors) };
    stepBack();
    const pause = new Pause();
    for (const signal of ["SIGINT", "SIGTERM"] as const) process.on(signal, () => pause.end());
    const outlet = new Outlet(host.lib, io.flags.quiet && !io.flags.json, io.flags.json);
    using watcher = new Watcher(host.lib, wish);
    const around = {
      bootNs: () => Number(watcher.now()),
      wallMs: Date.now,
      netns,
      cgroupOf: cgroupNames(host.lib),
    };
    const report = new Report(wanted, around, io.flags.json);
    const waiting = watcher.active ? "" : "; there are no rules yet";
    io.messages.info(`watching ${where}, Ctrl-C ends it${waiting}`);
    const read = await follow(watcher, new Names(host.lib, report), report, outlet, pause, io);
    if (read || pause.ended) io.messages.info(`${counted(report.shown, "event")}, ${report.lost} lost`);
    return Exit.DONE;
  },
});
