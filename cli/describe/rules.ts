// SPDX-License-Identifier: MIT
// Rules for people and for scripts.

import { extensionOf } from "../extensions/index.ts";
import type { ScopeHead } from "../loader/state.ts";
import { each } from "../output/document.ts";
import { tableRows } from "../output/table.ts";
import type { Change } from "../policy/change.ts";
import { type Netns, type Rule, samePlace } from "../policy/rule.ts";
import { formatCidr, formatSelector } from "../policy/selector.ts";
import { unitOf, unitText } from "../system/unit-name.ts";
import type { Site } from "../wire/site.ts";

/** A rule as a JSON object; durations are integer milliseconds. */
export function ruleJson(rule: Rule, site: Site): Record<string, unknown> {
  const { selector } = rule;
  return {
    extension: rule.ext,
    kind: rule.kind,
    direction: selector.direction,
    address: selector.family === 0 ? null : formatCidr(selector),
    port: selector.port || null,
    netns: rule.netns?.inode ?? null,
    netns_cookie: rule.netns?.cookie ?? null,
    none: rule.none,
    force: rule.force,
    ...extensionOf(rule).json(rule, site),
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

interface Around {
  /** Name of the cgroup. */
  scope: string;
  /** The caller's namespace. */
  current: Netns | null;
  site: Site;
  /** As it was for rules that go. */
  before?: Site;
}

function ruleLine(sign: string, rule: Rule, around: Around, was?: Rule): string {
  const { scope, current, site, before = site } = around;
  const describe = (r: Rule, by: Site) => extensionOf(r).describe(r, by);
  const parts = [
    sign,
    rule.ext,
    rule.kind,
    describe(rule, sign === "-" ? before : site),
    formatSelector(rule.selector),
  ];
  const where = scope === "/" ? `netns ${netnsText(rule, current)}` : `cgroup ${scope}`;
  return `${parts.join(" ")}, ${where}${was ? ` (was ${describe(was, before)})` : ""}`;
}

/** One line per rule that a command changed. */
export function* eachChangeLine(change: Change, around: Around): Generator<string> {
  let next = 0; // those that were replaced are in the order of those that replace them
  for (const rule of change.added) {
    const old = change.replaced[next];
    const was = old && samePlace(old, rule) ? old : undefined;
    if (was) next++;
    yield ruleLine("+", rule, around, was);
  }
  for (const rule of change.removed) yield ruleLine("-", rule, around);
  for (const rule of change.unchanged) yield ruleLine("=", rule, around);
}

/** Of a scope whose rules say the same, in other bytes. */
export const reloadLine = (scope: string) =>
  `~ loaded anew with the site's table and its programs, cgroup ${scope}`;

/** Where a rule stands. */
export type ScopeMark = Pick<ScopeHead, "name" | "alive" | "visible" | "waiting">;

export interface RuleRow {
  scope: ScopeMark;
  rule: Rule;
}

/** The unit that a scope is of. A path of another view of cgroups says nothing about units here. */
export const unitNameOf = ({ name, visible }: Pick<ScopeMark, "name" | "visible">): string | null =>
  (visible && unitOf(name)?.name) || null;

/** A name that no other scope of this host has. */
export const labelOf = ({ id, name, visible }: Pick<ScopeHead, "id" | "name" | "visible">): string =>
  visible ? name : `${name} (id ${id}, not visible)`;

/** A unit by its name alone: paths of units are long. */
export function scopeText(scope: ScopeMark): string {
  const { name, alive, visible, waiting } = scope;
  const marks = [
    ...(visible || (!alive && !waiting) ? [] : ["not visible"]),
    ...(alive ? [] : [waiting ? "waiting" : "gone"]),
  ];
  const text = (visible && unitText(name)) || name;
  return marks.length > 0 ? `${text} (${marks.join(", ")})` : text;
}

const SELECTOR = 3;
const SCOPE = 5;

/**
 * The rules as rows of a table. Addresses of IPv6 are long: on a terminal selectors go below their rows first.
 * @param scopes whether the rules are of several scopes
 */
export function ruleRows(
  rows: Iterable<RuleRow>,
  current: Netns | null,
  site: Site,
  scopes = true,
): Generator<string> {
  const head = ["EXT", "KIND", "VALUE", "SELECTOR", "NETNS", ...(scopes ? ["SCOPE"] : [])];
  const cellsOf = ({ scope, rule }: RuleRow) => [
    rule.ext,
    rule.kind,
    extensionOf(rule).describe(rule, site),
    formatSelector(rule.selector),
    netnsText(rule, current),
    ...(scopes ? [scopeText(scope)] : []),
  ];
  return tableRows(head, each(rows, cellsOf), { below: scopes ? [SELECTOR, SCOPE] : [SELECTOR] });
}
