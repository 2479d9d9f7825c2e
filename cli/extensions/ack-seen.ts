// SPDX-License-Identifier: MIT
// What is seen of acknowledgments: the strategy of this side, and TARR, which nobody answers.

import { formatMicros } from "../base/duration.ts";
import {
  AckCounter,
  AckEvent,
  AckLiveResult,
  AckOutcome,
  AckReason,
  Outcome,
  TarrFlag,
  WatchEvent,
} from "../layout/layout.generated.ts";
import { type AckPair, decodeAck, decodeTarr } from "../wire/ack.ts";
import { unpackAck } from "./ack-rule.ts";
import type { Around, Live, Raw, Said, Seen, Shown } from "./seen.ts";

/** How this side acknowledges, by a rule. */
interface Strategy extends AckPair {
  /** Longest delay, microseconds; 0: no such limit. */
  delayUs: number;
}

function pairText({ every, divisor }: AckPair, isAtOnce = true): string {
  const parts = [
    every === 1 && isAtOnce ? "at once" : every > 0 ? `every ${every}` : "",
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

/** What has come of acknowledging at once: its mark, and what the kernel has made of that. */
function atOnceNow({ own }: Raw, { mark, quickack }: Around, markBit: number): number {
  const { marked = 0, waits = 0 } = own;
  if (!((mark >>> markBit) & 1)) {
    if (marked) return Outcome.APPLICATION;
    return waits & 1 ? Outcome.NONE : AckOutcome.ROUTES;
  }
  if (quickack === undefined) return Outcome.NONE;
  return quickack ? Outcome.APPLIED : AckOutcome.ROUTES;
}

/** The same, for whomever it is; undefined: it is not to acknowledge at once. */
function atOnceOf(raw: Raw, around: Around): number | undefined {
  const { rule = 0, bound = 0, every = 0, accept = 0 } = raw.own;
  if (!rule || every !== 1) return undefined;
  const { markBit } = unpackAck(bound ? [accept, 0] : raw.local.value);
  return atOnceNow(raw, around, markBit);
}

/** "every 1": what is not done is not called "at once". */
function unkept<T extends Shown | null>(shown: T): T {
  return shown && { ...shown, text: shown.text.replace("at once", "every 1") };
}

const NO_ROUTES = "no routes for it";

/** What is said of a connection that does not acknowledge at once though it was to, or may not. */
function withoutEffect(said: Said): Said {
  const { peers, local } = said;
  return {
    ...said,
    peers: { ...peers, asked: unkept(peers.asked), granted: unkept(peers.granted) },
    local: { ...local, rule: unkept(local.rule) },
  };
}

/** From its state alone: routes and the RTT may come later than the handshake. */
function outcomeNow(raw: Raw, around: Around): number {
  const { local, own } = raw;
  const { delackUs, isMeasured, tickUs } = around;
  const { rule = 0, bound = 0, every = 0, divisor = 0 } = own;
  const { applied_us: us = 0, delay_us: delay = 0 } = own;
  if (rule && bound) return Outcome.GRANTED;
  if (!rule || rule !== local.id) return local.outcome;
  if (every === 1) return atOnceNow(raw, around, unpackAck(local.value).markBit);
  if (us && tickUs && delackUs !== Math.ceil(us / tickUs) * tickUs) return Outcome.APPLICATION;
  if (us || every || (!divisor && !delay)) return Outcome.APPLIED;
  return divisor && !delay && !isMeasured ? Outcome.NONE : Outcome.KERNEL;
}

export const ackSeen: Seen = {
  value: (bits) => pair(decodeAck(bits)),
  rule: (value) => strategy(unpackAck(value)),
  outcome: outcomeNow,
  outcomes: {
    [AckOutcome.ROUTES]: { status: "failed", reason: "routes", why: NO_ROUTES },
  },
  complete(before, raw, around) {
    const atOnce = atOnceOf(raw, around);
    const kept = atOnce === undefined || atOnce === Outcome.APPLIED;
    const whole = { ...before, ...withTarr(before, raw) };
    const said = kept ? whole : withoutEffect(whole);
    const has = kept ? strategyOf(raw) : unkept(strategyOf(raw));
    const { status, rule, applied } = said.local;
    const isGranted = said.peers.status === "granted";
    const delay = { delay_us: raw.own.applied_us || null };
    return {
      ...said,
      // the delay that the kernel was told is in JSON alone: of a fraction of the RTT it is another one each time
      local: {
        ...said.local,
        applied: rule && applied && { text: rule.text, json: { ...rule.json, ...delay } },
      },
      members: { strategy: has?.json ?? null },
      connection: { ack_at_once: Boolean(raw.own.marked) && atOnce === Outcome.APPLIED },
      complete(parts) {
        const all = has && status === "none" && !isGranted ? [...parts, `ack set ${has.text}`] : parts;
        const isTold = atOnce !== AckOutcome.ROUTES || status === "failed";
        return isTold ? all : [...all, `ack without effect: ${NO_ROUTES}`];
      },
    };
  },
  /** TARR is announced, too, where nothing is asked for. */
  event(event, asked) {
    if (event === WatchEvent.WITHHELD && asked === 0) {
      return { word: "withheld", event: "withheld", side: "ours", asked: false, granted: false };
    }
    if (event !== AckEvent.INEFFECTIVE) return undefined;
    return { word: "without effect", event: "no-effect", side: null, asked: false, granted: false };
  },
  reasons: { [AckReason.ROUTES]: { code: "routes", words: NO_ROUTES } },
  counters: {
    [AckCounter.UNROUTED]: {
      name: "no_routes",
      unit: "connections",
      help: "Connections that were to acknowledge at once, and have no route for it.",
      title: "no routes",
      meaning: "connections that were to acknowledge at once, and have no route for that, as on loopback",
    },
  },
  unanswered: "TARR",
  help: {
    watch: { note: "without effect = ACKs are not sent at once: other routes come first." },
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
