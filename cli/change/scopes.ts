// SPDX-License-Identifier: MIT
// Changes of scopes' rules: read, plan, do, and tell who has to know. Every command that changes rules comes here.

import { existsSync } from "node:fs";
import { RUN_DIR } from "../agent/run-dir.ts";
import type { AgentReport, ScopeChange } from "../agent/told.ts";
import { needsAgent } from "../agent/wish.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { listPins } from "../bridge/maps.ts";
import { slotsOf } from "../extensions/index.ts";
import type { Host } from "../flags/host-access.ts";
import type { LiveReport, LiveWish } from "../live/hook.ts";
import type { State } from "../live/iterators.ts";
import { programsDir } from "../loader/program-services.ts";
import { readSite, writeSite } from "../loader/site-map.ts";
import { lacksLinks } from "../loader/sock-links.ts";
import { hasStale, removeStale } from "../loader/stale.ts";
import { damagedError, readHead, readScope, type ScopeHead } from "../loader/state.ts";
import { type Lock, lock, replaceRules } from "../loader/store.ts";
import { takeOver } from "../loader/takeover.ts";
import { adopt } from "../loader/waiting.ts";
import type { Io } from "../output/io.ts";
import { type Change, isWork } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import { collectAfter } from "../system/garbage.ts";
import type { Scope } from "../system/host.ts";
import { AT_ONCE, type Patience } from "../system/lock.ts";
import { changedSlots, type Site, sameSite } from "../wire/site.ts";
import { changedMeanwhile, isOutdated, requireUnused, type Tables } from "./site-needs.ts";

/** A scope, and what is to become of its rules. */
export interface Target {
  scope: Scope;
  plan(present: Rule[]): Change;
}

export interface Work {
  dryRun: boolean;
  patience: Patience;
  /** Asked again under the lock. */
  targets(): Target[];
  /** What the site's table is to be, perhaps by what it was; left out: it stays. */
  site?: { table: Site; isMerged: boolean };
  /** The processes of the scope will be of the caller's network namespace. */
  fromHere?: boolean;
  /** What the rules need of this host. */
  prepare?(): Promise<void> | undefined;
  /** What connections that exist shall notice of it. */
  wish?: LiveWish;
  /** In the root scope: is this change for all network namespaces? */
  everywhere(change: Change): boolean;
  /** Is told before each scope is changed. */
  tick?(done: number, total: number): void;
}

export interface Outcome {
  changes: ScopeChange[];
  site: Tables;
  agent?: AgentReport | undefined;
  /** What was said of the routing. */
  warnings: string[];
  /** What sockets that exist have noticed, in the order of the changes. */
  live: LiveReport[];
}

interface Planned extends ScopeChange {
  reload: boolean;
  /** The generation that it was planned for; undefined: there was none. */
  progId: number | undefined;
}

/** Whatever its rules: for the site's table, or for programs that somebody has detached. */
const isToReload = ({ lib }: Host, head: ScopeHead | undefined, site: Site): boolean =>
  head !== undefined && (isOutdated(head, site) || lacksLinks(lib, head));

/** Plans for what is in force; refuses to go on from a state that nobody knows. */
function planned(host: Host, { scope, plan }: Target, site: Site, earlier?: Planned): Planned {
  if (earlier) {
    const head = readHead(host.lib, scope.id);
    // rules never change within a generation
    if (!head?.damaged && head?.progId === earlier.progId)
      return { ...earlier, reload: isToReload(host, head, site) };
  }
  const state = readScope(host.lib, scope.id);
  if (state?.damaged) throw damagedError(scope.name);
  const progId = state?.progId;
  const reload = isToReload(host, state, site);
  const present = state?.rules ?? [];
  const change = plan(present);
  collectAfter(present.length);
  return { scope, change, progId, reload };
}

function planAll(host: Host, targets: Target[], tables: Tables, earlier: Planned[] = []): Planned[] {
  const byScope = new Map(earlier.map((plan) => [plan.scope.id, plan]));
  const plans = targets.map((target) => planned(host, target, tables.wanted, byScope.get(target.scope.id)));
  requireUnused(host.lib, new Map(plans.map(({ scope, change }) => [scope.id, change.rules])), tables);
  return plans;
}

async function cleanUp(host: Host, held: Lock, io: Io): Promise<void> {
  for (const { name, count, version } of await takeOver(host.lib, held)) {
    io.messages.info(`took over ${count} rule(s) of cgroup ${name} from tcpx ${version}`);
  }
  for (const gone of removeStale(host.lib, held)) {
    io.messages.info(`cgroup ${gone.name} is gone: removed its ${gone.count} rule(s)`);
  }
  if (listPins(programsDir(held.bpffs)).length === 0) return;
  const { tidy } = await import("../programs/store.ts");
  for (const { name } of await tidy(host.lib, held)) io.messages.info(`program ${name} went with its cgroup`);
}

/** Says how far it came when there is more than one scope. */
function partly(error: unknown, scope: Scope, done: number, total: number): unknown {
  if (!(error instanceof Error) || total < 2) return error;
  const { code, hint, value } =
    error instanceof TcpxError ? error : { code: Exit.FAILED, hint: "", value: "" };
  const far = `${done} of ${total} scopes have their new rules, the others their old ones`;
  return new TcpxError(code, `cgroup ${scope.name}: ${error.message}`, {
    hint: hint ? `${hint}; ${far}` : far,
    ...(value && { value }),
    cause: error,
  });
}

