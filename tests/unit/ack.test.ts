// SPDX-License-Identifier: MIT
// `tcpx ack`: from arguments to rules, what this host makes of them, and from rules to text.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ack } from "../../cli/extensions/ack.ts";
import { packAck, unpackAck } from "../../cli/extensions/ack-rule.ts";
import type { RuleDraft } from "../../cli/extensions/types.ts";

type Verb = "set" | "request" | "accept";
type Words = Record<string, unknown>;
const draft = (verb: Verb, args: Words) => ack.verbs[verb]!.draft(args);
const set = (args: Words) => draft("set", args);
const request = (args: Words) => draft("request", args);

const KIND = { set: "local", request: "ask", accept: "accept" } as const;
const refused = (details: object) => expect.objectContaining({ name: "TcpxError", code: 2, ...details });
const only = (drafted: { drafts: RuleDraft[]; notices: string[] }): RuleDraft => {
  expect([drafted.drafts.length, drafted.notices]).toEqual([1, []]);
  return drafted.drafts[0]!;
};
/** The fields of the one rule, as the programs will read them. */
const fields = (verb: Verb, args: Words) => {
  const { kind, none, force, value } = only(draft(verb, args));
  expect([kind, none, force]).toEqual([KIND[verb], false, false]);
  return unpackAck(value);
};

const DEFAULTS = { every: 0, divisor: 0, floor: 4, markBit: 13, tarr: false, delayUs: 0 };
const ASKED = { every: 0, divisor: 0, floor: 0, markBit: 0, tarr: false, delayUs: 0 };
const byte = fc.nat(255);
const count = fc.integer({ min: 1, max: 255 });

describe("the value of a rule", () => {
  const anyFields = fc.record({
    every: byte,
    divisor: byte,
    floor: byte,
    markBit: fc.nat(31),
    tarr: fc.boolean(),
    delayUs: fc.nat(200_000),
  });

  test("what was packed is unpacked, as two unsigned numbers of 32 bits", () => {
    fc.assert(
      fc.property(anyFields, (wanted) => {
        const value = packAck(wanted);
        for (const n of value) expect([n >>> 0, n]).toEqual([n, n]);
        expect(unpackAck(value)).toEqual(wanted);
      }),
    );
  });

  test("the places of the fields", () => {
    const numbers = { every: 1, divisor: 2, floor: 3, markBit: 4, delayUs: 5 };
    expect(packAck(numbers)).toEqual([0x04_03_02_01, 5]);
    expect(packAck({ markBit: 31, tarr: true })).toEqual([0x9f_00_00_00, 0]);
    expect(packAck({})).toEqual([0, 0]);
  });
});

describe("ack set", () => {
  test("--every, --delay in milliseconds or as a fraction of the RTT, or two of them", () => {
    const delay = fc.oneof(
      fc.integer({ min: 1, max: 200 }).map((ms) => ({ text: `${ms}ms`, delayUs: ms * 1000, divisor: 0 })),
      count.map((k) => ({ text: `rtt/${k}`, divisor: k, delayUs: 0 })),
    );
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 255 }), delay, (every, { text, ...wanted }) => {
        expect(fields("set", { every: String(every) })).toEqual({ ...DEFAULTS, every });
        expect(fields("set", { delay: text })).toEqual({ ...DEFAULTS, ...wanted });
        expect(fields("set", { every: String(every), delay: text })).toEqual({
          ...DEFAULTS,
          every,
          ...wanted,
        });
      }),
    );
  });

  test("--min-acks-per-rtt, where there are ACKs to be thinned", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 255 }), byte, (every, floor) => {
        const args = { every: String(every), "min-acks-per-rtt": String(floor) };
        expect(fields("set", args)).toEqual({ ...DEFAULTS, every, floor });
      }),
    );
  });

  test("--mark-bit, where every segment is acknowledged at once", () => {
    for (let markBit = 0; markBit <= 31; markBit++) {
      const args = { every: "1", "mark-bit": String(markBit) };
      expect(fields("set", args)).toEqual({ ...DEFAULTS, every: 1, markBit });
    }
  });

  test("the three settings of the paper", () => {
    expect(fields("set", { every: "1" })).toEqual({ ...DEFAULTS, every: 1 });
    expect(fields("set", { every: "10", delay: "rtt/4" })).toEqual({ ...DEFAULTS, every: 10, divisor: 4 });
    expect(fields("set", { every: "100", delay: "rtt/2", "min-acks-per-rtt": "0" })).toEqual({
      ...DEFAULTS,
      every: 100,
      divisor: 2,
      floor: 0,
    });
  });

  test("a unit is a unit", () => {
    for (const text of ["0200ms", "200ms"]) expect(fields("set", { delay: text }).delayUs).toBe(200_000);
  });

  test("one of two must be given", () => {
    const error = refused({ message: "--every or --delay is missing", hint: "see `tcpx ack set --help`" });
    for (const more of [{}, { "min-acks-per-rtt": "2" }, { "mark-bit": "3" }]) {
      expect(() => set(more)).toThrow(error);
    }
  });

  test("at once leaves nothing to delay", () => {
    for (const delay of ["20ms", "rtt/4"]) {
      expect(() => set({ every: "1", delay })).toThrow(
        refused({
          message: "--every 1 and --delay exclude each other",
          value: "--delay",
          hint: "--every 1 delays nothing: give one",
        }),
      );
    }
  });

  test("a flag that would say nothing is an error", () => {
    for (const other of [{ every: "1" }, { delay: "20ms" }]) {
      expect(() => set({ ...other, "min-acks-per-rtt": "4" })).toThrow(
        refused({
          message: "--min-acks-per-rtt is only for --every 2 to 255",
          value: "--min-acks-per-rtt",
          hint: "leave it out",
        }),
      );
    }
    for (const other of [{ every: "2" }, { delay: "20ms" }, { every: "8", delay: "rtt/4" }]) {
      expect(() => set({ ...other, "mark-bit": "13" })).toThrow(
        refused({ message: "--mark-bit is only for --every 1", value: "--mark-bit", hint: "leave it out" }),
      );
    }
  });
});

