// SPDX-License-Identifier: MIT
// Records as lines for people and for scripts, a line per event. What repeats is put into words once.

import { Direction } from "../layout/layout.generated.ts";
import { SCHEMA } from "../output/io.ts";
import { terminalWidth } from "../output/terminal.ts";
import { addressText } from "./address.ts";
import { flat, Outcomes } from "./watch-outcome.ts";
import { ADDRESS_WORDS, OWNER_WORDS, type Watched } from "./watched.ts";

/** 255.255.255.255:65535 */
const PEER = 21;

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
    this.whole = flat(`${this.text}.${String(ms - second * 1000).padStart(3, "0")}${this.iso ? "Z" : ""}`);
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

/** A text for some words of a record, for as long as they stay the same. */
class Repeated {
  private readonly words: Uint32Array;
  private more = -1;
  text = "";

  constructor(words: number) {
    this.words = new Uint32Array(words);
  }

  /** Is the text still right? From here on it has to be. @param more something else that it is made of */
  holds(list: Watched, from: number, more: number): boolean {
    const { words } = this;
    let same = more === this.more;
    this.more = more;
    for (let i = 0; i < words.length; i++) {
      const word = list.word(from + 4 * i);
      if (words[i] === word) continue;
      words[i] = word;
      same = false;
    }
    return same;
  }

  forget(): void {
    this.more = -1;
  }
}

/** Lines for people. */
export class TextLines {
  readonly clock = new Clock(false);
  private readonly host = new Repeated(ADDRESS_WORDS);

  /** @param width of the terminal; where there is none an event is a line, however long */
  constructor(
    private readonly width = terminalWidth() ?? Number.POSITIVE_INFINITY,
    private readonly outcomes = new Outcomes(),
  ) {}

  private place(list: Watched, at: number): string {
    const { host } = this;
    const [from, family] = [list.remoteAt(at), list.family(at)];
    if (!host.holds(list, from, family)) {
      const address = addressText(list.bytes, from, family);
      host.text = flat(family === 4 ? address : `[${address}]`);
    }
    const port = `:${list.localPort(at)}`.padStart(6);
    const peer = `${host.text}:${list.remotePort(at)}`.padEnd(PEER);
    return `${this.clock.format(list.atNs(at))} ${port} ${directionOf(list, at).sign} ${peer}`;
  }

  /**
   * "16:31:02.123 :39552 > 10.77.1.2:443  iw  granted 32 (asked 40)"; two lines where the terminal is too narrow.
   * @param most of its events
   */
  record(list: Watched, at: number, most: number): string {
    const place = this.place(list, at);
    let lines = "";
    for (let i = 0; i < most; i++) {
      const { text, padded } = this.outcomes.of(list, list.news(at, i));
      lines +=
        place.length + 1 + padded.length <= this.width
          ? `${place} ${padded}\n`
          : `${place.trimEnd()}\n    ${text}\n`;
    }
    return lines;
  }

  note(text: string, ns: number): string {
    return `${this.clock.format(ns)} ${text}\n`;
  }
}

/** Lines for scripts: a document each. */
export class JsonLines {
  readonly clock = new Clock(true);
  private readonly local = new Repeated(ADDRESS_WORDS);
  private readonly remote = new Repeated(ADDRESS_WORDS);
  private readonly owner = new Repeated(OWNER_WORDS);

  /** @param cgroupOf the path of a scope, null: not known */
  constructor(
    private readonly cgroupOf: (scope: bigint) => string | null,
    private readonly outcomes = new Outcomes(),
  ) {}

  private begin(list: Watched, at: number): string {
    const { local, remote } = this;
    const family = list.family(at);
    for (const [end, name, from] of [
      [local, "local", list.localAt(at)],
      [remote, "peer", list.remoteAt(at)],
    ] as const) {
      if (end.holds(list, from, family)) continue;
      end.text = flat(`"${name}":{"address":"${addressText(list.bytes, from, family)}","port":`);
    }
    return (
      `{"schema":${SCHEMA},"time":"${this.clock.format(list.atNs(at))}",` +
      `"direction":"${directionOf(list, at).word}","family":${family},` +
      `${local.text}${list.localPort(at)}},${remote.text}${list.remotePort(at)}},`
    );
  }

  private ownerOf(list: Watched, at: number): string {
    const { owner } = this;
    if (owner.holds(list, list.ownerAt(at), 0)) return owner.text;
    const scope = list.scope(at);
    const cgroup = this.cgroupOf(scope);
    if (cgroup === null) owner.forget(); // the next time it may be
    owner.text = `,"netns":${list.netns(at)},"scope_id":"${scope}","cgroup":${JSON.stringify(cgroup)}}\n`;
    return owner.text;
  }

  /** @param most of its events */
  record(list: Watched, at: number, most: number): string {
    const begin = this.begin(list, at);
    const owner = this.ownerOf(list, at);
    let lines = "";
    for (let i = 0; i < most; i++) {
      const outcome = this.outcomes.of(list, list.news(at, i));
      if (outcome.owner !== owner) {
        outcome.tail = flat(outcome.json + owner);
        outcome.owner = owner;
      }
      lines += begin + outcome.tail;
    }
    return lines;
  }

  note(note: object, ns: number): string {
    return `{"schema":${SCHEMA},"time":"${this.clock.format(ns)}",${JSON.stringify(note).slice(1)}\n`;
  }
}
