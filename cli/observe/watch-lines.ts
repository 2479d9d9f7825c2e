// SPDX-License-Identifier: MIT
// Events as lines for people and for scripts. There may be 60,000 of them in a second.

import { extensionById } from "../extensions/index.ts";
import { Direction, Ext, WatchEvent, WatchReason } from "../loader/layout.generated.ts";
import { SCHEMA } from "../output/io.ts";
import { addressText, endpointText } from "./address.ts";
import { valueText } from "./rows.ts";
import { meaningOf } from "./said.ts";
import { PLACE_NUMBERS, type Watched } from "./watched.ts";

const WIDTH = 80;
/** 255.255.255.255:65535 */
const PEER = 21;
/** cc-request */
const NAME = 10;
const CACHED_MOST = 10_000;

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
};
const UNKNOWN = kind("?", null);

interface Reason {
  code: string;
  /** "": the values say it. */
  words: string;
}

const REASONS: Record<number, Reason> = {
  [WatchReason.CLAMPED]: { code: "clamped", words: "" },
  [WatchReason.NOT_ALLOWED]: { code: "not-allowed", words: "not allowed here" },
  [WatchReason.APPLICATION]: { code: "application", words: "the application has chosen itself" },
  [WatchReason.LOSS]: { code: "loss", words: "a segment was lost" },
  [WatchReason.LATE]: { code: "late", words: "data was sent before" },
  [WatchReason.KERNEL]: { code: "kernel", words: "the kernel refused it" },
};

interface Outcome {
  name: string;
  padded: string;
  /** "granted 32 (asked 40)" */
  text: string;
  /** Members of the JSON object, without braces. */
  json: string;
}

function outcome(list: Watched, at: number): Outcome {
  const [ext, { word, event, side, asked, granted }] = [list.ext(at), KINDS[list.event(at)] ?? UNKNOWN];
  const reason = REASONS[list.reason(at)];
  const name = ext < Ext.COUNT ? extensionById(ext).name : `extension ${ext}`;
  const wish = asked ? meaningOf(ext, list.asked(at)) : null;
  const gift = granted ? meaningOf(ext, list.granted(at)) : null;
  const [wished, given] = [wish, gift].map((value) => (value === null ? "" : valueText(value, name)));
  const values = given === "" ? wished : given === wished ? given : `${given} (asked ${wished})`;
  const why = reason?.words ? `: ${reason.words}` : "";
  const members = { extension: name, event, side, asked: wish, granted: gift, reason: reason?.code ?? null };
  return {
    name,
    padded: name.padEnd(NAME),
    text: `${word}${values === "" ? "" : ` ${values}`}${why}`,
    json: JSON.stringify(members).slice(1, -1),
  };
}

const made = new Map<number, Map<number, Outcome>>();
let size = 0;

/** Few outcomes differ. */
function cachedOutcome(list: Watched, at: number): Outcome {
  const which = (list.ext(at) << 16) | (list.event(at) << 8) | list.reason(at);
  // the values together are an exact number for all but the longest user timeouts
  const values = list.asked(at) * 2 ** 21 + list.granted(at);
  if (list.asked(at) >= 2 ** 31 || list.granted(at) >= 2 ** 21) return outcome(list, at);
  let known = made.get(which);
  let result = known?.get(values);
  if (result) return result;
  if (++size > CACHED_MOST) {
    made.clear();
    [known, size] = [undefined, 1];
  }
  if (!known) {
    known = new Map();
    made.set(which, known);
  }
  result = outcome(list, at);
  known.set(values, result);
  return result;
}

/** Text about a connection's place: of the same one there are several events, one after the other. */
class LastPlace {
  private readonly numbers = new Float64Array(PLACE_NUMBERS).fill(-1);
  private text = "";

  get(list: Watched, at: number, make: (list: Watched, at: number) => string): string {
    const { numbers } = this;
    let same = true;
    for (let i = 0; i < PLACE_NUMBERS; i++) {
      const n = list.place(at, i);
      if (numbers[i] === n) continue;
      numbers[i] = n;
      same = false;
    }
    if (!same) this.text = make(list, at);
    return this.text;
  }
}

