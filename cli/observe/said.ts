// SPDX-License-Identifier: MIT
// What a connection's two sides have asked of each other, per extension, and what came of it.

import { extensions, unknownSlots } from "../extensions/index.ts";
import type { Raw, RawExchange, Said, Side } from "../extensions/seen.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import type { Extension } from "../extensions/types.ts";
import { Direction, RequestState, RuleFlag, Silence } from "../layout/layout.generated.ts";
import type { Site } from "../wire/site.ts";
import type { Listed } from "./listed.ts";
import { hasAny } from "./listed-slots.ts";
import { localOf } from "./local.ts";
import { numberShown, ruleShown } from "./value.ts";

export interface Negotiated {
  /** In the order of the registry. */
  extensions: { name: string; said: Said }[];
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

const FALLBACKS: Record<number, Negotiated["fallback"]> = {
  [Silence.SILENCED]: "loss",
  [Silence.PLAIN]: "path",
};

/** How far a connection has come with what it has to say. */
interface Progress {
  site: Site;
  silent: number;
  /** By us, and its handshake is complete. */
  opened: boolean;
}

/** Has TCP-AO kept an extension's option off all segments? */
const withheld = ({ written }: Raw, { silent }: Progress) => silent === Silence.WITHHELD && !written;

/** Of a request: with TCP-AO, or on a path that does not take options, it was not made. */
function ourStatus(state: number, raw: Raw, progress: Progress): Side["status"] | undefined {
  if (state === RequestState.ASKED && progress.silent === Silence.PLAIN) return "not-asked";
  if (state === RequestState.NO_ROOM && withheld(raw, progress)) return "withheld";
  return OURS[state];
}

function ourSide(extension: Extension, ours: RawExchange, raw: Raw, progress: Progress): Side {
  const status = ourStatus(ours.state, raw, progress);
  if (!status) return NONE;
  const shown = (n: number) => numberShown(extension, n, progress.site);
  return { status, asked: shown(ours.asked), granted: status === "granted" ? shown(ours.answer) : null };
}

/** Of what nobody answers. */
function toldSide(extension: Extension, raw: Raw, progress: Progress): Side {
  const { ask, written } = raw;
  if ((ask.flags & (RuleFlag.SET | RuleFlag.NONE)) !== RuleFlag.SET) return NONE;
  const told = (status: Side["status"]): Side => ({
    status,
    asked: ruleShown(extension, "ask", ask, progress.site),
    granted: null,
  });
  if (progress.silent === Silence.PLAIN) return told("not-asked");
  if (withheld(raw, progress)) return told("withheld");
  // what stood on a SYN-ACK is not noted down, so only the side that opened can know that it had no room
  return told(progress.opened && !written ? "no-room" : "asked");
}

function peersSide(extension: Extension, { state, asked, answer }: RawExchange, site: Site): Side {
  const wish = numberShown(extension, asked, site);
  if (state === RequestState.PENDING) return { status: "pending", asked: wish, granted: null };
  if (state !== RequestState.ANSWERED) return NONE;
  return answer === (extension.seen?.refusal ?? 0)
    ? { status: "refused", asked: wish, granted: null }
    : { status: "granted", asked: wish, granted: numberShown(extension, answer, site) };
}

function saidOf(extension: Extension, list: Listed, at: number, progress: Progress): Said {
  const raw = list.raw(at, extension);
  const around = list.around(at);
  const { ours, peers, local } = raw;
  const { seen } = extension;
  const said: Said = {
    ours: ours ? ourSide(extension, ours, raw, progress) : toldSide(extension, raw, progress),
    peers: peers ? peersSide(extension, peers, progress.site) : NONE,
    local: localOf(
      extension,
      { ...local, outcome: seen?.outcome?.(raw, around) ?? local.outcome },
      progress.site,
    ),
  };
  return seen?.complete?.(said, raw, around) ?? said;
}

/**
 * Where no rule of tcpx has matched the connection there is nothing of any extension.
 * @param among all that are told of
 */
export function negotiated(list: Listed, at: number, among: readonly Extension[] = extensions): Negotiated {
  const silent = list.silent(at);
  const opened = list.direction(at) === Direction.TO && list.established(at);
  const progress = { site: list.site, silent, opened };
  const strangers = unknownSlots(list.slots.map((slot) => slot + FIRST_SLOT));
  const told = [...among, ...strangers.filter((extension) => hasAny(list.raw(at, extension)))];
  return {
    extensions: told.map((extension) => ({
      name: extension.name,
      said: saidOf(extension, list, at, progress),
    })),
    fallback: FALLBACKS[silent] ?? null,
  };
}

const CACHED_MOST = 10_000;

/** Remembers what was made of a negotiation: among 100,000 connections few differ. */
export function perNegotiation<T>(
  list: Listed,
  make: (said: Negotiated) => T,
  among: readonly Extension[] = extensions,
): (at: number) => T {
  const made = new Map<string, T>();
  return (at) => {
    const key = list.negotiationKey(at);
    let result = made.get(key);
    if (result === undefined) {
      if (made.size >= CACHED_MOST) made.clear();
      result = make(negotiated(list, at, among));
      made.set(key, result);
    }
    return result;
  };
}
