// SPDX-License-Identifier: MIT
// One change of one scope's rules, as most commands make it, and its report.

import type { AgentReport, ScopeChange } from "../agent/told.ts";
import { type Args, flagArg, type ScopeFlags, scopeFlags } from "../base/args.ts";
import { Exit, type ExitCode } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { eachChangeLine, reloadLine, ruleJson, scopeJson } from "../describe/rules.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import type { LiveReport, LiveWish } from "../live/hook.ts";
import { each, listOf } from "../output/document.ts";
import type { Io } from "../output/io.ts";
import { type Change, isWork } from "../policy/change.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import type { Patience } from "../system/lock.ts";
import { notKept } from "../system/unit-hook.ts";
import type { Site } from "../wire/site.ts";
import { changeScopes } from "./scopes.ts";

export interface Places {
  scope: ScopeFlags;
  allNetns: boolean;
  dryRun: boolean;
  patience: Patience;
}

/** Where, and how, a command that has `placeArgs` changes rules. */
export const placesOf = (args: Args, io: Io): Places => ({
  scope: scopeFlags(args),
  allNetns: flagArg(args, "all-netns"),
  dryRun: flagArg(args, "dry-run"),
  patience: patienceOf(args, io),
});

export type Plan = (present: Rule[], netns: Netns | null, scope: Scope, lib: Bridge) => Change;

/** The namespace that new rules are for: the caller's in the root scope, all of them elsewhere. */
export function netnsFor(host: Pick<Host, "netns">, scope: Scope, allNetns: boolean, io: Io): Netns | null {
  if (scope.name !== "/" || allNetns) return null;
  const netns = host.netns();
  if (!netns) {
    io.messages.warn("this kernel cannot tell network namespaces apart: the rule is for all of them");
  }
  return netns;
}

async function report(
  io: Io,
  command: string,
  done: ScopeChange,
  places: Places,
  { netns, site }: { netns: Netns | null; site: Site },
  told: {
    agent?: AgentReport | undefined;
    live?: LiveReport | undefined;
    more?: Record<string, unknown> | undefined;
  } = {},
): Promise<void> {
  const { agent, live, more } = told;
  const { scope, change, reload } = done;
  const changed = isWork(done) || live?.changed === true;
  const json = (rule: Rule) => ruleJson(rule, site);
  await io.document({
    command,
    changed,
    dry_run: places.dryRun,
    scope: scopeJson(scope),
    added: listOf(change.added, json),
    replaced: listOf(change.replaced, json),
    removed: listOf(change.removed, json),
    unchanged: change.unchanged.length,
    ...(reload && { reloaded: true }),
    ...more,
    ...live?.json,
    ...(agent && { agent: agent.json }),
  });
  await io.rows(
    each(eachChangeLine(change, { scope: scope.name, current: netns, site }), (line) => `${line}\n`),
  );
  if (reload) io.print(reloadLine(scope.name));
  for (const line of live?.lines ?? []) io.print(line);
  if (!changed) io.print("no change");
  else if (places.dryRun) io.print("nothing was changed (--dry-run)");
}

/**
 * Applies a plan to the scope that the flags name.
 * @param wish what connections that exist shall notice of it
 * @param tell says what else there is to say of a plan that was carried out, and returns it for scripts
 * @throws TcpxError with the documented codes; nothing is changed then
 */
export async function changeScope(
  io: Io,
  command: string,
  places: Places,
  plan: Plan,
  wish: LiveWish,
  prepare: () => Promise<void> | undefined = () => undefined,
  tell: () => Record<string, unknown> | undefined = () => undefined,
): Promise<ExitCode> {
  const host = await openHost(places.scope);
  host.lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  const scope = host.scope();
  for (const notice of scope.notices) io.messages.warn(notice);
  const netns = netnsFor(host, scope, places.allNetns, io);
  const target = { scope, plan: (present: Rule[]) => plan(present, netns, scope, host.lib) };
  const { dryRun, patience } = places;
  const work = { dryRun, patience, prepare, wish, targets: () => [target], everywhere: () => netns === null };
  const { changes, site, agent, live } = await changeScopes(io, host, work);
  const { change } = changes[0]!;
  const named = !dryRun && places.scope.unit !== undefined && change.added.length > 0;
  const notice = named ? notKept(scope.name) : undefined;
  if (notice) io.messages.warn(notice);
  const around = { netns, site: site.wanted };
  await report(io, command, changes[0]!, places, around, { agent, live: live[0], more: tell() });
  if (dryRun && wish.live) io.print("connections that exist would be changed, too (--live)");
  return agent?.code ?? Exit.DONE;
}
