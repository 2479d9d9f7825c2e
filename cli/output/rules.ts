// SPDX-License-Identifier: MIT
// Rules for people and for scripts.

import { extensionOf } from "../extensions/index.ts";
import type { Change } from "../policy/change.ts";
import { type Netns, type Rule, ruleKey } from "../policy/rule.ts";
import { formatCidr, formatSelector } from "../policy/selector.ts";
import { unitOf, unitText } from "../system/unit-name.ts";
import { table } from "./table.ts";

/** A rule as a JSON object; durations are integer milliseconds. */
export function ruleJson(rule: Rule): Record<string, unknown> {
  const { selector } = rule;
  return {
    extension: rule.ext,
    kind: rule.kind,
    direction: selector.direction,
    address: selector.family === 0 ? null : formatCidr(selector),
    port: selector.port || null,
    netns: rule.netns && { inode: rule.netns.inode, cookie: rule.netns.cookie },
    none: rule.none,
    force: rule.force,
    ...extensionOf(rule).json(rule),
  };
}

export function scopeJson({ name, id }: { name: string; id: bigint }): Record<string, unknown> {
  return { cgroup: name, id, unit: unitOf(name)?.name ?? null };
}

/** "this" for the caller's namespace, else its inode number. */
function netnsText(rule: Rule, current: Netns | null): string {
  if (!rule.netns) return "all";
  return rule.netns.cookie === current?.cookie ? "this" : String(rule.netns.inode);
}

function ruleLine(sign: string, rule: Rule, scope: string, current: Netns | null, was?: Rule): string {
  const { describe } = extensionOf(rule);
  const parts = [sign, rule.ext, rule.kind, describe(rule), formatSelector(rule.selector)];
  const where = scope === "/" ? `netns ${netnsText(rule, current)}` : `cgroup ${scope}`;
  return `${parts.join(" ")}, ${where}${was ? ` (was ${describe(was)})` : ""}`;
}

/** One line per rule that a command changed. */
export function* eachChangeLine(change: Change, scope: string, current: Netns | null): Generator<string> {
  const replaced = new Map(change.replaced.map((rule) => [ruleKey(rule), rule]));
  const was = (rule: Rule) => (replaced.size > 0 ? replaced.get(ruleKey(rule)) : undefined);
  for (const rule of change.added) yield ruleLine("+", rule, scope, current, was(rule));
  for (const rule of change.removed) yield ruleLine("-", rule, scope, current);
  for (const rule of change.unchanged) yield ruleLine("=", rule, scope, current);
}

export const changeLines = (change: Change, scope: string, current: Netns | null): string[] => [
  ...eachChangeLine(change, scope, current),
];

export interface RuleRow {
  scope: string;
  alive: boolean;
  waiting: boolean;
  rule: Rule;
}

/** The rules as a table. A unit stands there by its name alone: paths of units are long. */
export function ruleTable(rows: RuleRow[], current: Netns | null): string {
  const head = ["EXT", "KIND", "VALUE", "SELECTOR", "NETNS", "SCOPE"];
  const cells = rows.map(({ scope, alive, waiting, rule }) => [
    rule.ext,
    rule.kind,
    extensionOf(rule).describe(rule),
    formatSelector(rule.selector),
    netnsText(rule, current),
    `${unitText(scope) ?? scope}${alive ? "" : waiting ? " (waiting)" : " (gone)"}`,
  ]);
  return table(head, cells);
}
