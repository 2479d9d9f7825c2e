// SPDX-License-Identifier: MIT
// What an event says, in words and for scripts. There may be 60,000 of them in a second, but few differ.

import { extensions, unknownSlots } from "../extensions/index.ts";
import type { EventWords, ReasonWords } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { WatchEvent, WatchReason } from "../layout/layout.generated.ts";
import { DEFAULT_SITE, type Site, sameSite } from "../wire/site.ts";
import { numberShown } from "./value.ts";
import type { Watched } from "./watched.ts";

const CACHED_MOST = 10_000;

/** The same in one piece: of a text that was put together every use walks the pieces again. */
export const flat = (text: string) => Buffer.from(text).toString();

const kind = (word: string, side: EventWords["side"], event = word, granted = false): EventWords => ({
  word,
  event,
  side,
  asked: side !== null,
  granted,
});

const KINDS: Readonly<Record<number, EventWords>> = {
  [WatchEvent.ASKED]: kind("asked", "ours"),
  [WatchEvent.GRANTED]: kind("granted", "ours", "granted", true),
  [WatchEvent.REFUSED]: kind("refused", "ours"),
  [WatchEvent.UNANSWERED]: kind("unanswered", "ours"),
  [WatchEvent.NO_ROOM]: kind("no room", "ours", "no-room"),
  [WatchEvent.GAVE]: kind("gave", "peers", "granted", true),
  [WatchEvent.DENIED]: kind("denied", "peers", "refused"),
  [WatchEvent.MALFORMED]: kind("malformed", null),
  [WatchEvent.FALLBACK]: kind("fallback", null),
  [WatchEvent.WITHHELD]: kind("withheld", "ours"),
};
const UNKNOWN = kind("?", null);

/** What is granted needs no reason, other than an extension's own. */
const REASONS: Readonly<Record<number, ReasonWords>> = {
  [WatchReason.CLAMPED]: { code: "clamped", words: "" },
  [WatchReason.NOT_ALLOWED]: { code: "not-allowed", words: "not allowed here" },
  [WatchReason.APPLICATION]: { code: "application", words: "the application has chosen itself" },
  [WatchReason.LOSS]: { code: "loss", words: "a segment was lost" },
  [WatchReason.LATE]: { code: "late", words: "data was sent before" },
  [WatchReason.KERNEL]: { code: "kernel", words: "the kernel refused it" },
  [WatchReason.PATH]: { code: "path", words: "the path does not take it" },
  [WatchReason.SIGNED]: { code: "signed", words: "TCP-AO signs the options" },
};

export interface Outcome {
  readonly asked: number;
  readonly granted: number;
  /** "iw granted 32 (asked 40)" */
  readonly text: string;
  /** The same with the name as wide as the longest. */
  readonly padded: string;
  /** Members of the JSON object, without braces. */
  readonly json: string;
  /** The document from there to its end, and the owner that it names: those of the last one. */
  tail: string;
  owner: string;
}

/** Its words behind the extension's name. */
function wordsOf(kind: EventWords, wished: string, given: string, why: string): string {
  const other = kind.instead ? `, not ${wished}` : ` (asked ${wished})`;
  const values = given === "" ? wished : wished === "" || given === wished ? given : given + other;
  return `${kind.word}${values === "" ? "" : ` ${values}`}${why === "" ? "" : `: ${why}`}`;
}

/** Puts events into words, each once. */
export class Outcomes {
  private site: Site = DEFAULT_SITE;
  /** By extension, event and reason: the last one of each, and all of them by their values. */
  private readonly last = new Map<number, Outcome>();
  private readonly made = new Map<string, Outcome>();
  private byId: ReadonlyMap<number, Extension> = new Map();
  /** Of the longest name. */
  private width = 0;

  /** @param among whose events these can be; more may come */
  constructor(private readonly among: readonly Extension[] = extensions) {
    this.know();
  }

  private know(): void {
    this.byId = new Map(this.among.map((extension) => [extension.id, extension]));
    this.width = Math.max(...this.among.map(({ name }) => name.length));
  }

  /** From now on numbers have this table's names, and extensions that have been added theirs. */
  nameBy(table: Site): void {
    const isNew = this.among.some((extension) => this.byId.get(extension.id) !== extension);
    if (!isNew && sameSite(this.site, table)) return;
    this.site = table;
    this.know();
    this.last.clear();
    this.made.clear();
  }

  private make(list: Watched, of: number): Outcome {
    const [ext, asked, granted] = [list.ext(of), list.asked(of), list.granted(of)];
    const extension = this.byId.get(ext) ?? unknownSlots([ext])[0];
    const name = extension?.name ?? `extension ${ext}`;
    const kind = extension?.seen?.event?.(list.event(of), asked) ?? KINDS[list.event(of)] ?? UNKNOWN;
    const shown = (has: boolean, n: number) => (has ? numberShown(extension, n, this.site) : null);
    const [wish, gift] = [shown(kind.asked, asked), shown(kind.granted, granted)];
    const own = extension?.seen?.reasons?.[list.reason(of)];
    const reason = own ?? REASONS[list.reason(of)];
    const why = (own || !gift) && reason ? reason.words : "";
    const said = wordsOf(kind, wish?.text ?? "", gift?.text ?? "", why);
    const members = {
      ...{ extension: name, event: kind.event, side: kind.side },
      ...{ asked: wish?.json ?? null, granted: gift?.json ?? null, reason: reason?.code ?? null },
    };
    return {
      asked,
      granted,
      text: flat(`${name} ${said}`),
      padded: flat(`${name.padEnd(this.width)} ${said}`),
      json: JSON.stringify(members).slice(1, -1),
      tail: "",
      owner: "",
    };
  }

  of(list: Watched, of: number): Outcome {
    const { last, made } = this;
    const what = list.what(of);
    const known = last.get(what);
    const [asked, granted] = [list.asked(of), list.granted(of)];
    if (known && known.asked === asked && known.granted === granted) return known;
    const key = `${what} ${asked} ${granted}`;
    let result = made.get(key);
    if (!result) {
      if (made.size >= CACHED_MOST) made.clear();
      result = this.make(list, of);
      made.set(key, result);
    }
    last.set(what, result);
    return result;
  }
}
