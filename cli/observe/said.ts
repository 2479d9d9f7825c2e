// SPDX-License-Identifier: MIT
// What a connection's two sides have asked of each other, per extension, and what came of it.

import {
  Direction,
  Ext,
  ListFlag,
  RequestState,
  RuleFlag,
  Silence,
  TarrFlag,
} from "../layout/layout.generated.ts";
import { type AckPair, decodeAck, decodeTarr } from "../wire/ack.ts";
import { DEFAULT_SITE, numberName, type Site } from "../wire/site.ts";
import type { Listed, Request } from "./listed.ts";
import { type Local, localOf, type Strategy } from "./local.ts";

/** uto: milliseconds; cc-request: a name; iw: segments; ack: both numbers. */
export type Value = number | string | AckPair;

export interface Side {
  status:
    | "none"
    | "asked"
    | "granted"
    | "refused"
    | "unanswered"
    | "no-room"
    | "withheld"
    | "not-asked"
    | "pending";
  asked: Value | null;
  granted: Value | null;
}

/** What one extension has done. */
export interface Said {
  /** What we ask of the peer. */
  ours: Side;
  /** What the peer asks of us. */
  peers: Side;
  /** What we set ourselves. */
  local: Local;
}

/**
 * How a user timeout of ours and keep-alive go together: lowered to what keep-alive needs; too short for a second
 * probe; later than keep-alive, which was turned on after the timeout was set.
 */
export type KeepaliveNote = "lowered" | "short" | "later";

export interface Negotiated {
  uto: Said;
  keepalive: KeepaliveNote | null;
  /** What is set, milliseconds. */
  timeoutMs: number;
  "cc-request": Said;
  iw: Said;
  ack: Said;
  strategy: Strategy | null;
  /** Without options: since a segment was lost, or because of its path, as a rule from its first SYN on. */
  fallback: "loss" | "path" | null;
}

const NONE: Side = { status: "none", asked: null, granted: null };

const OURS: Record<number, Side["status"]> = {
  [RequestState.ASKED]: "asked",
  [RequestState.GRANTED]: "granted",
  [RequestState.REFUSED]: "refused",
  [RequestState.UNANSWERED]: "unanswered",
  [RequestState.NO_ROOM]: "no-room",
};

interface Meaning {
  value(bits: number, site: Site): Value;
  refused(answer: number): boolean;
}

const algorithm: Meaning = {
  value: (bits, site) => numberName(bits, site) ?? `number ${bits}`,
  refused: (answer) => answer === 0xffff,
};
const segments: Meaning = { value: (bits) => bits, refused: (answer) => answer === 0 };
const pair: Meaning = { value: decodeAck, refused: (answer) => answer === 0 };

const MEANINGS: Partial<Record<number, Meaning>> = {
  [Ext.CC_REQUEST]: algorithm,
  [Ext.IW]: segments,
  [Ext.ACK]: pair,
};

/** What the 16 bits of an option mean; of uto, whose are milliseconds, the number itself. */
export function meaningOf(ext: number, bits: number, site: Site = DEFAULT_SITE): Value {
  return MEANINGS[ext]?.value(bits, site) ?? bits;
}

const FALLBACKS: Record<number, Negotiated["fallback"]> = {
  [Silence.SILENCED]: "loss",
  [Silence.PLAIN]: "path",
};

/** Has TCP-AO kept an extension's option off all segments? */
const withheld = (list: Listed, at: number, ext: number) =>
  list.silent(at) === Silence.WITHHELD && !(list.written(at) & (1 << ext));

/** Of a request: with TCP-AO, or on a path that does not take options, it was not made. */
function ourStatus(list: Listed, at: number, state: number, ext: number): Side["status"] | undefined {
  if (state === RequestState.ASKED && list.silent(at) === Silence.PLAIN) return "not-asked";
  if (state === RequestState.NO_ROOM && withheld(list, at, ext)) return "withheld";
  return OURS[state];
}

function ourSide(list: Listed, at: number, index: number, ext: number): Side {
  const { state, asked, answer } = list.request(at, index);
  const { site } = list;
  const meaning = MEANINGS[ext]!;
  const status = ourStatus(list, at, state, ext);
  if (!status) return NONE;
  const granted = status === "granted" ? meaning.value(answer, site) : null;
  return { status, asked: meaning.value(asked, site), granted };
}