describe("ack request", () => {
  test("--every, and a fraction of the RTT", () => {
    fc.assert(
      fc.property(count, fc.integer({ min: 2, max: 255 }), count, (every, many, divisor) => {
        expect(fields("request", { every: String(every) })).toEqual({ ...ASKED, every });
        const args = { every: String(many), delay: `rtt/${divisor}` };
        expect(fields("request", args)).toEqual({ ...ASKED, every: many, divisor });
      }),
    );
  });

  test("--tarr, 1 to 127", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 127 }), (every) => {
        expect(fields("request", { every: String(every), tarr: true })).toEqual({
          ...ASKED,
          every,
          tarr: true,
        });
      }),
    );
    for (const text of ["0", "128", "255", "256"]) {
      expect(() => request({ every: text, tarr: true })).toThrow(
        refused({
          message: `--every '${text}' is out of range`,
          value: text,
          hint: "accepted is 1 to 127 with --tarr",
        }),
      );
    }
  });

  test("TARR has no place for a delay", () => {
    expect(() => request({ every: "8", delay: "rtt/4", tarr: true })).toThrow(
      refused({
        message: "--tarr and --delay exclude each other",
        value: "--delay",
        hint: "TARR carries no delay: leave it out",
      }),
    );
  });

  test("an absolute delay cannot be asked for, even a valid one", () => {
    for (const delay of ["20ms", "1ms", "200ms", "0s", "5min"]) {
      expect(() => request({ every: "8", delay })).toThrow(
        refused({
          message: `--delay '${delay}' cannot be asked for: the option carries a fraction of the RTT`,
          value: delay,
          hint: "accepted is rtt/1 to rtt/255",
        }),
      );
    }
  });

  test("--every is needed, and at once leaves nothing to delay", () => {
    for (const more of [{}, { delay: "rtt/4" }]) {
      expect(() => request(more)).toThrow(
        refused({ message: "--every is missing", hint: "accepted is 1 to 255" }),
      );
    }
    expect(() => request({ tarr: true })).toThrow(refused({ hint: "accepted is 1 to 127" }));
    expect(() => request({ every: "1", delay: "rtt/4" })).toThrow(
      refused({ message: "--every 1 and --delay exclude each other" }),
    );
  });
});

describe("ack accept", () => {
  test("all that can be asked for, and the longest delay that there is, when no limit is given", () => {
    expect(fields("accept", {})).toEqual({ ...DEFAULTS, every: 255, delayUs: 200_000 });
  });

  test("limits of one's own", () => {
    fc.assert(
      fc.property(count, fc.integer({ min: 1, max: 200 }), fc.nat(31), (every, ms, markBit) => {
        const args = { "max-every": String(every), "max-delay": `${ms}ms`, "mark-bit": String(markBit) };
        expect(fields("accept", args)).toEqual({ ...DEFAULTS, every, delayUs: ms * 1000, markBit });
      }),
    );
  });
});
