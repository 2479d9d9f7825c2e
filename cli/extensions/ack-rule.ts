// SPDX-License-Identifier: MIT
// The value of an ack rule: its fields, and how they are shown.

import { exactMicros } from "../base/duration.ts";
import { AckField } from "../layout/layout.generated.ts";
import type { CommonKind } from "../policy/rule.ts";
import {
  answerWords,
  askWords,
  encodeAck,
  TARR_EXID,
  tarrCapability,
  tarrHex,
  tarrWords,
} from "../wire/ack.ts";
import { EXPERIMENT_KIND, experiment, requestHex, type WireOption } from "../wire/request.ts";
import { DEFAULT_SITE, exidOf, type Site } from "../wire/site.ts";
import type { AgentWish, Drafted, HostFacts, RuleDraft, Spelling } from "./types.ts";

/** At least so many ACKs per RTT survive (beta of TACK, SIGCOMM 2020). */
export const DEFAULT_FLOOR = 4;
/** 0x2000: low bits are what container and VPN software uses most. */
export const DEFAULT_MARK_BIT = 13;

const ASK = { name: "ack-ask", documented: 0x7ca0 };
const ANSWER = { name: "ack-answer", documented: 0x7ca1 };
const TARR = { name: "tarr", documented: TARR_EXID };

export const ACK_OPTIONS: readonly WireOption[] = [
  experiment("ask", ASK, askWords),
  experiment("answer", ANSWER, answerWords),
  { role: "ask", own: true, kind: EXPERIMENT_KIND, identifier: TARR, words: tarrWords },
];

export interface AckValue {
  /** Segments per ACK; 0: the kernel's way, 1: at once. Of an accept rule: the most. */
  every: number;
  /** The longest delay is the RTT by this; 0: no such limit. */
  divisor: number;
  /** Least ACKs per RTT; 0: none. */
  floor: number;
  /** Bit of SO_MARK for acknowledging at once. */
  markBit: number;
  /** Ask with TARR. */
  tarr: boolean;
  /** The longest delay in microseconds; 0: no such limit. */
  delayUs: number;
}

type Place = Pick<RuleDraft, "kind" | "none">;

/** A rule's two numbers; what is left out is 0. */
export function packAck(fields: Partial<AckValue>): [number, number] {
  const { every = 0, divisor = 0, floor = 0, markBit = 0, tarr = false, delayUs = 0 } = fields;
  const bits =
    (every << AckField.EVERY) |
    (divisor << AckField.DIVISOR) |
    (floor << AckField.FLOOR) |
    (markBit << AckField.MARK_BIT) |
    (Number(tarr) << AckField.TARR);
  return [bits >>> 0, delayUs];
}

export function unpackAck([bits, delayUs]: RuleDraft["value"]): AckValue {
  const byte = (at: number) => (bits >>> at) & 255;
  return {
    every: byte(AckField.EVERY),
    divisor: byte(AckField.DIVISOR),
    floor: byte(AckField.FLOOR),
    markBit: (bits >>> AckField.MARK_BIT) & 31,
    tarr: bits >>> AckField.TARR === 1,
    delayUs,
  };
}

/** Does this rule hold ACKs back on this host? */
export function thins(rule: RuleDraft): boolean {
  return wishOf(rule)?.thins === true;
}

/** Without the agent ACKs are neither thinned nor sent at once. */
export function wishOf({ kind, none, value }: RuleDraft): AgentWish | undefined {
  const { every, markBit } = unpackAck(value);
  if (kind === "ask" || none || every === 0) return undefined;
  // an accept rule's number is the most that a peer may ask for, so 1 is always among it
  return { thins: every >= 2, markBit: every === 1 || kind === "accept" ? markBit : null };
}

function markText(value: AckValue): string[] {
  return value.markBit === DEFAULT_MARK_BIT ? [] : [`mark bit ${value.markBit}`];
}

function localText(value: AckValue): string {
  const { every, divisor, floor, delayUs } = value;
  const delay = divisor > 0 ? [`rtt/${divisor}`] : delayUs > 0 ? [exactMicros(delayUs)] : [];
  if (every === 0) return `delay ${delay}`;
  const more = every === 1 ? markText(value) : floor === DEFAULT_FLOOR ? [] : [`min ${floor}/rtt`];
  return [`every ${every}`, ...delay, ...more].join(", ");
}

