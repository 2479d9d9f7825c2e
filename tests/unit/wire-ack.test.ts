// SPDX-License-Identifier: MIT
// Acknowledgment strategies as bytes: our own pair, and TARR.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { describeOwn } from "../../cli/extensions/options.ts";
import {
  answerWords,
  askWords,
  decodeAck,
  decodeTarr,
  encodeAck,
  encodeTarr,
  TARR_MOST,
  tarrCapability,
  tarrHex,
  tarrWords,
} from "../../cli/wire/ack.ts";
import { requestHex } from "../../cli/wire/request.ts";

const byte = fc.nat(255);
const u16 = fc.nat(0xffff);
const words = (hex: string) => describeOwn(Uint8Array.fromHex(hex));

describe("our own request and answer", () => {
  test("delay8 first, then segments8", () => {
    expect(encodeAck({ every: 10, divisor: 4 })).toBe(0x040a);
    expect(encodeAck({ every: 255, divisor: 0 })).toBe(0x00ff);
    expect(encodeAck({ every: 0, divisor: 255 })).toBe(0xff00);
    expect(requestHex(0x7ca0, encodeAck({ every: 10, divisor: 4 }))).toBe("fe067ca0040a");
    expect(requestHex(0x7ca1, encodeAck({ every: 100, divisor: 2 }))).toBe("fe067ca10264");
  });

  test("what was encoded is decoded, and no two pairs are the same", () => {
    fc.assert(
      fc.property(byte, byte, (every, divisor) => {
        expect(decodeAck(encodeAck({ every, divisor }))).toEqual({ every, divisor });
      }),
    );
    fc.assert(fc.property(u16, (bits) => expect(encodeAck(decodeAck(bits))).toBe(bits)));
  });

  test.each([
    [0x040a, "an ACK every 10 segments, after rtt/4 at the latest"],
    [0x0064, "an ACK every 100 segments"],
    [0x0001, "an ACK for every segment"],
    [0x0201, "an ACK for every segment, after rtt/2 at the latest"],
    [0x0400, "ACKs after rtt/4 at the latest"],
  ])("%i in words", (bits, text) => {
    expect(askWords(bits)).toBe(`asks for ${text}`);
    expect(answerWords(bits)).toBe(`grants ${text}`);
  });

  test("nothing in it: nothing is asked for, or all is refused", () => {
    expect(askWords(0)).toBe("asks for no ACK strategy");
    expect(answerWords(0)).toBe("ACK strategy refused");
  });

  test("the words name every number that travels, and nothing else", () => {
    fc.assert(
      fc.property(u16, (bits) => {
        const { every, divisor } = decodeAck(bits);
        const numbers = [...(every > 1 ? [every] : []), ...(divisor > 0 ? [divisor] : [])].map(String);
        for (const text of [askWords(bits), answerWords(bits)])
          expect([...text.matchAll(/\d+/g)].map(([n]) => n)).toEqual(numbers);
      }),
    );
  });
});

describe("TARR", () => {
  test("R stands in the upper seven bits, and at once is 0", () => {
    expect(tarrCapability()).toBe("fe0400ac");
    expect(tarrHex(1)).toBe("fe0500ac00");
    expect(tarrHex(2)).toBe("fe0500ac04");
    expect(tarrHex(8)).toBe("fe0500ac10");
    expect(tarrHex(TARR_MOST)).toBe("fe0500acfe");
  });

  test("every number of segments survives, and stays within R", () => {
    for (let every = 1; every <= TARR_MOST; every++) {
      const r = encodeTarr(every);
      expect([r >= 0, r <= 127, r === 1]).toEqual([true, true, false]);
      expect(decodeTarr(r)).toBe(every);
      const bytes = Uint8Array.fromHex(tarrHex(every));
      expect([bytes.length, bytes[1], bytes[4]]).toEqual([5, 5, r << 1]);
    }
  });

  test("a peer's 1 is what its 0 is", () => {
    expect([decodeTarr(0), decodeTarr(1), decodeTarr(2)]).toEqual([1, 1, 2]);
  });

  test.each([
    ["fe0400ac", "understands ACK rate requests (TARR)"],
    ["fe0500ac00", "asks for an ACK for every segment (TARR)"],
    ["fe0500ac02", "asks for an ACK for every segment (TARR)"],
    ["fe0500ac10", "asks for an ACK every 8 segments (TARR)"],
    ["fe0500ac11", "asks for an ACK every 8 segments (TARR)"], // the lowest bit is reserved
    ["fe0500acff", "asks for an ACK every 127 segments (TARR)"],
  ])("%s", (hex, text) => expect(words(hex)).toBe(`${text} (${hex})`));

  test.each([
    ["fe0600ac1000", "a byte long"],
    ["fe0300", "no identifier"],
    ["fd0500ac10", "kind 253"],
    ["fe05ac0010", "the identifier in the other byte order"],
    ["fe057ca010", "our identifier at TARR's length"],
    ["fe047ca0", "our identifier without a value"],
  ])("%s is none: %s", (hex) => expect(words(hex)).toBeUndefined());

  test("other lengths have no words", () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 2, maxLength: 30 }), (payload) => {
        expect(tarrWords(payload)).toBeUndefined();
      }),
    );
  });
});
