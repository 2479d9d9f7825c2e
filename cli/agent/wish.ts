// SPDX-License-Identifier: MIT
// What a rule wants of the agent, as its extension says.

import { extensionOf } from "../extensions/index.ts";
import type { AgentWish } from "../extensions/types.ts";
import type { ScopeState } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";

/** Undefined: it does not need the agent. */
export const wishOf = (rule: Rule): AgentWish | undefined => extensionOf(rule).agent?.wish(rule);

export const needsAgent = (rule: Rule): boolean => wishOf(rule) !== undefined;

/** Does any rule that is in force, where an agent from here could do something, need it? */
export function anyNeedsAgent(states: readonly Pick<ScopeState, "alive" | "visible" | "rules">[]): boolean {
  return states.some(({ alive, visible, rules }) => alive && visible && rules.some(needsAgent));
}
