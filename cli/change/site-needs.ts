// SPDX-License-Identifier: MIT
// A change of the site's table: which rules still need what is to go, and which programs were loaded with
// another one.

import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { extensionOf, slotsOf } from "../extensions/index.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { readScopes, type ScopeHead } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";
import { formatSelector } from "../policy/selector.ts";
import { changedSlots, hex, type Site, sameSite } from "../wire/site.ts";

/** The table as it is, and as it is to be. */
export interface Tables {
  present: Site;
  wanted: Site;
}

/** Was its program loaded with another table? One of an older layout is about to be loaded anyway. */
export const isOutdated = ({ alive, damaged, layout, site }: ScopeHead, wanted: Site): boolean =>
  alive && !damaged && layout === LAYOUT_VERSION && !sameSite(site, wanted);

/** Slots that rules in force refer to. */
export function slotsInUse(lib: Bridge): Set<number> {
  return new Set(readScopes(lib).flatMap(({ rules }) => rules.flatMap(slotsOf)));
}

/** Somebody has changed the table since it was read. */
export const changedMeanwhile = () =>
  new TcpxError(Exit.BUSY, "another tcpx has changed the site's table meanwhile", { hint: "try again" });

/**
 * Refuses to take a number away from a rule that stays. Call it again with the lock held.
 * @param planned rules as they are to be, by scope
 * @throws TcpxError (usage) that names the rule
 */
export function requireUnused(lib: Bridge, planned: Map<bigint, Rule[]>, { present, wanted }: Tables): void {
  const slots = changedSlots(present, wanted);
  if (slots.length === 0) return;
  for (const { id, name, alive, waiting, rules } of readScopes(lib)) {
    if (!alive && !waiting) continue;
    // a slot that has a new owner was nobody's when the rules were planned
    if (rules.flatMap(slotsOf).some((slot) => slots.includes(slot) && wanted.algorithms[slot])) {
      throw changedMeanwhile();
    }
    for (const rule of planned.get(id) ?? rules) {
      const slot = slotsOf(rule).find((one) => slots.includes(one) && !wanted.algorithms[one]);
      if (slot === undefined) continue;
      const { name: algorithm, number } = present.algorithms[slot]!;
      const place = `${extensionOf(rule).describe(rule, present)} ${formatSelector(rule.selector)}, cgroup ${name}`;
      throw new TcpxError(
        Exit.USAGE,
        `algorithm ${algorithm} = ${hex(number)} is still needed: ${rule.ext} ${rule.kind} ${place}`,
        { value: algorithm, hint: "unset the rule first, or leave the number in the file" },
      );
    }
  }
}
