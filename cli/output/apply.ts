// SPDX-License-Identifier: MIT
// What `tcpx apply` has changed, or would.

import type { AgentReport, ScopeChange } from "../agent/told.ts";
import { isChange } from "../policy/change.ts";
import type { Netns } from "../policy/rule.ts";
import { eachChangeLine, ruleJson, scopeJson } from "./rules.ts";

/** So many lines of a scope, unless all are asked for. */
const MOST_LINES = 40;

interface Result {
  dryRun: boolean;
  changed: boolean;
  agent: AgentReport | undefined;
}

/** The document for scripts. */
export function applyJson(
  changes: readonly ScopeChange[],
  { dryRun, changed, agent }: Result,
): Record<string, unknown> {
  return {
    command: "apply",
    changed,
    dry_run: dryRun,
    scopes: changes.map(({ scope, change }) => ({
      ...scopeJson(scope),
      changed: isChange(change),
      added: change.added.map(ruleJson),
      replaced: change.replaced.map(ruleJson),
      removed: change.removed.map(ruleJson),
      unchanged: change.unchanged.length,
    })),
    ...(agent && { agent: agent.json }),
  };
}

/** The diff, scope by scope. @param full every rule, however many there are */
export function* applyLines(
  changes: readonly ScopeChange[],
  netns: Netns | null,
  full: boolean,
): Generator<string> {
  for (const { scope, change } of changes) {
    const [added, removed, unchanged] = [change.added, change.removed, change.unchanged].map((l) => l.length);
    let left = full ? Number.POSITIVE_INFINITY : MOST_LINES;
    for (const line of eachChangeLine({ ...change, unchanged: [] }, scope.name, netns)) {
      if (left-- > 0) yield `${line}\n`;
      else break;
    }
    if (left < 0) {
      yield `... cgroup ${scope.name}: ${added} added or replaced, ${removed} removed in all (--verbose shows them)\n`;
    }
    if (unchanged) yield `~ ${unchanged} unchanged, cgroup ${scope.name}\n`;
  }
}
