// SPDX-License-Identifier: MIT
// What an extension is to the rest of tcpx.

import type { Args, Example, ValuesDef } from "../base/args.ts";
import type { Probe } from "../bridge/probe.ts";
import type { SockType } from "../bridge/sock-types.ts";
import type { Direction, Kind, Rule } from "../policy/rule.ts";
import type { WireOption } from "../wire/request.ts";
import type { Site } from "../wire/site.ts";
import type { Live, Seen } from "./seen.ts";

/** A rule before it has a place: the selector and the namespace come from the shared flags. */
export type RuleDraft = Pick<Rule, "kind" | "none" | "force" | "value">;

/** What rules become, and what is to be said about them. */
export interface Drafted {
  drafts: RuleDraft[];
  notices: string[];
}

/** What a kernel's abilities depend on. */
export interface HostFacts {
  /** The kernel's tick, in microseconds: 4000 at CONFIG_HZ=250. */
  tickUs: number;
}

/** A verb that writes rules, such as `uto set` or `uto accept`. */
export interface RuleVerb {
  summary: string;
  /** Of the rules that it can make. */
  kinds: readonly Kind[];
  /** Positional arguments and flags of its own; the shared ones are added. */
  args: ValuesDef;
  examples: Example[];
  /** For the help: paragraphs at its end. */
  notes?: string[];
  /** For the help, when a kind of its rules is for one direction only. */
  directionNote?: string;
  /**
   * @param site the table that names are looked up in, as for all of these; the documented one when left out
   * @throws TcpxError (usage) for values out of range, before anything is touched
   */
  draft(args: Args, site?: Site): Drafted;
  /**
   * The verb takes --live: connections that exist get the rules, too.
   * @throws TcpxError (usage) when these rules cannot be for them
   */
  checkLive?(drafts: RuleDraft[]): void;
  /** Moves values to what this kernel can do, saying so; with --dry-run, too. */
  fit?(drafts: RuleDraft[], host: HostFacts): Drafted;
  /**
   * Makes this host ready for the rules, such as by loading modules.
   * @param dryRun changes nothing, and only finds out whether that can be done
   * @throws TcpxError (unsupported) when it cannot
   */
  prepare?(drafts: RuleDraft[], dryRun: boolean, site?: Site): Promise<void>;
}

/** A command that gives a rule: its verb, and the arguments behind it. */
export interface Spelling {
  verb: string;
  args: Args;
}

/** How an extension's `set` is said in `tcpx run`: by one flag of the extension's name. */
export interface RunFlag {
  /**
   * What stands for the value. The value is the word behind `set`, or where that has no such word its flags as
   * "KEY=V,...", or `none`.
   */
  valueHint: string;
  description: string;
  /** Switches of `set` that `run` takes, too. */
  switches?: readonly string[];
  /** For the help of `run`. */
  examples?: Example[];
}

/** What the agent does for an extension. */
export interface AgentPart {
  /** Which rules need it, as words: "`ack --every` rules". */
  rules: string;
  /** What a rule wants of it; undefined: nothing. */
  wish(rule: RuleDraft): AgentWish | undefined;
  /** Programs that it attaches, and pins nowhere. */
  programs: Readonly<Record<"ingress" | "egress", string>>;
}

/** What a rule may want of the agent. */
export interface AgentWish {
  /** Some connection may be thinned. */
  thins: boolean;
  /** The bit 0..31 of SO_MARK for acknowledging at once; null: never. */
  markBit: number | null;
}

/** What getsockopt() says of a connection of `demo` or `doctor`. */
export interface ConnectionView {
  /** TCP_USER_TIMEOUT in milliseconds; 0: unset. */
  userTimeoutMs: number;
  congestionControl: string;
  /** Congestion window in segments. */
  cwnd: number;
  /** Segments with data that it has sent, and segments without that came back: ACKs. */
  dataSent: number;
  acksReceived: number;
}

/** An end of a connection of the demo, with rules or without, after the path was cut. */
export interface DemoEnd {
  end: "client" | "server";
  hasRules: boolean;
  /** After the handshake. */
  view: ConnectionView | undefined;
  /** From the cut to the end of the connection; null: still trying. */
  gaveUpMs: number | null;
}

/** What the demo shows of an extension. Commands stand as behind its name: "set 3s". */
export interface Demo {
  /** What is negotiated, for the help: "a user timeout". */
  negotiates?: string;
  /** For the ends of a connection; its options have to be on the SYN and on the SYN-ACK. */
  client?: string;
  server?: string;
  /** Is that what these rules should do? */
  isDone?(ends: readonly DemoEnd[]): boolean;
  /** For the client of a download, whose ACKs are counted; not where that is not possible. */
  download?: { client: string; unable(): Promise<string | undefined> };
}

/** What `doctor` tries of an extension, on one connection over loopback. */
export interface Trial {
  /** Commands for both ends, as behind the extension's name. */
  rules: readonly string[];
  /**
   * What these rules did not do; undefined: nothing.
   * @param count of a counter of the extension
   */
  shortfall(view: ConnectionView, count: (counter: number) => number): string | undefined;
}

/** A program of another type than sock_ops. */
export interface SockProgram {
  /** What cannot be done without it. */
  without: string;
  /** Is it needed for this rule of the extension? For each one when left out. */
  wants?(rule: RuleDraft): boolean;
}

export interface Extension {
  /** Basename of its files, and first word of its commands. */
  name: string;
  /** Its place in enum tcpx_ext. */
  id: number;
  /** The standard or draft it follows. */
  title: string;
  summary: string;
  verbs: Record<string, RuleVerb>;
  examples: Example[];
  /**
   * Kinds of rules of its own, beside the common ones: up to 29. What they are stored by is their place here, so a
   * new one comes last, and none goes.
   */
  kinds?: readonly string[];
  /** The only direction that a kind of rule is for; both when left out. */
  directions?: Partial<Record<Kind, Exclude<Direction, "both">>>;
  /** Words of 32 bits in the values of its rules, up to 16; two when left out. */
  words?: number;
  /** A rule's value for people: "30s", "100s..15min". */
  describe(rule: RuleDraft, site?: Site): string;
  /** A rule's value for scripts: integer milliseconds and the like. */
  json(rule: RuleDraft, site?: Site): Record<string, unknown>;
  /**
   * Commands that give this rule, for a policy file. They may give rules of other kinds beside it: the first one
   * whose rules are all there is taken.
   */
  spell(rule: RuleDraft, site?: Site): Spelling[];
  /** What travels for it; nothing when left out. */
  options?: readonly WireOption[];
  /** Slots of the site's table that it refers to. */
  slots?(rule: RuleDraft): number[];
  /** Kinds of rules, other than ask, that put an option on a SYN. */
  announces?: readonly Kind[];
  /** Its flag of `tcpx run`; none when left out. */
  run?: RunFlag;
  demo?: Demo;
  trial?: Trial;
  /** Kernel facilities that it needs beyond those of all rules, and what cannot be done without. */
  facilities?: Partial<Record<Probe, string>>;
  /** What stands in ext/NAME_sock.bpf.c: attached while a rule wants it. */
  programs?: Readonly<Partial<Record<SockType, SockProgram>>>;
  agent?: AgentPart;
  /** What it adds to what is seen of connections. */
  seen?: Seen;
  /** And to what is done with those that exist. */
  live?: Live;
}
