// SPDX-License-Identifier: MIT
// One change of one scope's rules: read, plan, show or do, report.

import { existsSync } from "node:fs";
import { RUN_DIR } from "../agent/run-dir.ts";
import type { AgentReport } from "../agent/told.ts";
import { needsAgent } from "../agent/wish.ts";
import type { ScopeFlags } from "../args.ts";
import { Exit, type ExitCode, TcpxError } from "../errors.ts";
import type { Bridge } from "../loader/bridge.ts";
import type { Scope } from "../loader/host.ts";
import { lock, readScope, removeStale, replaceRules } from "../loader/store.ts";
import { adopt } from "../loader/waiting.ts";
import type { Io } from "../output/io.ts";
import { changeLines, ruleJson } from "../output/rules.ts";
import { type Change, isChange } from "../policy/change.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import { notKept } from "../system/unit-hook.ts";
import { unitOf } from "../system/unit-name.ts";
import { type Host, openHost } from "./host-access.ts";

export interface Places {
  scope: ScopeFlags;
  allNetns: boolean;
  dryRun: boolean;
  wait: boolean;
}

export type Plan = (present: Rule[], netns: Netns | null) => Change;

/** The namespace that new rules are for: the caller's in the root scope, all of them elsewhere. */
function netnsFor(host: Host, scope: Scope, allNetns: boolean, io: Io): Netns | null {
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
  scope: Scope,
  change: Change,
  places: Places,
  netns: Netns | null,
  agent?: AgentReport,
): void {
  const changed = isChange(change);
  io.json({
    command,
    changed,
    dry_run: places.dryRun,
    scope: { cgroup: scope.name, id: scope.id, unit: unitOf(scope.name)?.name ?? null },
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

/** The scope's rules; refuses to go on from a state that nobody knows. */
function presentRules(host: Host, scope: Scope): Rule[] {
  const state = readScope(host.lib, scope.id);
  if (!state?.damaged) return state?.rules ?? [];
  throw new TcpxError(Exit.FAILED, `the pins of cgroup ${scope.name} were removed by hand`, {
    value: scope.name,
    hint: "`tcpx reset` detaches what is left",
  });
}

/** Makes the change under the lock. Nothing is changed when it fails. */
async function commit(host: Host, scope: Scope, plan: () => Change, wait: boolean, io: Io): Promise<Change> {
  using held = lock(host.lib, wait);
  for (const gone of removeStale(host.lib, held)) {
    io.messages.info(`cgroup ${gone.name} is gone: removed its ${gone.rules.length} rule(s)`);
  }
  const adopted = await adopt(host.lib, held, scope);
  if (adopted.length > 0) io.messages.info(`${adopted.length} rule(s) had waited for this cgroup`);
  const change = plan();
  if (isChange(change)) await replaceRules(host.lib, held, scope, change.rules);
  return change;
}

/** The usual change is none of its business, and need not even load what talks to it. */
function concernsAgent({ added, removed, replaced, unchanged }: Change): boolean {
  const rules = [...added, ...removed, ...replaced, ...unchanged];
  return rules.some(needsAgent) || existsSync(RUN_DIR);
}

async function tellAgent(lib: Bridge, scope: Scope, change: Change, io: Io) {
  const { toldAgent } = await import("../agent/told.ts");
  return toldAgent(lib, scope, change, io);
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
  const { lib } = host;
  lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  const scope = host.scope();
  for (const notice of scope.notices) io.messages.warn(notice);
  const netns = netnsFor(host, scope, places.allNetns, io);
  if (places.dryRun) {
    report(io, command, scope, plan(presentRules(host, scope), netns), places, netns);
    return Exit.DONE;
  }
  await prepare();
  const planned = () => plan(presentRules(host, scope), netns);
  const early = planned();
  if (early.added.some(needsAgent)) {
    const { requireRoutes } = await import("../agent/refusal.ts");
    requireRoutes(lib, scope, early.added);
  }
  // a no-op needs no lock and no mount; but whoever repeats a rule wants it to work
  const change = isChange(early) ? await commit(host, scope, planned, places.wait, io) : early;
  const notice = places.scope.unit !== undefined && change.added.length > 0 ? notKept(scope.name) : undefined;
  if (notice) io.messages.warn(notice);
  const agent = concernsAgent(change) ? await tellAgent(lib, scope, change, io) : undefined;
  report(io, command, scope, change, places, netns, agent);
  return agent?.failed ? Exit.FAILED : Exit.DONE;
}
