// SPDX-License-Identifier: MIT
// What the agent has to do, from the rules in force. Pure.

import type { AgentWish } from "../extensions/types.ts";
import type { ScopeState } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";

export type PlannedState = Pick<ScopeState, "id" | "name" | "alive" | "visible" | "damaged" | "rules">;

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

/** A plan, all scopes with a thinning rule, and the ids of those that cannot be seen from here. */
export type AgentSurvey = AgentPlan & { thinning: AgentScope[]; unseen: bigint[] };

const isBelow = (name: string, above: string) =>
  name !== above && name.startsWith(above === "/" ? "/" : `${above}/`);

/**
 * Does the agent do for a scope what its rules want? Trouble elsewhere is not these rules'.
 * @param done what the agent says it does
 * @param scope its id: the agent may see it under another path
 */
export function fulfils(
  done: { covers: string[]; mark_bits: number; unserved: boolean },
  scope: bigint,
  wishes: readonly AgentWish[],
): boolean {
  const thinned = done.covers.includes(String(scope));
  const atOnce = (bit: number) => !done.unserved && ((done.mark_bits >>> bit) & 1) === 1;
  return wishes.every(({ thins, markBit }) => (!thins || thinned) && (markBit === null || atOnce(markBit)));
}

/** Ids of those scopes that are among the others, or below one of them. */
export function coveredBy(scopes: readonly AgentScope[], attached: readonly AgentScope[]): bigint[] {
  const isCovered = ({ id, name }: AgentScope) =>
    attached.some((other) => other.id === id || isBelow(name, other.name));
  return scopes.filter(isCovered).map(({ id }) => id);
}

/** Does who plans this see all scopes with a thinning rule, and some that an agent cannot see? */
export const seesMore = (plan: AgentSurvey, agent: { unseen: string[] }): boolean =>
  plan.unseen.length === 0 && plan.thinning.some(({ id }) => agent.unseen.includes(String(id)));

/** Scopes without another of them above. */
export function topmost(scopes: AgentScope[]): AgentScope[] {
  return scopes.filter(({ name }) => !scopes.some((other) => isBelow(name, other.name)));
}

/**
 * The plan for these scopes. Removed and damaged ones have no rules that count; those that are not visible from
 * here are for an agent that sees them.
 * @param wish what a rule wants of the agent; undefined: nothing
 */
export function planAgent(
  states: readonly PlannedState[],
  wish: (rule: Rule) => AgentWish | undefined,
): AgentSurvey {
  const plan: AgentSurvey = { needed: false, thin: [], thinning: [], unseen: [], markBits: 0 };
  for (const { id, name, alive, visible, damaged, rules } of states) {
    if (!alive || damaged) continue;
    const wishes = rules.flatMap((rule) => wish(rule) ?? []);
    if (!visible) {
      if (wishes.some(({ thins }) => thins)) plan.unseen.push(id);
      continue;
    }
    if (wishes.length > 0) plan.needed = true;
    if (wishes.some(({ thins }) => thins)) plan.thinning.push({ id, name });
    for (const { markBit } of wishes) if (markBit !== null) plan.markBits |= 1 << markBit;
  }
  plan.thin = topmost(plan.thinning);
  plan.markBits >>>= 0;
  return plan;
}
