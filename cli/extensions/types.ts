// SPDX-License-Identifier: MIT
// What an extension is to the rest of tcpx.

import type { ArgsDef } from "citty";
import type { Args, Example } from "../base/args.ts";
import type { Direction, Kind, Rule } from "../policy/rule.ts";
import type { Site } from "../wire/site.ts";

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
  /** Positional arguments and flags of its own; the shared ones are added. */
  args: ArgsDef;
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
  /** The only direction that a kind of rule is for; both when left out. */
  directions?: Partial<Record<Kind, Exclude<Direction, "both">>>;
  /** A rule's value for people: "30s", "100s..15min". */
  describe(rule: RuleDraft, site?: Site): string;
  /** A rule's value for scripts: integer milliseconds and the like. */
  json(rule: RuleDraft, site?: Site): Record<string, unknown>;
  /**
   * Commands that give this rule, for a policy file. They may give rules of other kinds beside it: the first one
   * whose rules are all there is taken.
   */
  spell(rule: RuleDraft, site?: Site): Spelling[];
  /** Slots of the site's table that it refers to. */
  slots?(rule: RuleDraft): number[];
  /** Kinds of rules, other than ask, that put an option on a SYN. */
  announces?: readonly Kind[];
  /** Must the agent run for it? */
  needsAgent?(rule: RuleDraft): boolean;
}
