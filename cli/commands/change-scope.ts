// SPDX-License-Identifier: MIT
// Changes of scopes' rules: read, plan, show or do, report. Every command that changes rules comes through here.

import { existsSync } from "node:fs";
import { RUN_DIR } from "../agent/run-dir.ts";
import type { AgentReport, ScopeChange } from "../agent/told.ts";
import { needsAgent } from "../agent/wish.ts";
import type { ScopeFlags } from "../args.ts";
import { Exit, type ExitCode, TcpxError } from "../errors.ts";
import type { Bridge } from "../loader/bridge.ts";
import type { Scope } from "../loader/host.ts";
import { hasStale, removeStale } from "../loader/stale.ts";
import { type Lock, lock, readScope, replaceRules } from "../loader/store.ts";
import { adopt } from "../loader/waiting.ts";
import type { Io } from "../output/io.ts";
import { changeLines, ruleJson, scopeJson } from "../output/rules.ts";
import { type Change, isChange } from "../policy/change.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import { collectAfter } from "../system/garbage.ts";
import { notKept } from "../system/unit-hook.ts";
import { type Host, openHost } from "./host-access.ts";

export interface Places {
  scope: ScopeFlags;
  allNetns: boolean;
  dryRun: boolean;
  wait: boolean;
}

export type Plan = (present: Rule[], netns: Netns | null) => Change;

/** A scope, and what is to become of its rules. */
export interface Target {
  scope: Scope;
  plan(present: Rule[]): Change;
}

export interface Work {
  dryRun: boolean;
  wait: boolean;
  /** Asked again under the lock. */
  targets(): Target[];
  /** Not with --dry-run. */
  prepare?(): Promise<void> | undefined;
  /** Is told before each scope is changed. */
  tick?(done: number, total: number): void;
}

export interface Outcome {
  changes: ScopeChange[];
  agent?: AgentReport | undefined;
}

/** The namespace that new rules are for: the caller's in the root scope, all of them elsewhere. */
export function netnsFor(host: Pick<Host, "netns">, scope: Scope, allNetns: boolean, io: Io): Netns | null {
  if (scope.name !== "/" || allNetns) return null;
  const netns = host.netns();
  if (!netns) {
    io.messages.warn("this kernel cannot tell network namespaces apart: the rule is for all of them");
  }
  return netns;
}

function report(
  io: Io,
  command: string,
  { scope, change }: ScopeChange,
  places: Places,
  netns: Netns | null,
  agent?: AgentReport,
): void {
  const changed = isChange(change);
  io.json({
    command,
    changed,
    dry_run: places.dryRun,
    scope: scopeJson(scope),
    added: change.added.map(ruleJson),
    replaced: change.replaced.map(ruleJson),
    removed: change.removed.map(ruleJson),
    unchanged: change.unchanged.map(ruleJson),
    ...(agent && { agent: agent.json }),
  });
  for (const line of changeLines(change, scope.name, netns)) io.print(line);
  if (!changed) io.print("no change");
  else if (places.dryRun) io.print("nothing was changed (--dry-run)");
}

interface Planned extends ScopeChange {
  /** The generation that it was planned for; undefined: there was none. */
  progId: number | undefined;
}

/** Plans for what is in force; refuses to go on from a state that nobody knows. */
function planned(host: Host, { scope, plan }: Target, earlier?: Planned): Planned {
  const state = readScope(host.lib, scope.id);
  if (state?.damaged) {
    throw new TcpxError(Exit.FAILED, `the pins of cgroup ${scope.name} were removed by hand`, {
      value: scope.name,
      hint: "`tcpx reset` detaches what is left",
    });
  }
  const progId = state?.progId;
  // rules never change within a generation
  if (earlier && earlier.progId === progId) return earlier;
  const present = state?.rules ?? [];
  const change = plan(present);
  collectAfter(present.length);
  return { scope, change, progId };
}

function planAll(host: Host, targets: Target[], earlier: Planned[] = []): Planned[] {
  const byScope = new Map(earlier.map((plan) => [plan.scope.id, plan]));
  return targets.map((target) => planned(host, target, byScope.get(target.scope.id)));
}

function cleanUp(host: Host, held: Lock, io: Io): void {
  for (const gone of removeStale(host.lib, held)) {
    io.messages.info(`cgroup ${gone.name} is gone: removed its ${gone.rules.length} rule(s)`);
  }
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

/** Makes the changes under the lock, each scope's in one step. */
async function commit(host: Host, work: Work, early: Planned[], io: Io): Promise<ScopeChange[]> {
  using held = lock(host.lib, work.wait);
  cleanUp(host, held, io);
  for (const { scope } of early) {
    const adopted = await adopt(host.lib, held, scope);
    if (adopted.length > 0) io.messages.info(`${adopted.length} rule(s) had waited for cgroup ${scope.name}`);
  }
  const plans = planAll(host, work.targets(), early);
  const changed = plans.filter(({ change }) => isChange(change));
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
function repair(host: Host, io: Io): void {
  if (!hasStale(host.lib)) return;
  try {
    using held = lock(host.lib, false);
    cleanUp(host, held, io);
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

async function requireRoutes(lib: Bridge, changes: ScopeChange[]): Promise<void> {
  for (const { scope, change } of changes) {
    if (!change.added.some(needsAgent)) continue;
    const { requireRoutes } = await import("../agent/refusal.ts");
    requireRoutes(lib, scope, change.added);
  }
}

/**
 * Plans, and does it unless it is a dry run.
 * @throws TcpxError with the documented codes; no scope is changed by halves
 */
export async function changeScopes(io: Io, host: Host, work: Work): Promise<Outcome> {
  const { lib } = host;
  if (work.dryRun) return { changes: planAll(host, work.targets()) };
  await work.prepare?.();
  const early = planAll(host, work.targets());
  await requireRoutes(lib, early);
  // a no-op needs no lock and no mount; but whoever repeats a rule wants it to work
  const needed = early.some(({ change }) => isChange(change));
  if (!needed) repair(host, io);
  const changes = needed ? await commit(host, work, early, io) : early;
  const concerned = changes.some(({ change }) => concernsAgent(change)) || existsSync(RUN_DIR);
  return { changes, agent: concerned ? await tellAgent(lib, changes, io) : undefined };
}

/**
 * Applies a plan to the scope that the flags name.
 * @throws TcpxError with the documented codes; nothing is changed then
 */
export async function changeScope(
  io: Io,
  command: string,
  places: Places,
  plan: Plan,
  prepare: () => Promise<void> | undefined = () => undefined,
): Promise<ExitCode> {
  const host = await openHost(places.scope);
  host.lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  const scope = host.scope();
  for (const notice of scope.notices) io.messages.warn(notice);
  const netns = netnsFor(host, scope, places.allNetns, io);
  const target = { scope, plan: (present: Rule[]) => plan(present, netns) };
  const { dryRun, wait } = places;
  const { changes, agent } = await changeScopes(io, host, { dryRun, wait, prepare, targets: () => [target] });
  const { change } = changes[0]!;
  const named = !dryRun && places.scope.unit !== undefined && change.added.length > 0;
  const notice = named ? notKept(scope.name) : undefined;
  if (notice) io.messages.warn(notice);
  report(io, command, changes[0]!, places, netns, agent);
  return agent?.failed ? Exit.FAILED : Exit.DONE;
}
