// SPDX-License-Identifier: MIT
// `tcpx ack`: what this host makes of a rule, and a rule in words.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkArguments } from "../../cli/base/args.ts";
import { ack } from "../../cli/extensions/ack.ts";
import { unpackAck } from "../../cli/extensions/ack-rule.ts";
import type { RuleDraft } from "../../cli/extensions/types.ts";

type Verb = "set" | "request" | "accept";
const draft = (verb: Verb, args: Record<string, unknown>): RuleDraft =>
  ack.verbs[verb]!.draft(args).drafts[0]!;
const fit = (verb: Verb, args: Record<string, unknown>, tickUs: number) => {
  const { drafts, notices } = ack.verbs[verb]!.fit!([draft(verb, args)], { tickUs });
  expect(drafts).toHaveLength(1);
  return { rule: drafts[0]!, delayUs: unpackAck(drafts[0]!.value).delayUs, notices };
};

/** Ticks of CONFIG_HZ 100, 250, 300 and 1000, as the clock tells them. */
const TICKS = [10_000, 4000, 3333, 1000];

describe("a delay that is shorter than the kernel's least", () => {
  test("without thinning becomes 2 ticks, and that is said", () => {
    expect(fit("set", { delay: "1ms" }, 4000)).toMatchObject({
      delayUs: 8000,
      notices: ["--delay 1ms is less than this kernel can do: it becomes 8ms (2 ticks)"],
    });
    expect(fit("set", { delay: "19ms" }, 10_000).notices).toEqual([
      "--delay 19ms is less than this kernel can do: it becomes 20ms (2 ticks)",
    ]);
    expect(fit("set", { delay: "6ms" }, 3333)).toMatchObject({
      delayUs: 6666,
      notices: ["--delay 6ms is less than this kernel can do: it becomes 6666us (2 ticks)"],
    });
    expect(fit("accept", { "max-every": "1", "max-delay": "2ms" }, 4000)).toMatchObject({
      delayUs: 8000,
      notices: ["--max-delay 2ms is less than this kernel can do: it becomes 8ms (2 ticks)"],
    });
  });

  test("with thinning stays, and what it is for is said", () => {
    expect(fit("set", { every: "8", delay: "2ms" }, 4000)).toMatchObject({
      delayUs: 2000,
      notices: [
        "--delay 2ms is for thinned ACKs only: this kernel's own delay is 8ms (2 ticks) at the least",
      ],
    });
    expect(fit("accept", { "max-delay": "2ms" }, 4000)).toMatchObject({
      delayUs: 2000,
      notices: [
        "--max-delay 2ms is for thinned ACKs only: this kernel's own delay is 8ms (2 ticks) at the least",
      ],
    });
  });

  test("whatever the tick is, a rule without thinning never says less than 2, nor one notice too few", () => {
    const every = fc.constantFrom({}, { every: "2" }, { every: "255" });
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 200 }), fc.constantFrom(...TICKS), every, (ms, tickUs, more) => {
        const { rule, delayUs, notices } = fit("set", { delay: `${ms}ms`, ...more }, tickUs);
        const short = ms * 1000 < 2 * tickUs;
        const moved = short && !("every" in more);
        expect([delayUs, notices.length]).toEqual([moved ? 2 * tickUs : ms * 1000, short ? 1 : 0]);
        const asked = draft("set", { delay: `${ms}ms`, ...more });
        expect(rule).toEqual({ ...asked, value: [asked.value[0], delayUs] });
      }),
    );
  });

  test("a rule that this host has fitted fits", () => {
    const { rule } = fit("set", { delay: "1ms" }, 4000);
    expect(ack.verbs.set!.fit!([rule], { tickUs: 4000 })).toEqual({ drafts: [rule], notices: [] });
  });

  test("where no delay is given, or a fraction, there is nothing to say", () => {
    const quiet: [Verb, Record<string, unknown>][] = [
      ["set", { every: "1" }],
      ["set", { every: "8" }],
      ["set", { delay: "rtt/255" }],
      ["set", { every: "8", delay: "rtt/255" }],
      ["set", { value: "none" }],
      ["accept", {}],
      ["accept", { value: "none" }],
    ];
    for (const [verb, args] of quiet) {
      const { rule, notices } = fit(verb, args, 4000);
      expect([rule, notices]).toEqual([draft(verb, args), []]);
    }
    expect(ack.verbs.request!.fit).toBeUndefined();
  });
});

describe("the agent", () => {
  test("is needed for what the kernel does not do by itself, on our own side", () => {
    const needs = (verb: Verb, args: Record<string, unknown>) =>
      ack.agent!.wish(draft(verb, args)) !== undefined;
    expect(needs("set", { delay: "20ms" })).toBe(false);
    expect(needs("set", { delay: "rtt/4" })).toBe(false);
    expect(needs("set", { every: "1" })).toBe(true);
    expect(needs("set", { every: "2" })).toBe(true);
    expect(needs("set", { every: "255", delay: "20ms" })).toBe(true);
    expect(needs("accept", {})).toBe(true);
    expect(needs("accept", { "max-every": "1" })).toBe(true);
    expect(needs("request", { every: "255" })).toBe(false);
    expect(needs("request", { every: "1", tarr: true })).toBe(false);
  });

  test("a request needs nothing of this host", () => {
    expect(ack.verbs.request!.prepare).toBeUndefined();
  });
});

