// SPDX-License-Identifier: MIT
// What an event says, in words and for scripts. There may be 60,000 of them in a second, but few differ.

import { extensionById } from "../extensions/index.ts";
import { Ext, WatchEvent, WatchReason } from "../layout/layout.generated.ts";
import { DEFAULT_SITE, type Site, sameSite } from "../wire/site.ts";
import { valueText } from "./rows.ts";
import { meaningOf } from "./said.ts";
import { valueJson } from "./value-json.ts";
import type { Watched } from "./watched.ts";

/** cc-request */
const NAME = 10;
const CACHED_MOST = 10_000;

/** The same in one piece: of a text that was put together every use walks the pieces again. */
export const flat = (text: string) => Buffer.from(text).toString();

interface Kind {
  /** As `tcpx connections` says it. */
  word: string;
  /** In JSON. */
  event: string;
  side: "ours" | "peers" | null;
  asked: boolean;
  granted: boolean;
}

const kind = (word: string, side: Kind["side"], event = word, granted = false): Kind => ({
  word,
  event,
  side,
  asked: side !== null,
  granted,
});

const KINDS: Record<number, Kind> = {
  [WatchEvent.ASKED]: kind("asked", "ours"),
  [WatchEvent.GRANTED]: kind("granted", "ours", "granted", true),
  [WatchEvent.REFUSED]: kind("refused", "ours"),
  [WatchEvent.UNANSWERED]: kind("unanswered", "ours"),
  [WatchEvent.NO_ROOM]: kind("no room", "ours", "no-room"),
  [WatchEvent.GAVE]: kind("gave", "peers", "granted", true),
  [WatchEvent.DENIED]: kind("denied", "peers", "refused"),
  [WatchEvent.MALFORMED]: kind("malformed", null),
  [WatchEvent.FALLBACK]: kind("fallback", null),
  [WatchEvent.KEEPALIVE]: { ...kind("set", null, "keep-alive", true), asked: true }, // by the rule
  [WatchEvent.WITHHELD]: kind("withheld", "ours"),
};
const UNKNOWN = kind("?", null);

interface Reason {
  code: string;
  /** "": the values say it. */
  words: string;
  /** With what is granted, too: which extension's reason it is. Other grants need none. */
  of?: number;
}

const REASONS: Record<number, Reason> = {
  [WatchReason.CLAMPED]: { code: "clamped", words: "" },
  [WatchReason.NOT_ALLOWED]: { code: "not-allowed", words: "not allowed here" },
  [WatchReason.APPLICATION]: { code: "application", words: "the application has chosen itself" },
  [WatchReason.LOSS]: { code: "loss", words: "a segment was lost" },
  [WatchReason.LATE]: { code: "late", words: "data was sent before" },
  [WatchReason.KERNEL]: { code: "kernel", words: "the kernel refused it" },
  [WatchReason.PATH]: { code: "path", words: "the path does not take it" },
  [WatchReason.KEEPALIVE]: { code: "keep-alive", words: "keep-alive ends it then", of: Ext.UTO },
  [WatchReason.SHORT]: { code: "short", words: "the first lost keep-alive probe ends it", of: Ext.UTO },
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

function make(list: Watched, of: number): Outcome {
  const [ext, asked, granted] = [list.ext(of), list.asked(of), list.granted(of)];
  const { word, event, side, ...has } = KINDS[list.event(of)] ?? UNKNOWN;
  const reason = REASONS[list.reason(of)];
  const name = ext < Ext.COUNT ? extensionById(ext).name : `extension ${ext}`;
  // TARR is announced, too, where nothing is asked for
  const isNothing = ext === Ext.ACK && asked === 0 && list.event(of) === WatchEvent.WITHHELD;
  const wish = has.asked && !isNothing ? meaningOf(ext, asked, site) : null;
  const gift = has.granted ? meaningOf(ext, granted, site) : null;
  const [wished, given] = [wish, gift].map((value) => (value === null ? "" : valueText(value, name)));
  const other = event === "keep-alive" ? `, not ${wished}` : ` (asked ${wished})`;
  const values = given === "" ? wished : given === wished ? given : given + other;
  const why = reason?.words && (reason.of === ext || given === "") ? `: ${reason.words}` : "";
  const said = `${word}${values === "" ? "" : ` ${values}`}${why}`;
  const members = {
    ...{ extension: name, event, side },
    ...{ asked: valueJson(name, wish), granted: valueJson(name, gift), reason: reason?.code ?? null },
  };
  return {
    asked,
    granted,
    text: flat(`${name} ${said}`),
    padded: flat(`${name.padEnd(NAME)} ${said}`),
    json: JSON.stringify(members).slice(1, -1),
    tail: "",
    owner: "",
  };
}

/** Whose names numbers have. */
let site: Site = DEFAULT_SITE;

/** By extension, event and reason: the last one of each, and all of them by their values. */
const last = new Map<number, Outcome>();
const made = new Map<string, Outcome>();

/** From now on numbers have this table's names. */
export function nameBy(table: Site): void {
  if (sameSite(site, table)) return;
  site = table;
  last.clear();
  made.clear();
}

export function outcomeOf(list: Watched, of: number): Outcome {
  const what = list.what(of);
  const known = last.get(what);
  const [asked, granted] = [list.asked(of), list.granted(of)];
  if (known && known.asked === asked && known.granted === granted) return known;
  const key = `${what} ${asked} ${granted}`;
  let result = made.get(key);
  if (!result) {
    if (made.size >= CACHED_MOST) made.clear();
    result = make(list, of);
    made.set(key, result);
  }
  last.set(what, result);
  return result;
}
