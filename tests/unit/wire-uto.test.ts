// SPDX-License-Identifier: MIT
// The User Timeout Option's 16 bits, RFC 5482 section 3.2.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { decodeUto, encodeUto, UTO_KIND, UTO_MAX_MS } from "../../cli/wire/uto.ts";

const MINUTES = 0x8000;
const MOST_SECONDS = 32_767;
const granularity = (bits: number) => (bits & MINUTES ? 60_000 : 1000);

const anyMs = fc.oneof(
  fc.integer({ min: 1, max: UTO_MAX_MS }),
  fc.integer({ min: 1, max: 3000 }),
  fc.integer({ min: MOST_SECONDS * 1000 - 3000, max: MOST_SECONDS * 1000 + 120_000 }),
);

describe("encodeUto", () => {
  test("rounds up, by less than one step, and is never zero", () => {
    fc.assert(
      fc.property(anyMs, (ms) => {
        const bits = encodeUto(ms);
        const stated = decodeUto(bits);
        expect(bits).toBeGreaterThanOrEqual(1);
        expect(bits).toBeLessThanOrEqual(0xffff);
        expect(bits & 0x7fff).not.toBe(0);
        expect(stated).toBeGreaterThanOrEqual(ms);
        expect(stated).toBeLessThan(ms + granularity(bits));
      }),
      { numRuns: 1000 },
    );
  });

  test("whole seconds are exact, as long as 15 bits hold them", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: MOST_SECONDS }), (seconds) => {
        expect(encodeUto(seconds * 1000)).toBe(seconds);
        expect(decodeUto(seconds)).toBe(seconds * 1000);
      }),
    );
  });

  test("whole minutes are exact beyond that", () => {
    fc.assert(
      fc.property(fc.integer({ min: 547, max: 32_767 }), (minutes) => {
        expect(encodeUto(minutes * 60_000)).toBe(MINUTES | minutes);
        expect(decodeUto(MINUTES | minutes)).toBe(minutes * 60_000);
      }),
    );
  });

  test("a longer timeout never states a shorter one", () => {
    fc.assert(
      fc.property(anyMs, anyMs, (a, b) => {
        const [short, long] = [Math.min(a, b), Math.max(a, b)];
        expect(decodeUto(encodeUto(short))).toBeLessThanOrEqual(decodeUto(encodeUto(long)));
      }),
    );
  });

  test("the boundary between seconds and minutes, and both ends", () => {
    const cases: [ms: number, bits: number][] = [
      [1, 1],
      [1000, 1],
      [1001, 2],
      [30_000, 0x001e],
      [32_766_001, 0x7fff],
      [32_767_000, 0x7fff],
      [32_767_001, MINUTES | 547],
      [547 * 60_000, MINUTES | 547],
      [547 * 60_000 + 1, MINUTES | 548],
      [UTO_MAX_MS - 1, 0xffff],
      [UTO_MAX_MS, 0xffff],
    ];
    for (const [ms, bits] of cases) expect([ms, encodeUto(ms)]).toEqual([ms, bits]);
  });
});

test("a peer's zero reads as zero in both granularities", () => {
  expect(decodeUto(0)).toBe(0);
  expect(decodeUto(MINUTES)).toBe(0);
});

test("what a peer states survives decoding and encoding in milliseconds", () => {
  fc.assert(
    fc.property(fc.integer({ min: 1, max: 0xffff }), (bits) => {
      fc.pre((bits & 0x7fff) !== 0);
      expect(decodeUto(encodeUto(decodeUto(bits)))).toBe(decodeUto(bits));
    }),
  );
});

test("kind 28, at most 32767 minutes", () => {
  expect(UTO_KIND).toBe(28);
  expect(UTO_MAX_MS).toBe(32_767 * 60_000);
});
