// SPDX-License-Identifier: MIT
// What an extension adds to what is seen of connections, and to what is done with those that exist. All that it
// leaves out is shown as of every extension: who has asked for what, what was granted, what its rules have done.

import type { Example } from "../base/args.ts";
import type { Site } from "../wire/site.ts";
import type { RuleDraft } from "./types.ts";

type Members = Record<string, unknown>;

/** A value for people, and for scripts. */
export interface Shown {
  text: string;
  json: Members;
}

/** A rule that a connection has; flags 0: none. */
export interface RawRule {
  /** enum tcpx_rule_flag */
  flags: number;
  /** In its scope: ruleId(). */
  id: number;
  /** What has come of it; of local rules only. */
  outcome: number;
  value: RuleDraft["value"];
}

/** A request and its answer. */
export interface RawExchange {
  /** enum tcpx_request_state */
  state: number;
  asked: number;
  answer: number;
}

/** What the kernel's side tells of an extension on a connection. */
export interface Raw {
  local: RawRule;
  /** Is read where there is no request of ours: what is said is then for no answer. */
  ask: RawRule;
  ours?: RawExchange;
  peers?: RawExchange;
  /** By kinds of its own: what the rule does that the connection has; left out where it has none. */
  kinds: Readonly<Partial<Record<string, "active" | "exempt">>>;
  /** An option of it was on some segment of ours. */
  written: boolean;
  /** Its own state, by the names of its struct; `wide`: the members of 64 bits. */
  own: Readonly<Record<string, number>>;
  wide: Readonly<Record<string, bigint>>;
}

/** The connection around it. */
export interface Around {
  /** Whose names numbers have. */
  site: Site;
  /** The user timeout that is set, 0: none. */
  timeoutMs: number;
  /** The congestion control in use. */
  congestion: string;
  /** SO_MARK. */
  mark: number;
  /** The cap on delayed ACKs; 0: this kernel has none. */
  delackUs: number;
  /** There is an RTT. */
  isMeasured: boolean;
  /** The kernel's tick. */
  tickUs: number;
  /** Undefined: it is off. */
  keepalive: { idleMs: number; intervalMs: number; probes: number } | undefined;
}

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
  asked: Shown | null;
  granted: Shown | null;
}

/** What has come of a local rule. */
export interface Local {
  status: "none" | "exempt" | "pending" | "applied" | "kept" | "failed";
  /** What the rule says. */
  rule: Shown | null;
  /** What the connection has by it. */
  applied: Shown | null;
  /** Of what was kept, or has failed. */
  reason: string | null;
  /** The same in words, of what has failed. */
  why: string;
}

export type Came = Pick<Local, "status" | "reason" | "why">;

/** What an extension has done on a connection. */
export interface Said {
  /** What we ask of the peer. */
  ours: Side;
  /** What the peer asks of us. */
  peers: Side;
  /** What we set ourselves. */
  local: Local;
  /** Members of its own in JSON. */
  members?: Members;
  /** Members that stand elsewhere: in the connection's object, and in that of keep-alive. */
  connection?: Members;
  keepalive?: Members;
  /** Makes its parts of the text, such as "iw granted 32", complete. */
  complete?(parts: string[]): string[];
}

/** What an event of `tcpx watch` is. */
export interface EventWords {
  /** As `tcpx connections` says it. */
  word: string;
  /** In JSON. */
  event: string;
  /** Whose wish it is about. */
  side: "ours" | "peers" | null;
  /** Has it such values? */
  asked: boolean;
  granted: boolean;
  /** What was asked for is not what came of it: "12s, not 40s". */
  instead?: boolean;
}

export interface ReasonWords {
  code: string;
  /** "": the values say it. */
  words: string;
}

/** A counter that is one extension's own. */
export interface OwnCounter {
  /** In JSON, and in OpenMetrics without its unit. */
  name: string;
  unit: string;
  help: string;
  /** In the table of `tcpx status`, and what its help says of it. */
  title: string;
  meaning: string;
}

/** For the help of a command. */
export interface HelpPart {
  examples?: Example[];
  /** A sentence of its own. */
  note?: string;
}

export interface Seen {
  /** A number of its exchange; the bare number when left out. */
  value?(number: number, site: Site): Shown;
  /** The answer that grants nothing; 0 when left out. */
  refusal?: number;
  /** The value of a rule of ours; as the rule is shown when left out. */
  rule?(value: RuleDraft["value"], site: Site): Shown;
  /**
   * What has come of the local rule by now, enum tcpx_outcome: what the kernel's side has noted is about the
   * handshake; whether the value is still ours, the socket says.
   */
  outcome?(raw: Raw, around: Around): number;
  /** Outcomes of local rules that only it has. */
  outcomes?: Readonly<Record<number, Came>>;
  /** Completes what was said by its own state. */
  complete?(said: Said, raw: Raw, around: Around): Said;
  /** Events of its own; undefined for those of all. */
  event?(event: number, asked: number): EventWords | undefined;
  /** Reasons of its own. They are told beside what is granted, too, which needs no other. */
  reasons?: Readonly<Record<number, ReasonWords>>;
  /** Those that it alone counts: from Counter.OWN on. */
  counters?: Readonly<Record<number, OwnCounter>>;
  /** What `tcpx status` has to say of its counters, by their names in JSON. */
  notice?(counts: Readonly<Record<string, number>>): string | undefined;
  /** What it asks for without an answer, for the help of `tcpx watch`. */
  unanswered?: string;
  help?: Partial<Record<"connections" | "status" | "watch", HelpPart>>;
}

/** A bit of a result: its member in JSON, and what it says of so many connections. */
export interface LiveNote {
  bit: number;
  member: string;
  text: string;
}

/** Why a connection was left alone: in JSON, and in words. */
export type Skipped = readonly [name: string, why: string];

/** What is special about it when connections that exist get rules. */
export interface Live {
  /** What connections get back of it, for the help: "user timeout". */
  gives?: string;
  /** What they do not, in the plural: "initial windows". */
  keeps?: string;
  /** A changed request is made again on connections. */
  asks?: boolean;
  /** In the order in which they are told. */
  notes?: readonly LiveNote[];
  /** By enum tcpx_live_result: its own results, and what can be said better than of all. */
  skipped?: Readonly<Record<number, Skipped>>;
}
