// SPDX-License-Identifier: MIT
// The kernel's records (struct tcpx_watched), read in place. Each is a connection and what is new with it.

import { structs } from "../layout/layout.generated.ts";
import { LITTLE } from "../layout/struct.ts";

const AT = structs.tcpx_watched.fields;
const NEWS_AT = structs.tcpx_watched_news.fields;
const NEWS = structs.tcpx_watched_news.size;
/** Of a 64-bit number, where its halves are. */
const [LOW, HIGH] = LITTLE ? [0, 4] : [4, 0];

/** The three bytes from the extension to the reason. */
const WHAT = LITTLE ? 0xffffff : ~0xff;

/** Bytes of the longest record. */
export const LONGEST = AT.news.offset + AT.news.dims[0] * NEWS;
/** 32-bit numbers in an address, and in a scope and its namespace. */
export const ADDRESS_WORDS = 4;
export const OWNER_WORDS = 3;

/** One buffer of records; `at` is where a record begins, `of` where one of its news does. */
export class Watched {
  private readonly words: Uint32Array;
  private readonly halves: Uint16Array;

  /**
   * @param bytes begin at a multiple of 4 in their buffer
   * @param full there may be more where these came from
   */
  constructor(
    readonly bytes: Uint8Array,
    readonly full = false,
  ) {
    this.words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
    this.halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.length >> 1);
  }

  word(from: number): number {
    return this.words[from >> 2]!;
  }

  private half(from: number): number {
    return this.halves[from >> 1]!;
  }

  /** How much is new. */
  count(at: number): number {
    return this.bytes[at + AT.count.offset]!;
  }

  news(at: number, i: number): number {
    return at + AT.news.offset + i * NEWS;
  }

  /** Where the next record begins. */
  after(at: number): number {
    return this.news(at, this.count(at));
  }

  /** Nanoseconds since boot, as exact as a double can have it. */
  atNs(at: number): number {
    const from = at + AT.at_ns.offset;
    return this.word(from + HIGH) * 2 ** 32 + this.word(from + LOW);
  }

  scope(at: number): bigint {
    const [high, low] = [HIGH, LOW].map((i) => BigInt(this.word(at + AT.scope.offset + i)));
    return (high! << 32n) | low!;
  }

  /** Where scope and namespace stand. */
  ownerAt(at: number): number {
    return at + AT.scope.offset;
  }

  netns(at: number): number {
    return this.word(at + AT.netns.offset);
  }

  localAt(at: number): number {
    return at + AT.local.offset;
  }

  remoteAt(at: number): number {
    return at + AT.remote.offset;
  }

  localPort(at: number): number {
    return this.half(at + AT.local_port.offset);
  }

  remotePort(at: number): number {
    return this.half(at + AT.remote_port.offset);
  }

  family(at: number): number {
    return this.bytes[at + AT.family.offset]!;
  }

  direction(at: number): number {
    return this.bytes[at + AT.direction.offset]!;
  }

  asked(of: number): number {
    return this.word(of + NEWS_AT.asked.offset);
  }

  granted(of: number): number {
    return this.word(of + NEWS_AT.granted.offset);
  }

  /** Extension, event and reason in one number. */
  what(of: number): number {
    return this.word(of + NEWS_AT.ext.offset) & WHAT;
  }

  ext(of: number): number {
    return this.bytes[of + NEWS_AT.ext.offset]!;
  }

  event(of: number): number {
    return this.bytes[of + NEWS_AT.event.offset]!;
  }

  reason(of: number): number {
    return this.bytes[of + NEWS_AT.reason.offset]!;
  }
}
