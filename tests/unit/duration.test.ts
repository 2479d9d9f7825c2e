// SPDX-License-Identifier: MIT
// Durations on the command line.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatDuration, meantDuration, parseDuration } from "../../cli/base/duration.ts";
import { UTO_MAX_MS } from "../../cli/wire/uto.ts";

const UNITS = { ms: 1, s: 1000, min: 60_000, h: 3_600_000 } as const;
const parse = (text: string) => parseDuration(text, "--min", 1, UTO_MAX_MS);

/** Values near the unit boundaries as well as anywhere. */
const anyMs = fc.oneof(
  fc.integer({ min: 1, max: UTO_MAX_MS }),
  fc.integer({ min: 1, max: 4000 }),
  fc
    .tuple(fc.integer({ min: 1, max: 500 }), fc.constantFrom(...Object.values(UNITS)))
    .map(([n, unit]) => n * unit),
);

describe("formatDuration", () => {
  test("what is printed is what was meant", () => {
    fc.assert(fc.property(anyMs, (ms) => parse(formatDuration(ms)) === ms));
  });

  test("the largest unit that is exact", () => {
    const cases: [ms: number, text: string][] = [
      [0, "0ms"],
      [1, "1ms"],
      [999, "999ms"],
      [1000, "1s"],
      [1500, "1500ms"],
      [60_000, "1min"],
      [90_000, "90s"],
      [100_000, "100s"],
      [900_000, "15min"],
      [3_600_000, "1h"],
      [5_400_000, "90min"],
      [7_200_000, "2h"],
      [UTO_MAX_MS, "32767min"],
    ];
    for (const [ms, text] of cases) expect(formatDuration(ms)).toBe(text);
  });
});

describe("parseDuration", () => {
  test("every unit", () => {
    fc.assert(
      fc.property(
        fc.constantFrom(...(Object.keys(UNITS) as (keyof typeof UNITS)[])),
        fc.nat(546),
        (unit, n) => {
          const ms = n * UNITS[unit];
          expect(parseDuration(`${n}${unit}`, "--min", 0, UTO_MAX_MS)).toBe(ms);
        },
      ),
    );
  });

  test("leading zeros are decimal", () => {
    expect(parse("05s")).toBe(5000);
    expect(parse("010s")).toBe(10_000);
  });

  test("the bounds themselves are accepted, their neighbours are not", () => {
    const between = (text: string) => parseDuration(text, "--max", 2000, 5000);
    expect(between("2s")).toBe(2000);
    expect(between("5000ms")).toBe(5000);
    for (const text of ["1999ms", "5001ms", "0s", "1h"]) {
      expect(() => between(text)).toThrow(
        expect.objectContaining({
          code: 2,
          value: text,
          message: `--max '${text}' is out of range`,
          hint: expect.stringContaining("2s to 5s"),
        }),
      );
    }
  });

  test("a number outside the range is told the range, however many digits it has", () => {
    for (const text of ["0ms", "0h", "1966020001ms", "32768min", "547h", "999999999999999h"]) {
      expect(() => parse(text)).toThrow(
        expect.objectContaining({ code: 2, value: text, hint: expect.stringContaining("1ms to 32767min") }),
      );
    }
    for (const digits of [16, 40, 400]) {
      const text = `${"9".repeat(digits)}s`;
      expect(() => parse(text)).toThrow(
        expect.objectContaining({ code: 2, value: text, hint: expect.stringContaining("1ms to 32767min") }),
      );
    }
  });

  test.each([
    "",
    " ",
    "s",
    "5",
    "5 s",
    " 5s",
    "5s ",
    "5s\n",
    "5m",
    "5S",
    "5MIN",
    "5sec",
    "5d",
    "-5s",
    "+5s",
    "1.5s",
    "1,5s",
    "1e3s",
    "0x5s",
    "5_000ms",
    "1h30min",
    "٣s",
    "５s",
    "Infinitys",
    "NaNms",
    "none",
    "5s,6s",
  ])("%j is not a duration", (text) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({
        name: "TcpxError",
        code: 2,
        value: text,
        message: `--min '${text}' is not a duration`,
        hint: expect.stringMatching(/accepted is 1ms to 32767min, such as 500ms, 30s, 2min, 1h$/),
      }),
    );
  });

  test("any text is either refused as a usage error or an integer within the range", () => {
    const text = fc.oneof(fc.string(), fc.stringMatching(/^[0-9smhin. -]{0,8}$/));
    fc.assert(
      fc.property(text, (text) => {
        try {
          const ms = parse(text);
          expect(Number.isInteger(ms) && ms >= 1 && ms <= UTO_MAX_MS).toBe(true);
        } catch (error) {
          expect(error).toMatchObject({ name: "TcpxError", code: 2, value: text });
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("did you mean", () => {
  test.each([
    ["30", "30s"],
    ["5m", "5min"],
    ["30sec", "30s"],
    ["30 s", "30s"],
    ["30S", "30s"],
    ["1.5h", "90min"],
    ["0.5s", "500ms"],
    ["1h30min", "90min"],
    ["2d", "48h"],
    ["20msec", "20ms"],
  ])("%s: %s", (text, meant) => {
    expect(() => parse(text)).toThrow(
      expect.objectContaining({ hint: expect.stringContaining(`did you mean ${meant}? accepted is 1ms to`) }),
    );
    expect(parse(meant)).toBeGreaterThan(0);
  });

  test.each(["", "s", "1e3", "-5", "30us", "0.0001s", "99999 days", "0", "9".repeat(100_000)])(
    "%s suggests nothing",
    (text) =>
      expect(() => parse(text)).toThrow(
        expect.objectContaining({ hint: expect.stringMatching(/^accepted/) }),
      ),
  );

  test("a number alone is in the unit of what it is for", () => {
    expect(meantDuration("5", 1, 200, 1)).toBe("5ms");
    expect(meantDuration("300", 1, 200, 1)).toBeUndefined();
  });
});