/** [verb, arguments, in words, as JSON] */
type Shown = [verb: Verb, args: Record<string, unknown>, text: string, json: Record<string, unknown>];
const LOCAL = { every: null, rtt_divisor: null, delay_us: null, min_acks_per_rtt: null, mark_bit: null };
const ASK = { rtt_divisor: null, tarr: false };

const SHOWN: Shown[] = [
  ["set", { every: "1" }, "every 1", { ...LOCAL, every: 1, mark_bit: 13 }],
  ["set", { every: "1", "mark-bit": "0" }, "every 1, mark bit 0", { ...LOCAL, every: 1, mark_bit: 0 }],
  ["set", { every: "8" }, "every 8", { ...LOCAL, every: 8, min_acks_per_rtt: 4 }],
  [
    "set",
    { every: "8", delay: "rtt/4" },
    "every 8, rtt/4",
    { ...LOCAL, every: 8, rtt_divisor: 4, min_acks_per_rtt: 4 },
  ],
  [
    "set",
    { every: "100", delay: "rtt/2", "min-acks-per-rtt": "0" },
    "every 100, rtt/2, min 0/rtt",
    { ...LOCAL, every: 100, rtt_divisor: 2, min_acks_per_rtt: 0 },
  ],
  [
    "set",
    { every: "8", delay: "20ms" },
    "every 8, 20ms",
    { ...LOCAL, every: 8, delay_us: 20_000, min_acks_per_rtt: 4 },
  ],
  ["set", { delay: "200ms" }, "delay 200ms", { ...LOCAL, delay_us: 200_000 }],
  ["set", { delay: "rtt/255" }, "delay rtt/255", { ...LOCAL, rtt_divisor: 255 }],
  ["request", { every: "8" }, "every 8", { ...ASK, every: 8, option: "fe067ca00008" }],
  [
    "request",
    { every: "10", delay: "rtt/4" },
    "every 10, rtt/4",
    { ...ASK, every: 10, rtt_divisor: 4, option: "fe067ca0040a" },
  ],
  [
    "request",
    { every: "8", tarr: true },
    "every 8 (TARR)",
    { ...ASK, every: 8, tarr: true, option: "fe0500ac10", capability: "fe0400ac" },
  ],
  [
    "request",
    { every: "1", tarr: true },
    "every 1 (TARR)",
    { ...ASK, every: 1, tarr: true, option: "fe0500ac00", capability: "fe0400ac" },
  ],
  ["accept", {}, "every <= 255, <= 200ms", { max_every: 255, max_delay_us: 200_000, mark_bit: 13 }],
  [
    "accept",
    { "max-every": "16", "max-delay": "50ms", "mark-bit": "31" },
    "every <= 16, <= 50ms, mark bit 31",
    { max_every: 16, max_delay_us: 50_000, mark_bit: 31 },
  ],
];

describe("a rule in words", () => {
  test.each(SHOWN)("ack %s %j: %s", (verb, args, text, json) => {
    expect(ack.describe(draft(verb, args))).toBe(text);
    expect(ack.json(draft(verb, args))).toEqual(json);
  });

  test("a delay of ticks that are no whole milliseconds", () => {
    const { rule } = fit("set", { delay: "1ms" }, 3333);
    expect(ack.describe(rule)).toBe("delay 6666us");
    expect(ack.json(rule)).toMatchObject({ delay_us: 6666 });
  });

  test("rules that differ read differently", () => {
    const texts = SHOWN.map(([verb, , text]) => `${verb} ${text}`);
    expect(new Set(texts).size).toBe(SHOWN.length);
  });
});

describe("on the command line", () => {
  const check = (verb: Verb, ...words: string[]) =>
    checkArguments(words, ack.verbs[verb]!.args, `tcpx ack ${verb}`);
  const refused = (message: string) => expect.objectContaining({ name: "TcpxError", code: 2, message });

  test("each verb has its own flags, and nothing is there to be forced", () => {
    expect(check("set", "--every", "8", "--delay", "rtt/4")).toEqual(["--every=8", "--delay=rtt/4", "--"]);
    expect(check("request", "--every=8", "--tarr")).toEqual(["--every=8", "--tarr", "--"]);
    expect(check("accept", "--max-every=8", "--max-delay", "5ms")).toEqual([
      "--max-every=8",
      "--max-delay=5ms",
      "--",
    ]);
    for (const verb of ["set", "request", "accept"] as const) {
      expect(check(verb, "none")).toEqual(["--", "none"]);
      expect(() => check(verb, "--force")).toThrow(refused("unknown flag '--force'"));
    }
  });

  test("the mark is our own business, and TARR that of a request", () => {
    expect(() => check("request", "--every", "1", "--mark-bit", "3")).toThrow(
      refused("unknown flag '--mark-bit'"),
    );
    expect(() => check("set", "--every", "8", "--tarr")).toThrow(refused("unknown flag '--tarr'"));
    expect(() => check("accept", "--every", "8")).toThrow(refused("unknown flag '--every'"));
  });

  test("what is missing or there twice is named, and a negative number is judged as one", () => {
    expect(() => check("set", "--every")).toThrow(refused("--every needs a value"));
    expect(() => check("set", "--every", "8", "--every", "9")).toThrow(refused("--every is given twice"));
    expect(check("set", "--every", "-5")).toEqual(["--every=-5", "--"]);
  });
});
