// SPDX-License-Identifier: MIT
// The effect of a command on a scope's rules, without touching anything: --dry-run prints it.

import { type Kind, placeKey, type Rule, ruleKey, type Selector, sameEffect } from "./rule.ts";

export interface Change {
  /** All rules of the scope afterwards. */
  rules: Rule[];
  added: Rule[];
  /** Rules that went because another took their place; same order as `added` where one did. */
  replaced: Rule[];
  removed: Rule[];
  unchanged: Rule[];
}

export function isChange(change: Change): boolean {
  return change.added.length + change.removed.length > 0;
}

/** Is there something to do for a scope? `reload`: its program is to be loaded anew, whatever its rules. */
export function isWork(planned: { change: Change; reload?: boolean | undefined }): boolean {
  return isChange(planned.change) || planned.reload === true;
}

/** Rules by their places. */
export type RuleMap = ReadonlyMap<string, Rule>;

/** Of several rules at one place the last counts. */
export function byPlace(rules: readonly Rule[]): RuleMap {
  return new Map(rules.map((rule) => [ruleKey(rule), rule]));
}

/** Puts rules where they belong; a rule replaces the one at the same place as a whole. */
export function setRules(present: Rule[], wanted: Rule[]): Change {
  return exactRules(present, byPlace(wanted), () => true);
}

/** Makes these the rules: what is not among them goes, except what is to be spared. */
export function exactRules(
  present: Rule[],
  wanted: RuleMap,
  isSpared: (rule: Rule) => boolean = () => false,
): Change {
  const change: Change = { rules: [], added: [], replaced: [], removed: [], unchanged: [] };
  const held = new Set<Rule>();
  for (const rule of present) {
    const next = wanted.get(ruleKey(rule));
    if (!next) {
      (isSpared(rule) ? change.rules : change.removed).push(rule);
      continue;
    }
    held.add(next);
    change.rules.push(next);
    if (sameEffect(rule, next)) change.unchanged.push(next);
    else {
      change.replaced.push(rule);
      change.added.push(next);
    }
  }
  for (const rule of wanted.values()) {
    if (held.has(rule)) continue;
    change.rules.push(rule);
    change.added.push(rule);
  }
  return change;
}

export interface Unset {
  ext: string;
  /** All kinds when left out. */
  kind?: Kind | undefined;
  /** All selectors when left out. */
  selectors?: Selector[] | undefined;
  /** With selectors: the namespace whose rules are meant; null: rules for all namespaces. */
  netns: Rule["netns"];
}

/** Where a rule stands; without an address the direction follows from the kind. */
function placeOf({ selector, netns }: Pick<Rule, "selector" | "netns">): string {
  return placeKey({ netns, selector: selector.family === 0 ? { ...selector, direction: "both" } : selector });
}

/** Of the places that are to be unset, those without a rule. */
export function missingPlaces(present: readonly Rule[], unset: Unset): Selector[] {
  const { ext, kind, netns, selectors = [] } = unset;
  const asked = present.filter((rule) => rule.ext === ext && (kind === undefined || rule.kind === kind));
  const held = new Set(asked.map(placeOf));
  return selectors.filter((selector) => !held.has(placeOf({ selector, netns })));
}

/** Removes matching rules; what is not there is no error. */
export function unsetRules(present: Rule[], unset: Unset): Change {
  const { netns, selectors } = unset;
  const places = selectors && new Set(selectors.map((selector) => placeOf({ selector, netns })));
  const goes = (rule: Rule) =>
    rule.ext === unset.ext &&
    (unset.kind === undefined || rule.kind === unset.kind) &&
    (places === undefined || places.has(placeOf(rule)));
  const [removed, rules] = [present.filter(goes), present.filter((rule) => !goes(rule))];
  return { rules, added: [], replaced: [], removed, unchanged: [] };
}
