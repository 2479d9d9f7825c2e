// SPDX-License-Identifier: MIT
// What the agent has to do, from the rules in force. Pure.

import type { ScopeState } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";

export type PlannedState = Pick<ScopeState, "id" | "name" | "alive" | "damaged" | "rules">;

export interface AgentScope {
  /** Cgroup id. */
  id: bigint;
  /** Path below the cgroup2 mount. */
  name: string;
}

export interface AgentPlan {
  /** False: nothing is left to do, and the agent ends. */
  needed: boolean;
  /** Scopes that get the thinner: those with a thinning rule, without such a scope above them. */
  thin: AgentScope[];
  /** Bits of SO_MARK that ask for ACKs at once; 0: no rule does. */
  markBits: number;
}

/** What an agent's rule may want of it, as far as the planner cares. */
export interface AgentWish {
  /** Some connection may be thinned. */
  thins: boolean;
  /** The bit 0..31 of SO_MARK for acknowledging at once; null: never. */
  markBit: number | null;
}

const isBelow = (name: string, above: string) =>
  name !== above && name.startsWith(above === "/" ? "/" : `${above}/`);

/**
 * Does the agent do for a scope what its rules want? Trouble elsewhere is not these rules'.
 * @param done what the agent says it does
 */
export function fulfils(
  done: { scopes: string[]; mark_bits: number; unserved: boolean },
  scope: string,
  wishes: readonly AgentWish[],
): boolean {
  const thinned = done.scopes.some((name) => name === scope || isBelow(scope, name));
  const atOnce = (bit: number) => !done.unserved && ((done.mark_bits >>> bit) & 1) === 1;
  return wishes.every(({ thins, markBit }) => (!thins || thinned) && (markBit === null || atOnce(markBit)));
}

/** Scopes without another of them above. */
export function topmost(scopes: AgentScope[]): AgentScope[] {
  return scopes.filter(({ name }) => !scopes.some((other) => isBelow(name, other.name)));
}

/**
 * The plan for these scopes. Removed and damaged ones have no rules that count.
 * @param wish what a rule wants of the agent; undefined: nothing
 */
export function planAgent(
  states: readonly PlannedState[],
  wish: (rule: Rule) => AgentWish | undefined,
): AgentPlan {
  const plan: AgentPlan = { needed: false, thin: [], markBits: 0 };
  const thinning: AgentScope[] = [];
  for (const { id, name, alive, damaged, rules } of states) {
    if (!alive || damaged) continue;
    const wishes = rules.flatMap((rule) => wish(rule) ?? []);
    if (wishes.length > 0) plan.needed = true;
    if (wishes.some(({ thins }) => thins)) thinning.push({ id, name });
    for (const { markBit } of wishes) if (markBit !== null) plan.markBits |= 1 << markBit;
  }
  plan.thin = topmost(thinning);
  plan.markBits >>>= 0;
  return plan;
}
