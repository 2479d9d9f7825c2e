// SPDX-License-Identifier: MIT
// What is seen of user timeouts: the peer's, which is no answer to ours, and what keep-alive makes of one.

import { formatDuration } from "../base/duration.ts";
import { Keepalive, Outcome, UtoCounter, UtoEvent, UtoReason } from "../layout/layout.generated.ts";
import type { Around, Live, Raw, Said, Seen, Shown, Side } from "./seen.ts";

const shown = (ms: number): Shown => ({ text: formatDuration(ms), json: { timeout_ms: ms } });

/**
 * How a user timeout of ours and keep-alive go together: lowered to what keep-alive needs; too short for a second
 * probe; later than keep-alive, which was turned on after the timeout was set.
 */
type Note = "lowered" | "short" | "later";

const ENDS = "keep-alive ends it then";
const FIRST = "the first lost keep-alive probe ends it";
const WORDS: Record<Note, string> = {
  lowered: ENDS,
  short: FIRST,
  later: "keep-alive would end it earlier",
};

function noteOf({ own }: Raw, { timeoutMs, keepalive }: Around): Note | null {
  if (!keepalive || timeoutMs === 0 || timeoutMs !== own.applied_ms) return null; // or the application's own
  const { idleMs, intervalMs, probes } = keepalive;
  if (timeoutMs <= idleMs + intervalMs && probes > 1) return "short";
  if (timeoutMs > idleMs + intervalMs * probes) return "later";
  return (own.keepalive ?? 0) & Keepalive.LOWERED ? "lowered" : null;
}

/** The last part ends with the note; whose wish the timeout is stands before that. */
function noted(parts: readonly string[], note: Note, { peers, local }: Said, timeoutMs: number): string[] {
  const isTold = local.status === "applied" || (local.status === "none" && peers.status === "granted");
  const told = isTold ? parts : [...parts, `uto ${formatDuration(timeoutMs)}`];
  return [...told.slice(0, -1), `${told.at(-1)}: ${WORDS[note]}`];
}

function peersOf(remote: number, applied: number): Side {
  return {
    status: applied ? "granted" : "refused",
    asked: shown(remote),
    granted: applied ? shown(applied) : null,
  };
}

export const utoSeen: Seen = {
  value: shown,
  rule: ([ms]) => shown(ms),
  outcome({ local, own }, { timeoutMs }) {
    const isOurs = timeoutMs === (own.applied_ms || local.value[0]);
    return local.outcome === Outcome.APPLIED && !isOurs ? Outcome.APPLICATION : local.outcome;
  },
  complete(said, raw, around) {
    const { remote_ms: remote = 0, applied_ms: applied = 0 } = raw.own;
    const { local } = said;
    const note = noteOf(raw, around);
    const whole: Said = {
      ...said,
      peers: remote ? peersOf(remote, applied) : said.peers,
      local: local.applied && applied ? { ...local, applied: shown(applied) } : local,
      keepalive: { user_timeout: note },
    };
    return note ? { ...whole, complete: (parts) => noted(parts, note, whole, around.timeoutMs) } : whole;
  },
  event: (event) =>
    event === UtoEvent.KEEPALIVE // asked for by the rule
      ? { word: "set", event: "keep-alive", side: null, asked: true, granted: true, instead: true }
      : undefined,
  reasons: {
    [UtoReason.KEEPALIVE]: { code: "keep-alive", words: ENDS },
    [UtoReason.SHORT]: { code: "short", words: FIRST },
  },
  counters: {
    [UtoCounter.LOWERED]: {
      name: "keepalive_lowered",
      unit: "settings",
      help: "User timeouts set lower than the rule's, to the time in which keep-alive finds a dead peer.",
      title: "keep-alive lowered",
      meaning: "a user timeout set lower than the rule's, to the time in which keep-alive finds a dead peer",
    },
    [UtoCounter.SHORT]: {
      name: "keepalive_short",
      unit: "settings",
      help: "User timeouts so short that the first lost probe of keep-alive ends the connection.",
      title: "keep-alive short",
      meaning: "one so short that the first lost probe of keep-alive ends the connection",
    },
  },
  /** Connections whose end a rule has brought so near that one lost segment is enough. */
  notice({ keepalive_short: count = 0 }) {
    if (count === 0) return undefined;
    return (
      `${count} user timeout(s) of these rules were set on connections with keep-alive, and are so short ` +
      "that its first lost probe ends them; `tcpx connections` shows those that are there"
    );
  },
  unanswered: "uto",
  help: {
    connections: {
      note:
        "Of a user timeout: keep-alive ends it then = it is lower than the rule's, since keep-alive finds a dead " +
        "peer by then; the first lost keep-alive probe ends it = it is too short for a second one; keep-alive would " +
        "end it earlier = it was turned on after the rule had set the timeout.",
    },
    watch: {
      note: "uto set 12s, not 40s = lower than the rule's, since keep-alive finds a dead peer by then.",
    },
  },
};

export const utoLive: Live = {
  gives: "user timeout",
  notes: [
    {
      bit: Keepalive.LOWERED,
      member: "keepalive_lowered",
      text: "end earlier than the rule says: by keep-alive",
    },
    {
      bit: Keepalive.SHORT,
      member: "keepalive_short",
      text: "end at the first lost probe of keep-alive",
    },
  ],
};
