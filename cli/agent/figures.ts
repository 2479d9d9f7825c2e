// SPDX-License-Identifier: MIT
// What the thinner has counted, per rule.

import { labelOf, ruleJson } from "../describe/rules.ts";
import { extensionOf } from "../extensions/index.ts";
import { ThinCounter } from "../layout/layout.generated.ts";
import type { ScopeState } from "../loader/state.ts";
import { table } from "../output/table.ts";
import { type Rule, ruleId } from "../policy/rule.ts";
import { formatSelector } from "../policy/selector.ts";
import { DEFAULT_SITE } from "../wire/site.ts";
import type { AgentAnswer } from "./health.ts";
import { needsAgent } from "./wish.ts";

/** Reasons for which an ACK goes out, in the kernel's order. */
export const REASONS = Object.entries(ThinCounter)
  .filter(([, i]) => i < ThinCounter.DROPPED)
  .map(([name, index]) => ({ name: name.toLowerCase(), index }));

export interface Figures {
  scope: string;
  rule: Rule;
  passed: number;
  dropped: number;
  flushed: number;
  /** Every reason, in the kernel's order. */
  reasons: Record<string, number>;
}

/** One entry per rule that needs the agent; all zero where it has nothing to tell. */
export function figuresOf(
  states: readonly Pick<ScopeState, "id" | "name" | "alive" | "visible" | "rules">[],
  answer: Pick<AgentAnswer, "counters"> | undefined,
): Figures[] {
  const counters = new Map(answer?.counters ?? []);
  return states.flatMap(({ id, name, alive, visible, rules }) =>
    rules
      .filter((rule) => alive && needsAgent(rule))
      .map((rule) => {
        const count = counters.get(ruleId(id, rule)) ?? [];
        const reasons = Object.fromEntries(REASONS.map((reason) => [reason.name, count[reason.index] ?? 0]));
        return {
          scope: labelOf({ id, name, visible }),
          rule,
          passed: Object.values(reasons).reduce((sum, n) => sum + n, 0),
          dropped: count[ThinCounter.DROPPED] ?? 0,
          flushed: count[ThinCounter.FLUSHED] ?? 0,
          reasons,
        };
      }),
  );
}

/** For `ack_rules` in JSON documents. */
export function figuresJson(figures: Figures[]): Record<string, unknown>[] {
  return figures.map(({ scope, rule, passed, dropped, flushed, reasons }) => ({
    cgroup: scope,
    ...ruleJson(rule, DEFAULT_SITE),
    counters: { passed, dropped, flushed, reasons },
  }));
}

/** "every 100, small 12", the most frequent first. */
function because(reasons: Record<string, number>): string {
  const seen = Object.entries(reasons).filter(([, n]) => n > 0);
  return seen
    .sort((a, b) => b[1] - a[1])
    .map(([name, n]) => `${name} ${n}`)
    .join(", ");
}

/** Rows of a table; with `reasons` a column says why ACKs passed. */
export function figuresTable(figures: Figures[], reasons: boolean): string {
  const rows = figures.map((f) => [
    `${f.rule.kind} ${extensionOf(f.rule).describe(f.rule, DEFAULT_SITE)} ${formatSelector(f.rule.selector)}`,
    f.passed,
    f.dropped,
    f.flushed,
    ...(reasons ? [because(f.reasons)] : []),
    f.scope, // at the end, where a long path makes no other row longer
  ]);
  const head = ["ACKS", "PASSED", "DROPPED", "FLUSHED", ...(reasons ? ["PASSED BECAUSE"] : []), "SCOPE"];
  return table(head, rows, [1, 2, 3], { below: reasons ? [4, 5] : [4] });
}
