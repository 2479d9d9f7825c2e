// SPDX-License-Identifier: MIT
// What `tcpx apply` has changed, or would.

import type { AgentReport, ScopeChange } from "../agent/told.ts";
import { eachChangeLine, reloadLine, ruleJson, scopeJson } from "../describe/rules.ts";
import { siteJson, siteLines } from "../describe/site-text.ts";
import type { LiveReport } from "../live/hook.ts";
import { listOf } from "../output/document.ts";
import { isWork } from "../policy/change.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import { type Site, sameSite } from "../wire/site.ts";

/** So many lines of a scope, unless all are asked for. */
const MOST_LINES = 40;

interface Result {
  dryRun: boolean;
  changed: boolean;
  site: { present: Site; wanted: Site };
  agent: AgentReport | undefined;
  /** In the order of the changes; none of a dry run. */
  live: LiveReport[];
  warnings: string[];
}

/** The document for scripts. */
export function applyJson(
  changes: readonly ScopeChange[],
  { dryRun, changed, site, agent, live, warnings }: Result,
): Record<string, unknown> {
  const { present, wanted } = site;
  const was = (rule: Rule) => ruleJson(rule, present);
  return {
    command: "apply",
    changed,
    dry_run: dryRun,
    warnings,
    ...(!sameSite(present, wanted) && { site_before: siteJson(present), site_after: siteJson(wanted) }),
    scopes: changes.map(({ scope, change, reload }, i) => ({
      ...scopeJson(scope),
      changed: isWork({ change, reload }),
      ...(reload && { reloaded: true }),
      added: listOf(change.added, (rule) => ruleJson(rule, wanted)),
      replaced: listOf(change.replaced, was),
      removed: listOf(change.removed, was),
      unchanged: change.unchanged.length,
      ...live[i]?.json,
    })),
    ...(agent && { agent: agent.json }),
  };
}

/** The diff, scope by scope. @param full every rule, however many there are */
export function* applyLines(
  changes: readonly ScopeChange[],
  site: Result["site"],
  netns: Netns | null,
  full: boolean,
): Generator<string> {
  for (const line of siteLines(site.present, site.wanted)) yield `${line}\n`;
  for (const { scope, change, reload } of changes) {
    const [added = 0, removed = 0, unchanged] = [change.added, change.removed, change.unchanged].map(
      (l) => l.length,
    );
    let left = full ? Number.POSITIVE_INFINITY : MOST_LINES;
    const around = { scope: scope.name, current: netns, site: site.wanted, before: site.present };
    for (const line of eachChangeLine({ ...change, unchanged: [] }, around)) {
      if (left-- > 0) yield `${line}\n`;
      else break;
    }
    if (left < 0) {
      yield `... cgroup ${scope.name}: ${added} added or replaced, ${removed} removed in all (--verbose shows them)\n`;
    }
    if (reload && added + removed === 0) yield `${reloadLine(scope.name)}\n`;
    else if (unchanged) yield `~ ${unchanged} unchanged, cgroup ${scope.name}\n`;
  }
}
