// SPDX-License-Identifier: MIT
// What local rules have done to a connection: what tcpx sets without asking anybody.

import { unpackAck } from "../extensions/ack-rule.ts";
import { Ext, Outcome, RuleFlag } from "../layout/layout.generated.ts";
import type { AckPair } from "../wire/ack.ts";
import { algorithmName } from "../wire/site.ts";
import type { Listed } from "./listed.ts";

/** How this side acknowledges, by a rule. */
export interface Strategy extends AckPair {
  /** Longest delay, microseconds; 0: no such limit. */
  delayUs: number;
}

/** uto: milliseconds; cc-request: a name; iw: segments; ack: how it acknowledges. */
export type LocalValue = number | string | Strategy;

export interface Local {
  status: "none" | "exempt" | "pending" | "applied" | "kept" | "failed";
  /** What the rule says. */
  rule: LocalValue | null;
  /** What the connection has by it. */
  applied: LocalValue | null;
  /** Of what was kept, or has failed. */
  reason: "application" | "granted" | "loss" | "late" | "kernel" | "routes" | null;
}

export const NO_LOCAL: Local = { status: "none", rule: null, applied: null, reason: null };

const OUTCOMES: Record<number, Pick<Local, "status" | "reason">> = {
  [Outcome.NONE]: { status: "pending", reason: null },
  [Outcome.APPLIED]: { status: "applied", reason: null },
  [Outcome.APPLICATION]: { status: "kept", reason: "application" },
  [Outcome.GRANTED]: { status: "kept", reason: "granted" },
  [Outcome.LOSS]: { status: "failed", reason: "loss" },
  [Outcome.LATE]: { status: "failed", reason: "late" },
  [Outcome.KERNEL]: { status: "failed", reason: "kernel" },
  [Outcome.ROUTES]: { status: "failed", reason: "routes" },
};

/** What a rule says, and what the connection has where it was applied. */
type Meaning = (list: Listed, at: number, value: [number, number]) => { rule: LocalValue; has: LocalValue };

const same = (value: LocalValue) => ({ rule: value, has: value });

const MEANINGS: Partial<Record<number, Meaning>> = {
  [Ext.UTO]: (list, at, [ms]) => ({ rule: ms, has: list.uto(at).appliedMs || ms }),
  [Ext.CC_REQUEST]: (list, _, [id]) => same(algorithmName(id, list.site)),
  [Ext.IW]: (_, __, [segments]) => same(segments),
  [Ext.ACK]: (list, at, value) => {
    const { every, divisor, delayUs } = unpackAck(value);
    const rule = { every, divisor, delayUs };
    return { rule, has: { ...rule, delayUs: list.ack(at).appliedUs } };
  },
};

export function localOf(list: Listed, at: number, ext: number): Local {
  const { flags, outcome, value } = list.localRule(at, ext);
  if (!(flags & RuleFlag.SET)) return NO_LOCAL;
  if (flags & RuleFlag.NONE) return { ...NO_LOCAL, status: "exempt" };
  const { rule = null, has = null } = MEANINGS[ext]?.(list, at, value) ?? {};
  const { status, reason } = OUTCOMES[outcome] ?? OUTCOMES[Outcome.NONE]!;
  return { status, rule, applied: status === "applied" ? has : null, reason };
}