/** The table under the lock. Rules with slots were planned for the earlier one, which may be another. */
function settledTables(host: Host, work: Work, early: Planned[], { present }: Tables): Tables {
  const now = readSite(host.lib);
  const isSame = sameSite(now, present);
  if (work.site) {
    if (work.site.isMerged && !isSame) throw changedMeanwhile();
    return { present: now, wanted: work.site.table };
  }
  const moved = changedSlots(present, now);
  const added = early.flatMap(({ change }) => (moved.length > 0 ? change.added : []));
  if (added.some((rule) => slotsOf(rule).some((slot) => moved.includes(slot)))) throw changedMeanwhile();
  return { present: now, wanted: now };
}

/** Makes the changes under the lock: the table's, then each scope's in one step. */
async function commit(
  host: Host,
  work: Work,
  early: Planned[],
  before: Tables,
  io: Io,
): Promise<ScopeChange[]> {
  using held = await lock(host.lib, work.patience);
  await cleanUp(host, held, io);
  for (const { scope } of early) {
    const adopted = await adopt(host.lib, held, scope);
    if (adopted.length > 0) io.messages.info(`${adopted.length} rule(s) had waited for cgroup ${scope.name}`);
  }
  const tables = settledTables(host, work, early, before);
  const plans = planAll(host, work.targets(), tables, early);
  if (!sameSite(tables.present, tables.wanted)) await writeSite(host.lib, held.bpffs, tables.wanted);
  const changed = plans.filter(isWork);
  for (const [done, { scope, change }] of changed.entries()) {
    work.tick?.(done, changed.length);
    try {
      await replaceRules(host.lib, held, scope, change.rules);
    } catch (error) {
      throw partly(error, scope, done, changed.length);
    }
  }
  return plans;
}

/** What a killed command has left goes also when there is nothing else to do, unless somebody is at work. */
async function repair(host: Host, io: Io): Promise<void> {
  if (!hasStale(host.lib)) return;
  try {
    using held = await lock(host.lib, AT_ONCE);
    await cleanUp(host, held, io);
  } catch (error) {
    if (!(error instanceof TcpxError) || error.code !== Exit.BUSY) throw error;
  }
}

/** The usual change is none of its business, and need not even load what talks to it. */
function concernsAgent({ added, removed, replaced, unchanged }: Change): boolean {
  return [added, removed, replaced, unchanged].some((rules) => rules.some(needsAgent));
}

async function tellAgent(lib: Bridge, changes: ScopeChange[], io: Io) {
  const { toldAgent } = await import("../agent/told.ts");
  return toldAgent(lib, changes, io);
}

/** What the agent can do: what the routing here will not carry is told once. */
async function requireAgent(
  lib: Bridge,
  changes: ScopeChange[],
  { fromHere }: Work,
  io: Io,
): Promise<string[]> {
  const warnings = new Set<string>();
  for (const { scope, change } of changes) {
    if (!change.added.some(needsAgent) && !change.unchanged.some(needsAgent)) continue;
    const [{ requireRoutes }, { requireSender }] = [
      await import("../agent/refusal.ts"),
      await import("../agent/rights.ts"),
    ];
    if (change.added.some(needsAgent)) await requireSender(lib, change.added);
    for (const warning of requireRoutes(lib, scope, change, fromHere)) warnings.add(warning);
  }
  for (const warning of warnings) io.messages.warn(warning);
  return [...warnings];
}

/** Sockets that exist already hear of the changes. */
async function tellSockets(
  host: Host,
  changes: ScopeChange[],
  work: Work,
  before: State | undefined,
  io: Io,
) {
  const [{ tellSockets }, { State }] = [
    await import("../live/hook.ts"),
    await import("../live/iterators.ts"),
  ];
  const wish = work.wish ?? { ext: "", live: false };
  const reports: LiveReport[] = [];
  for (const { scope, change } of changes) {
    using after = before ? undefined : State.open(host.lib, scope.id);
    const job = { lib: host.lib, scope, allNetns: work.everywhere(change), state: (before ?? after)! };
    reports.push(await tellSockets(job, change, wish, io));
  }
  return reports;
}

/** What undoing needs: unsetting the last rule would take it away. */
async function stateBefore(lib: Bridge, { wish, targets }: Work): Promise<State | undefined> {
  const [target] = wish?.undo ? targets() : [];
  return target && (await import("../live/iterators.ts")).State.open(lib, target.scope.id);
}

/**
 * Plans, and does it unless it is a dry run.
 * @throws TcpxError with the documented codes; no scope is changed by halves
 */
export async function changeScopes(io: Io, host: Host, work: Work): Promise<Outcome> {
  const { lib } = host;
  const { wish } = work;
  if (wish?.live) await (await import("../live/probe.ts")).requireLive(lib, wish.ext, wish.asks ?? false);
  await work.prepare?.();
  using before = await stateBefore(lib, work);
  const present = host.site();
  const site = { present, wanted: work.site?.table ?? present };
  const early = planAll(host, work.targets(), site);
  const warnings = await requireAgent(lib, early, work, io);
  if (work.dryRun) return { changes: early, site, warnings, live: [] };
  // a no-op needs no lock and no mount; but whoever repeats a rule wants it to work
  const needed = early.some(isWork) || !sameSite(site.present, site.wanted);
  if (!needed) await repair(host, io);
  const changes = needed ? await commit(host, work, early, site, io) : early;
  const concerned = changes.some(({ change }) => concernsAgent(change)) || existsSync(RUN_DIR);
  const agent = concerned ? await tellAgent(lib, changes, io) : undefined;
  return { changes, site, agent, warnings, live: await tellSockets(host, changes, work, before, io) };
}
