// SPDX-License-Identifier: MIT
// What the kernel tells of negotiations (struct tcpx_watched), as lines for people and for scripts.

import { extensionById } from "../extensions/index.ts";
import { Direction, Ext, structs, WatchEvent, WatchReason } from "../loader/layout.generated.ts";
import { SCHEMA } from "../output/io.ts";
import { addressText, endpointText } from "./address.ts";
import { valueText } from "./rows.ts";
import { meaningOf } from "./said.ts";

export const RECORD = structs.tcpx_watched.size;
const AT = structs.tcpx_watched.fields;
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
const WIDTH = 80;
/** 255.255.255.255:65535 */
const PEER = 21;
/** cc-request */
const NAME = 10;
const CACHED_MOST = 10_000;

/** One buffer of records; `at` is where a record begins. */
export class Watched {
  private readonly view: DataView;

  /** @param full there may be more where these came from */
  constructor(
    readonly bytes: Uint8Array,
    readonly full = false,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Nanoseconds since boot, as exact as a double can have it. */
  atNs(at: number): number {
    const [low, high] = [0, 4].map((i) => this.view.getUint32(at + AT.at_ns.offset + i, LITTLE));
    return LITTLE ? high! * 2 ** 32 + low! : low! * 2 ** 32 + high!;
  }

  scope = (at: number) => this.view.getBigUint64(at + AT.scope.offset, LITTLE);
  localAt = (at: number) => at + AT.local.offset;
  remoteAt = (at: number) => at + AT.remote.offset;
  localPort = (at: number) => this.view.getUint16(at + AT.local_port.offset, LITTLE);
  remotePort = (at: number) => this.view.getUint16(at + AT.remote_port.offset, LITTLE);
  netns = (at: number) => this.view.getUint32(at + AT.netns.offset, LITTLE);
  asked = (at: number) => this.view.getUint32(at + AT.asked.offset, LITTLE);
  granted = (at: number) => this.view.getUint32(at + AT.granted.offset, LITTLE);
  family = (at: number) => this.view.getUint8(at + AT.family.offset);
  direction = (at: number) => this.view.getUint8(at + AT.direction.offset);
  ext = (at: number) => this.view.getUint8(at + AT.ext.offset);
  event = (at: number) => this.view.getUint8(at + AT.event.offset);
  reason = (at: number) => this.view.getUint8(at + AT.reason.offset);
}

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
    text: `${word}${values === "" ? "" : ` ${values}`}${why}`,
    json: JSON.stringify(members).slice(1, -1),
  };
}

const made = new Map<number | string, Outcome>();

/** Few outcomes differ. */
function cachedOutcome(list: Watched, at: number): Outcome {
  const which = (list.ext(at) << 16) | (list.event(at) << 8) | list.reason(at);
  const key = `${which} ${list.asked(at)} ${list.granted(at)}`;
  let result = made.get(key);
  if (!result) {
    if (made.size >= CACHED_MOST) made.clear();
    result = outcome(list, at);
    made.set(key, result);
  }
  return result;
}

const two = (n: number) => String(n).padStart(2, "0");

/** Times of events, of which most are in the same second as the one before. */
export class Clock {
  private second = -1;
  private text = "";

  /** What is to be added to the time since boot. */
  offsetMs = 0;

  /** @param iso for scripts, in UTC; else the local time of day */
  constructor(private readonly iso: boolean) {}

  /** "16:31:02.123", or "2026-11-22T16:31:02.123Z". */
  format(ns: number): string {
    const ms = Math.floor(ns / 1e6 + this.offsetMs);
    const second = Math.floor(ms / 1000);
    if (second !== this.second) {
      const date = new Date(second * 1000);
      const day = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":");
      this.text = this.iso ? date.toISOString().slice(0, 19) : day;
      this.second = second;
    }
    return `${this.text}.${String(ms - second * 1000).padStart(3, "0")}${this.iso ? "Z" : ""}`;
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

/** "16:31:02.123 :39552 > 10.77.1.2:443  iw  granted 32 (asked 40)"; two lines where 80 columns are too few. */
export function eventLine(list: Watched, at: number, clock: Clock): string {
  const { sign } = directionOf(list, at);
  const peer = endpointText(list.bytes, list.remoteAt(at), list.family(at), list.remotePort(at));
  const { name, text } = cachedOutcome(list, at);
  const place = `${clock.format(list.atNs(at))} ${`:${list.localPort(at)}`.padStart(6)} ${sign} ${peer.padEnd(PEER)}`;
  const line = `${place} ${name.padEnd(NAME)} ${text}`;
  return line.length <= WIDTH ? `${line}\n` : `${place.trimEnd()}\n    ${name} ${text}\n`;
}

export function noteLine(text: string, ns: number, clock: Clock): string {
  return `${clock.format(ns)} ${text}\n`;
}

const head = (time: string) => `{"schema":${SCHEMA},"time":"${time}"`;

/** One event as a line of JSON. @param cgroupOf the path of a scope, null: not known */
export function eventJson(
  list: Watched,
  at: number,
  clock: Clock,
  cgroupOf: (scope: bigint) => string | null,
): string {
  const { bytes } = list;
  const [family, scope] = [list.family(at), list.scope(at)];
  const end = (from: number, port: number) =>
    `{"address":"${addressText(bytes, from, family)}","port":${port}}`;
  const { word } = directionOf(list, at);
  return (
    `${head(clock.format(list.atNs(at)))},"direction":"${word}","family":${family},` +
    `"local":${end(list.localAt(at), list.localPort(at))},"peer":${end(list.remoteAt(at), list.remotePort(at))},` +
    `${cachedOutcome(list, at).json},` +
    `"netns":${list.netns(at)},"scope_id":"${scope}","cgroup":${JSON.stringify(cgroupOf(scope))}}\n`
  );
}

export function noteJson(note: object, ns: number, clock: Clock): string {
  return `${head(clock.format(ns))},${JSON.stringify(note).slice(1)}\n`;
}
