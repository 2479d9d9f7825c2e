// SPDX-License-Identifier: MIT
// The effect of a command on a scope's rules, without touching anything: --dry-run prints it.

import { type Kind, placeKey, type Rule, ruleKey, type Selector, sameRule } from "./rule.ts";

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

/** Puts rules where they belong; a rule replaces the one at the same place as a whole. */
export function setRules(present: Rule[], wanted: Rule[]): Change {
  const rules = new Map(present.map((rule) => [ruleKey(rule), rule]));
  const change: Change = { rules: [], added: [], replaced: [], removed: [], unchanged: [] };
  for (const rule of wanted) {
    const old = rules.get(ruleKey(rule));
    if (old && sameRule(old, rule)) {
      change.unchanged.push(rule);
      continue;
    }
    if (old) change.replaced.push(old);
    change.added.push(rule);
    rules.set(ruleKey(rule), rule);
  }
  change.rules = [...rules.values()];
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