function peersSide({ state, asked, answer }: Request, meaning: Meaning, site: Site): Side {
  if (state === RequestState.PENDING)
    return { status: "pending", asked: meaning.value(asked, site), granted: null };
  if (state !== RequestState.ANSWERED) return NONE;
  const refused = meaning.refused(answer);
  return {
    status: refused ? "refused" : "granted",
    asked: meaning.value(asked, site),
    granted: refused ? null : meaning.value(answer, site),
  };
}

/** Of what we advertise. */
function utoStatus(list: Listed, at: number): Side["status"] {
  if (list.silent(at) === Silence.PLAIN) return "not-asked";
  if (withheld(list, at, Ext.UTO)) return "withheld";
  // what stood on a SYN-ACK is not noted down, so only the side that opened can know that it had no room
  const opened = list.direction(at) === Direction.TO && list.established(at);
  return opened && !(list.written(at) & (1 << Ext.UTO)) ? "no-room" : "asked";
}

export function keepaliveNote(list: Listed, at: number): KeepaliveNote | null {
  const [ms, keepalive] = [list.timeoutMs(at), list.keepalive(at)];
  if (!keepalive || !(list.flags(at) & ListFlag.KNOWN) || ms === 0 || ms !== list.uto(at).appliedMs)
    return null; // or the application's own
  const { idleMs, intervalMs, probes } = keepalive;
  if (ms <= idleMs + intervalMs && probes > 1) return "short";
  if (ms > idleMs + intervalMs * probes) return "later";
  return list.lowered(at) ? "lowered" : null;
}

type Sides = Pick<Said, "ours" | "peers">;

function utoSaid(list: Listed, at: number): Sides {
  const { remoteMs, appliedMs } = list.uto(at);
  const { flags, ms } = list.utoAsk(at);
  const asks = (flags & (RuleFlag.SET | RuleFlag.NONE)) === RuleFlag.SET;
  return {
    ours: asks ? { status: utoStatus(list, at), asked: ms, granted: null } : NONE,
    peers:
      remoteMs === 0
        ? NONE
        : { status: appliedMs ? "granted" : "refused", asked: remoteMs, granted: appliedMs || null },
  };
}

function ackSaid(list: Listed, at: number): Sides {
  const { tarr, tarrAsked, tarrSegments, every } = list.ack(at);
  const [ours, peers] = [ourSide(list, at, 2, Ext.ACK), peersSide(list.request(at, 3), pair, list.site)];
  const rate = (n: number): AckPair => ({ every: n, divisor: 0 });
  const asked = tarr & TarrFlag.ASKED;
  const taken = tarr & TarrFlag.RULES;
  return {
    // nobody answers TARR
    ours: asked ? { status: "asked", asked: rate(decodeTarr(tarrAsked)), granted: null } : ours,
    peers: taken ? { status: "granted", asked: rate(decodeTarr(tarrSegments)), granted: rate(every) } : peers,
  };
}

function strategyOf(list: Listed, at: number): Strategy | null {
  const { rule, every, divisor, delayUs } = list.ack(at);
  return rule === 0 ? null : { every, divisor, delayUs };
}

/** Undefined when no rule of tcpx has matched the connection. */
export function negotiated(list: Listed, at: number): Negotiated | undefined {
  if (!(list.flags(at) & ListFlag.KNOWN)) return undefined;
  const of = (ext: number, sides: Sides): Said => ({ ...sides, local: localOf(list, at, ext) });
  const sides = (index: number, ext: number, meaning: Meaning): Sides => ({
    ours: ourSide(list, at, index, ext),
    peers: peersSide(list.request(at, index), meaning, list.site),
  });
  return {
    uto: of(Ext.UTO, utoSaid(list, at)),
    keepalive: keepaliveNote(list, at),
    timeoutMs: list.timeoutMs(at),
    "cc-request": of(Ext.CC_REQUEST, sides(0, Ext.CC_REQUEST, algorithm)),
    iw: of(Ext.IW, sides(1, Ext.IW, segments)),
    ack: of(Ext.ACK, ackSaid(list, at)),
    strategy: strategyOf(list, at),
    fallback: FALLBACKS[list.silent(at)] ?? null,
  };
}

const CACHED_MOST = 10_000;

/** Remembers what was made of a negotiation: among 100,000 connections few differ. */
export function perNegotiation<T>(
  list: Listed,
  make: (said: Negotiated | undefined) => T,
): (at: number) => T {
  const made = new Map<string, T>();
  return (at) => {
    const key = list.negotiationKey(at);
    let result = made.get(key);
    if (result === undefined) {
      if (made.size >= CACHED_MOST) made.clear();
      result = make(negotiated(list, at));
      made.set(key, result);
    }
    return result;
  };
}
