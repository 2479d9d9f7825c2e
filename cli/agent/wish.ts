// SPDX-License-Identifier: MIT
// What a rule wants of the agent, read from the value that the kernel's side gets.

import { unpackAck } from "../extensions/ack-rule.ts";
import { extensionOf } from "../extensions/index.ts";
import type { ScopeState } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";
import type { AgentWish } from "./sync.ts";

/** Undefined: it does not need the agent. */
export function wishOf(rule: Rule): AgentWish | undefined {
  if (rule.none || !extensionOf(rule).needsAgent?.(rule)) return undefined;
  const { every, markBit } = unpackAck(rule.value);
  // an accept rule's number is the most that a peer may ask for, so 1 is always among it
  return { thins: every >= 2, markBit: every === 1 || rule.kind === "accept" ? markBit : null };
}

export const needsAgent = (rule: Rule): boolean => wishOf(rule) !== undefined;

/** Does any rule that is in force, where an agent from here could do something, need it? */
export function anyNeedsAgent(states: readonly Pick<ScopeState, "alive" | "visible" | "rules">[]): boolean {
  return states.some(({ alive, visible, rules }) => alive && visible && rules.some(needsAgent));
}
