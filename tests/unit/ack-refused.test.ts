// SPDX-License-Identifier: MIT
// `tcpx ack`: what is refused, and how it is told.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ack } from "../../cli/extensions/ack.ts";
import { unpackAck } from "../../cli/extensions/ack-rule.ts";

type Verb = "set" | "request" | "accept";
type Words = Record<string, unknown>;
const draft = (verb: Verb, args: Words) => ack.verbs[verb]!.draft(args);
const set = (args: Words) => draft("set", args);
const request = (args: Words) => draft("request", args);
const accept = (args: Words) => draft("accept", args);

const VERBS = ["set", "request", "accept"] as const;
const KIND = { set: "local", request: "ask", accept: "accept" } as const;
const refused = (details: object) => expect.objectContaining({ name: "TcpxError", code: 2, ...details });

/** Never a count, whatever the range. */
const NO_COUNT = ["", "ten", "1e1", "0x8", "8.0", "+8", " 8", "8 ", "8,9", "none", "rtt/4"];
const NO_DELAY = ["", "20", "20us", "20 ms", "1.5ms", "-5ms", "+5ms", "fast", "none", "20ms,30ms", "RTT/4"];
const NO_FRACTION = ["rtt", "rtt/", "rtt/x", "rtt/1.5", "rtt/ 4", "rtt/4 ", "rtt /4", "rtt/4/4", "rtt:4"];
const OUT_OF_FRACTION = ["rtt/0", "rtt/00", "rtt/256", "rtt/-4", "rtt/99999999999999999999"];

test("--max-delay is a time: a fraction is none", () => {
  for (const text of [...NO_DELAY, "rtt/4", "rtt/0"]) {
    expect(() => accept({ "max-delay": text })).toThrow(
      refused({
        message: `--max-delay '${text}' is not a delay`,
        value: text,
        hint: expect.stringContaining("accepted is 1ms to 200ms, such as 20ms"),
      }),
    );
  }
});