const two = (n: number) => String(n).padStart(2, "0");

/** Times of events, of which most are in the same second as the one before. */
export class Clock {
  private second = -1;
  private text = "";
  private ms = -1;
  private whole = "";

  /** What is to be added to the time since boot. */
  offsetMs = 0;

  /** @param iso for scripts, in UTC; else the local time of day */
  constructor(private readonly iso: boolean) {}

  /** "16:31:02.123", or "2026-11-22T16:31:02.123Z". */
  format(ns: number): string {
    const ms = Math.floor(ns / 1e6 + this.offsetMs);
    if (ms === this.ms) return this.whole;
    const second = Math.floor(ms / 1000);
    if (second !== this.second) {
      const date = new Date(second * 1000);
      const day = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
      this.text = this.iso ? date.toISOString().slice(0, 19) : day;
      this.second = second;
    }
    this.ms = ms;
    this.whole = `${this.text}.${String(ms - second * 1000).padStart(3, "0")}${this.iso ? "Z" : ""}`;
    return this.whole;
  }
}

const DIRECTIONS: Record<number, { sign: string; word: string }> = {
  [Direction.TO]: { sign: ">", word: "opened" },
  [Direction.FROM]: { sign: "<", word: "accepted" },
};
const NOT_SEEN = { sign: "-", word: "unknown" };

/** Who opened it; that of a connection older than its rules is not known. */
function directionOf(list: Watched, at: number): { sign: string; word: string } {
  return DIRECTIONS[list.direction(at)] ?? NOT_SEEN;
}

const head = (time: string) => `{"schema":${SCHEMA},"time":"${time}"`;

function endsText(list: Watched, at: number): string {
  const peer = endpointText(list.bytes, list.remoteAt(at), list.family(at), list.remotePort(at));
  return `${`:${list.localPort(at)}`.padStart(6)} ${directionOf(list, at).sign} ${peer.padEnd(PEER)}`;
}

function endsJson(list: Watched, at: number): string {
  const family = list.family(at);
  const end = (from: number, port: number) =>
    `{"address":"${addressText(list.bytes, from, family)}","port":${port}}`;
  return (
    `"direction":"${directionOf(list, at).word}","family":${family},` +
    `"local":${end(list.localAt(at), list.localPort(at))},"peer":${end(list.remoteAt(at), list.remotePort(at))}`
  );
}

/** Lines for people. */
export class TextLines {
  readonly clock = new Clock(false);
  private readonly ends = new LastPlace();

  /** "16:31:02.123 :39552 > 10.77.1.2:443  iw  granted 32 (asked 40)"; two lines where 80 columns are too few. */
  event(list: Watched, at: number): string {
    const { name, padded, text } = cachedOutcome(list, at);
    const place = `${this.clock.format(list.atNs(at))} ${this.ends.get(list, at, endsText)}`;
    const line = `${place} ${padded} ${text}`;
    return line.length <= WIDTH ? `${line}\n` : `${place.trimEnd()}\n    ${name} ${text}\n`;
  }

  note(text: string, ns: number): string {
    return `${this.clock.format(ns)} ${text}\n`;
  }
}

/** Lines for scripts: a document each. */
export class JsonLines {
  readonly clock = new Clock(true);
  private readonly ends = new LastPlace();
  private readonly owner = new LastPlace();

  /** @param cgroupOf the path of a scope, null: not known */
  constructor(private readonly cgroupOf: (scope: bigint) => string | null) {}

  event(list: Watched, at: number): string {
    const ends = this.ends.get(list, at, endsJson);
    const owner = this.owner.get(list, at, () => {
      const scope = list.scope(at);
      return `"netns":${list.netns(at)},"scope_id":"${scope}","cgroup":${JSON.stringify(this.cgroupOf(scope))}`;
    });
    return `${head(this.clock.format(list.atNs(at)))},${ends},${cachedOutcome(list, at).json},${owner}}\n`;
  }

  note(note: object, ns: number): string {
    return `${head(this.clock.format(ns))},${JSON.stringify(note).slice(1)}\n`;
  }
}
