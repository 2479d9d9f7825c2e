// SPDX-License-Identifier: MIT
// What is seen of acknowledgments: the strategy of this side, and TARR, which nobody answers.

import { formatMicros } from "../base/duration.ts";
import { AckLiveResult, AckOutcome, Outcome, TarrFlag, WatchEvent } from "../layout/layout.generated.ts";
import { type AckPair, decodeAck, decodeTarr } from "../wire/ack.ts";
import { unpackAck } from "./ack-rule.ts";
import type { Around, Live, Raw, Said, Seen, Shown } from "./seen.ts";

/** How this side acknowledges, by a rule. */
interface Strategy extends AckPair {
  /** Longest delay, microseconds; 0: no such limit. */
  delayUs: number;
}

function pairText({ every, divisor }: AckPair): string {
  const parts = [
    every === 1 ? "at once" : every > 0 ? `every ${every}` : "",
    divisor > 0 ? `rtt/${divisor}` : "",
  ];
  return parts.filter(Boolean).join(" ") || "no limit";
}

const pair = ({ every, divisor }: AckPair): Shown => ({
  text: pairText({ every, divisor }),
  json: { every, divisor },
});
const rate = (every: number) => pair({ every, divisor: 0 });

function strategy(way: Strategy): Shown {
  const { every, divisor, delayUs } = way;
  const delay = delayUs > 0 ? [formatMicros(delayUs)] : [];
  return {
    text: [...(every || divisor ? [pairText(way)] : []), ...delay].join(" "),
    json: { every: every || null, divisor: divisor || null, delay_us: delayUs || null },
  };
}

/** What decides here, whoever wanted it. */
function strategyOf({ own }: Raw): Shown | null {
  const { rule, every = 0, divisor = 0, delay_us: delayUs = 0 } = own;
  return rule ? strategy({ every, divisor, delayUs }) : null;
}

/** Nobody answers TARR: what we ask with it stays asked, and what the peer asks with it holds. */
function withTarr({ ours, peers }: Said, { own }: Raw): Pick<Said, "ours" | "peers"> {
  const { tarr = 0, tarr_asked: asked = 0, tarr_segments: segments = 0, every = 0 } = own;
  return {
    ours: tarr & TarrFlag.ASKED ? { status: "asked", asked: rate(decodeTarr(asked)), granted: null } : ours,
    peers:
      tarr & TarrFlag.RULES
        ? { status: "granted", asked: rate(decodeTarr(segments)), granted: rate(every) }
        : peers,
  };
}

/** From its state alone: routes and the RTT may come later than the handshake. */
function outcomeNow({ local, own }: Raw, { mark, delackUs, isMeasured, tickUs }: Around): number {
  const { rule = 0, bound = 0, every = 0, divisor = 0, marked = 0, waits = 0 } = own;
  const { applied_us: us = 0, delay_us: delay = 0 } = own;
  if (rule && bound) return Outcome.GRANTED;
  if (!rule || rule !== local.id) return local.outcome;
  if (every === 1) {
    if ((mark >>> unpackAck(local.value).markBit) & 1) return Outcome.APPLIED;
    if (marked) return Outcome.APPLICATION;
    return waits ? Outcome.NONE : AckOutcome.ROUTES;
  }
  if (us && tickUs && delackUs !== Math.ceil(us / tickUs) * tickUs) return Outcome.APPLICATION;
  if (us || every || (!divisor && !delay)) return Outcome.APPLIED;
  return divisor && !delay && !isMeasured ? Outcome.NONE : Outcome.KERNEL;
}

export const ackSeen: Seen = {
  value: (bits) => pair(decodeAck(bits)),
  rule: (value) => strategy(unpackAck(value)),
  outcome: outcomeNow,
  outcomes: {
    [AckOutcome.ROUTES]: { status: "failed", reason: "routes", why: "no routes for it" },
  },
  complete(said, raw) {
    const sides = withTarr(said, raw);
    const has = strategyOf(raw);
    const { status, rule, applied } = said.local;
    const delay = { delay_us: raw.own.applied_us || null };
    return {
      ...said,
      ...sides,
      // the delay that the kernel was told is in JSON alone: of a fraction of the RTT it is another one each time
      local: {
        ...said.local,
        applied: rule && applied && { text: rule.text, json: { ...rule.json, ...delay } },
      },
      members: { strategy: has?.json ?? null },
      connection: { ack_at_once: Boolean(raw.own.marked) },
      complete: (parts) =>
        has && status === "none" && sides.peers.status !== "granted"
          ? [...parts, `ack set ${has.text}`]
          : parts,
    };
  },
  /** TARR is announced, too, where nothing is asked for. */
  event: (event, asked) =>
    event === WatchEvent.WITHHELD && asked === 0
      ? { word: "withheld", event: "withheld", side: "ours", asked: false, granted: false }
      : undefined,
  unanswered: "TARR",
  help: {
    status: {
      note:
        "ACKs of ack rules: passed, with the reasons (path: later it might leave another way); dropped = held back for a later one; flushed = of these, sent " +
        "by the agent when their time came.",
    },
  },
};

export const ackLive: Live = {
  gives: "way to acknowledge",
  asks: true,
  skipped: {
    [AckLiveResult.UNKNOWN_RTT]: ["rtt", "RTT not known yet"],
    [AckLiveResult.INCAPABLE]: ["incapable", "the peer does not speak TARR"],
  },
};
