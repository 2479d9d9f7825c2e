// SPDX-License-Identifier: MIT
// From events to the lines of `tcpx watch`: chosen, put into words, counted.

import { meant } from "../base/did-you-mean.ts";
import { usageError } from "../base/errors.ts";
import { extensions } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import type { Selector } from "../policy/rule.ts";
import type { Site } from "../wire/site.ts";
import { matches } from "./select.ts";
import { JsonLines, TextLines } from "./watch-lines.ts";
import { Outcomes } from "./watch-outcome.ts";
import type { Watched } from "./watched.ts";

const namesOf = (among: readonly Extension[]) => among.map(({ name }) => name);

/** As --ext takes them. */
export const extensionHint = (): string => `${namesOf(extensions).join("|")},...`;

/** Ids of the extensions; undefined: all. @throws TcpxError (usage) */
export function parseExtensions(
  text: string | undefined,
  among: readonly Extension[] = extensions,
): Set<number> | undefined {
  if (text === undefined) return undefined;
  const found = text.split(",").map((word) => {
    const extension = among.find(({ name }) => name === word);
    if (extension) return extension.id;
    const names = namesOf(among);
    const hint = meant(word, names, `accepted is ${names.join(", ")}`);
    throw usageError(`--ext '${text}' has '${word}', which is none`, text, hint);
  });
  return new Set(found);
}

const COUNT_MOST = 1_000_000_000;

/** @throws TcpxError (usage) */
export function parseCount(text: string | undefined): number {
  if (text === undefined) return Number.POSITIVE_INFINITY;
  const count = /^\d{1,10}$/.test(text) ? Number(text) : 0;
  if (count >= 1 && count <= COUNT_MOST) return count;
  throw usageError(`--count '${text}' is not a number of events`, text, `accepted is 1 to ${COUNT_MOST}`);
}

export interface Wanted {
  selectors: Selector[];
  count: number;
}

/** What happened to the watching itself. */
export type Note =
  /** Events that the ring had no room for. */
  | { event: "lost"; lost: number }
  /** The kernel's side took us for dead. */
  | { event: "paused"; ms: number };

/** The two clocks, and what is known of where we are. */
export interface Surroundings {
  /** Nanoseconds since boot. */
  bootNs(): number;
  /** Milliseconds since 1970. */
  wallMs(): number;
  /** The caller's network namespace, which goes without saying. */
  netns: number;
  /** The path of a scope; null: not known. */
  cgroupOf(scope: bigint): string | null;
}

export class Report {
  shown = 0;
  lost = 0;
  private netns: number;
  private readonly lines: TextLines | JsonLines;
  private readonly outcomes: Outcomes;

  constructor(
    private readonly wanted: Wanted,
    private readonly around: Surroundings,
    json: boolean,
    among: readonly Extension[] = extensions,
  ) {
    this.outcomes = new Outcomes(among);
    this.lines = json
      ? new JsonLines((scope) => around.cgroupOf(scope), this.outcomes)
      : new TextLines(undefined, this.outcomes);
    this.netns = around.netns;
  }

  /** From now on numbers have this table's names. */
  nameBy(site: Site): void {
    this.outcomes.nameBy(site);
  }

  get done(): boolean {
    return this.shown >= this.wanted.count;
  }

  /** The two clocks drift apart, and the time of day may be set. */
  private synchronize(): number {
    const ns = this.around.bootNs();
    this.lines.clock.offsetMs = this.around.wallMs() - ns / 1e6;
    return ns;
  }

  /** Lines of a record, and of a namespace that is not the one before. */
  private one(list: Watched, at: number): string {
    const most = Math.min(list.count(at), this.wanted.count - this.shown);
    this.shown += most;
    const lines = this.lines.record(list, at, most);
    if (this.lines instanceof JsonLines) return lines;
    const netns = list.netns(at);
    const isNew = netns !== this.netns;
    this.netns = netns;
    return isNew ? `netns ${netns}\n${lines}` : lines;
  }

  /** Lines of the events that are wanted. */
  events(list: Watched): string {
    const { selectors } = this.wanted;
    this.synchronize();
    let text = "";
    for (let at = 0; at < list.bytes.length && !this.done; at = list.after(at)) {
      if (selectors.some((selector) => matches(list, at, selector))) text += this.one(list, at);
    }
    return text;
  }

  /** A line that stands where events are missing. */
  note(note: Note): string {
    if (note.event === "lost") this.lost += note.lost;
    const now = this.synchronize();
    if (this.lines instanceof JsonLines) {
      return this.lines.note(note.event === "lost" ? { ...note, lost_total: this.lost } : note, now);
    }
    const text =
      note.event === "lost"
        ? `${note.lost} events lost: more came than could be read`
        : `not watched for ${note.ms} ms: stopped, or the reader was too slow`;
    return this.lines.note(text, now);
  }
}