describe("values that are refused", () => {
  const counts: [verb: Verb, flag: string, least: number, most: number, rest: Words][] = [
    ["set", "every", 1, 255, {}],
    ["set", "min-acks-per-rtt", 0, 255, { every: "8" }],
    ["set", "mark-bit", 0, 31, { every: "1" }],
    ["request", "every", 1, 255, {}],
    ["accept", "max-every", 1, 255, {}],
    ["accept", "mark-bit", 0, 31, {}],
  ];

  test.each(counts)("ack %s --%s: %i to %i", (verb, flag, least, most, rest) => {
    const hint = `accepted is ${least} to ${most}`;
    const outside = [least - 1, most + 1, 256, 100_000, -5].map(String);
    for (const text of [...outside, "9".repeat(30)]) {
      const error = refused({ message: `--${flag} '${text}' is out of range`, value: text, hint });
      expect(() => draft(verb, { ...rest, [flag]: text })).toThrow(error);
    }
    for (const text of NO_COUNT) {
      const error = refused({ message: `--${flag} '${text}' is not a number`, value: text, hint });
      expect(() => draft(verb, { ...rest, [flag]: text })).toThrow(error);
    }
    for (const n of [least, most]) draft(verb, { ...rest, [flag]: String(n) });
  });

  test.each(OUT_OF_FRACTION)("--delay %j is out of range", (text) => {
    const error = (hint: string) =>
      refused({ message: `--delay '${text}' is out of range`, value: text, hint });
    expect(() => set({ delay: text })).toThrow(error("accepted is rtt/1 to rtt/255, or 1ms to 200ms"));
    expect(() => request({ every: "8", delay: text })).toThrow(error("accepted is rtt/1 to rtt/255"));
  });

  test.each(NO_FRACTION)("--delay %j is no fraction of the RTT", (text) => {
    const error = refused({ message: `--delay '${text}' is not a fraction of the RTT`, value: text });
    expect(() => set({ delay: text, every: "8" })).toThrow(error);
    expect(() => request({ delay: text, every: "8" })).toThrow(error);
  });

  test.each(NO_DELAY)("--delay %j is no delay", (text) => {
    expect(() => set({ delay: text })).toThrow(
      refused({
        message: `--delay '${text}' is not a delay`,
        value: text,
        hint: expect.stringContaining("accepted is 1ms to 200ms, such as 20ms, or rtt/1 to rtt/255"),
      }),
    );
    expect(() => request({ every: "8", delay: text })).toThrow(
      refused({
        message: `--delay '${text}' is not a fraction of the RTT`,
        hint: "accepted is rtt/1 to rtt/255",
      }),
    );
  });

  test.each(["201ms", "1s", "5min", "1h"])("%s is longer than the kernel ever delays", (text) => {
    const why = "; the kernel never delays an ACK longer than 200 ms";
    const error = (flag: string, also: string) =>
      refused({
        message: `--${flag} '${text}' is out of range`,
        value: text,
        hint: `accepted is 1ms to 200ms${also}${why}`,
      });
    expect(() => set({ delay: text })).toThrow(error("delay", ", or rtt/1 to rtt/255"));
    expect(() => set({ every: "8", delay: text })).toThrow(error("delay", ", or rtt/1 to rtt/255"));
    expect(() => accept({ "max-delay": text })).toThrow(error("max-delay", ""));
  });

  test("no delay at all is out of range, too", () => {
    expect(() => set({ delay: "0ms" })).toThrow(
      refused({
        message: "--delay '0ms' is out of range",
        hint: "accepted is 1ms to 200ms, or rtt/1 to rtt/255",
      }),
    );
    expect(() => accept({ "max-delay": "0s" })).toThrow(refused({ hint: "accepted is 1ms to 200ms" }));
  });

  test("any text is a value within the range, or a usage error", () => {
    const text = fc.oneof(
      fc.string({ maxLength: 12 }),
      fc.stringMatching(/^(rtt\/)?-?\d{1,6}(ms|s|us)?$/),
      fc.constantFrom(...NO_COUNT, ...NO_DELAY, ...NO_FRACTION, ...OUT_OF_FRACTION),
    );
    fc.assert(
      fc.property(text, text, (every, delay) => {
        for (const verb of ["set", "request"] as const) {
          try {
            const value = unpackAck(draft(verb, { every, delay }).drafts[0]!.value);
            expect(value.every).toBeWithin(2, 256);
            expect([value.divisor > 0, value.delayUs > 0].filter(Boolean)).toHaveLength(1);
            expect(value.delayUs).toBeLessThanOrEqual(200_000);
          } catch (error) {
            expect(error).toMatchObject({ name: "TcpxError", code: 2 });
          }
        }
      }),
      { numRuns: 1000 },
    );
  });
});

describe("none", () => {
  const flags: Record<Verb, Words> = {
    set: { every: "8", delay: "20ms", "min-acks-per-rtt": "4", "mark-bit": "13" },
    request: { every: "8", delay: "rtt/4", tarr: true },
    accept: { "max-every": "8", "max-delay": "20ms", "mark-bit": "13" },
  };

  test.each(VERBS)("ack %s none exempts its kind", (verb) => {
    const exemption = { kind: KIND[verb], none: true, force: false, value: [0, 0] } as const;
    expect(draft(verb, { value: "none" })).toEqual({ drafts: [exemption], notices: [] });
    expect(draft(verb, { value: "none", tarr: false }).drafts).toEqual([exemption]);
    expect(ack.describe(exemption)).toBe("none");
    expect(ack.json(exemption)).toEqual({});
    expect(ack.agent!.wish(exemption)).toBeUndefined();
  });

  test.each(VERBS)("ack %s none takes no flag, and the first one is named", (verb) => {
    for (const [flag, value] of Object.entries(flags[verb])) {
      expect(() => draft(verb, { value: "none", [flag]: value })).toThrow(
        refused({ message: `'none' takes no --${flag}`, value: "none", hint: "leave it out" }),
      );
    }
  });

  test.each(VERBS)("another word behind ack %s is told the flags", (verb) => {
    const names = Object.keys(flags[verb]).map((flag) => `--${flag}`);
    for (const word of ["8", "", "None", "rtt/4", "20ms"]) {
      expect(() => draft(verb, { value: word, ...flags[verb] })).toThrow(
        refused({
          message: `stray argument '${word}'`,
          value: word,
          hint: `accepted is 'none', or ${names.join(", ")}`,
        }),
      );
    }
  });
});