function askText({ every, divisor, tarr }: AckValue): string {
  return `every ${every}${divisor > 0 ? `, rtt/${divisor}` : ""}${tarr ? " (TARR)" : ""}`;
}

/**
 * The kernel's delayed ACK takes 2 ticks at the least. A thinner can do with less; where there is
 * none the rule becomes what is done.
 */
export function fitDelay(flag: string, drafts: RuleDraft[], { tickUs }: HostFacts): Drafted {
  const least = 2 * tickUs;
  const notices: string[] = [];
  const fitted = drafts.map((draft) => {
    const { delayUs, ...fields } = unpackAck(draft.value);
    if (draft.none || delayUs === 0 || delayUs >= least) return draft;
    const [given, ticks] = [`${flag} ${exactMicros(delayUs)}`, `${exactMicros(least)} (2 ticks)`];
    if (thins(draft)) {
      notices.push(`${given} is for thinned ACKs only: this kernel's own delay is ${ticks} at the least`);
      return draft;
    }
    notices.push(`${given} is less than this kernel can do: it becomes ${ticks}`);
    return { ...draft, value: packAck({ ...fields, delayUs: least }) };
  });
  return { drafts: fitted, notices };
}

/** "every 8, rtt/4", "delay 20ms", "every <= 255, <= 200ms". */
export function describeAck(rule: Place & Pick<RuleDraft, "value">): string {
  if (rule.none) return "none";
  const value = unpackAck(rule.value);
  if (rule.kind === "local") return localText(value);
  if (rule.kind === "ask") return askText(value);
  const limits = [`every <= ${value.every}`, `<= ${exactMicros(value.delayUs)}`];
  return [...limits, ...markText(value)].join(", ");
}

/** Null stands for what the rule does not say. Delays are integer microseconds: ticks may be no whole milliseconds. */
export function ackJson(
  rule: Place & Pick<RuleDraft, "value">,
  site: Site = DEFAULT_SITE,
): Record<string, unknown> {
  if (rule.none) return {};
  const { every, divisor, floor, markBit, tarr, delayUs } = unpackAck(rule.value);
  if (rule.kind === "accept") return { max_every: every, max_delay_us: delayUs, mark_bit: markBit };
  const asked = { every: every || null, rtt_divisor: divisor || null };
  if (rule.kind === "local") {
    return {
      ...asked,
      delay_us: delayUs || null,
      min_acks_per_rtt: every >= 2 ? floor : null,
      mark_bit: every === 1 ? markBit : null,
    };
  }
  if (!tarr) return { ...asked, tarr, option: requestHex(exidOf(ASK, site), encodeAck({ every, divisor })) };
  const exid = exidOf(TARR, site);
  return { ...asked, tarr, option: tarrHex(every, exid), capability: tarrCapability(exid) };
}

/** What is not the default, as the verb's flags have it. */
export function spellAck({ kind, none, value }: RuleDraft): Spelling[] {
  const verb = { local: "set", ask: "request", accept: "accept" }[kind as CommonKind];
  if (none) return [{ verb, args: { value: "none" } }];
  const { every, divisor, floor, markBit, tarr, delayUs } = unpackAck(value);
  // a fraction of a millisecond is fitDelay()'s doing, which it does again
  const ms = delayUs > 0 ? `${Math.floor(delayUs / 1000)}ms` : undefined;
  const mark = markBit === DEFAULT_MARK_BIT ? {} : { "mark-bit": String(markBit) };
  if (kind === "accept") {
    return [{ verb, args: { "max-every": String(every), "max-delay": ms, ...mark } }];
  }
  const number = every > 0 ? { every: String(every) } : {};
  const delay = divisor > 0 ? { delay: `rtt/${divisor}` } : ms !== undefined ? { delay: ms } : {};
  if (kind === "ask") return [{ verb, args: { ...number, ...delay, ...(tarr && { tarr }) } }];
  const least = every >= 2 && floor !== DEFAULT_FLOOR ? { "min-acks-per-rtt": String(floor) } : {};
  return [{ verb, args: { ...number, ...delay, ...least, ...(every === 1 && mark) } }];
}
