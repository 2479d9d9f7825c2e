// SPDX-License-Identifier: MIT
// What has come of local rules by now: what was noted at the handshake, and what the socket says of it since.
import { describe, expect, test } from "bun:test";
import { extensions } from "../../cli/extensions/index.ts";
import { AckOutcome, Outcome, RuleFlag } from "../../cli/layout/layout.generated.ts";
import { encode } from "../../cli/layout/struct.ts";
import { Listed } from "../../cli/observe/listed.ts";
import { type Fields, known, listed, rules, type States, sumOf } from "../support/listed.ts";

const TICK_US = 4000;

/** The outcome of an extension on a connection that has these states and settings. */
function outcomeOf(name: string, states: States, fields: Fields = {}, tickUs = TICK_US): number {
  const list = new Listed(encode("tcpx_listed", listed(known(states, fields))), tickUs);
  const extension = extensions.find((one) => one.name === name)!;
  return extension.seen!.outcome!(list.raw(0, extension), list.around(0));
}

const { NONE, APPLIED, APPLICATION, GRANTED, LOSS, LATE, KERNEL } = Outcome;
const { ROUTES } = AckOutcome;
const ALL = [NONE, APPLIED, APPLICATION, GRANTED, LOSS, LATE, KERNEL, ROUTES];
const noted = (outcome: number, id = 1) => rules({ local: RuleFlag.SET }, { outcome, id });

describe("uto", () => {
  const of = (outcome: number, now: number, uto: States["uto"] = {}) =>
    outcomeOf("uto", { uto: { rules: noted(outcome), local_ms: 30_000, ...uto } }, { user_timeout_ms: now });

  test("holds while the socket has the rule's value", () => {
    expect(of(APPLIED, 30_000)).toBe(APPLIED);
    expect(of(APPLIED, 30_001)).toBe(APPLICATION);
    expect(of(APPLIED, 0)).toBe(APPLICATION);
  });

  test("or the value that was set, which keep-alive or a peer has made another one", () => {
    expect(of(APPLIED, 12_000, { applied_ms: 12_000 })).toBe(APPLIED);
    expect(of(APPLIED, 30_000, { applied_ms: 12_000 })).toBe(APPLICATION);
  });

  test("what was not applied stays what it was, whatever the socket has", () => {
    for (const outcome of ALL.filter((one) => one !== APPLIED)) {
      expect([of(outcome, 30_000), of(outcome, 1)]).toEqual([outcome, outcome]);
    }
  });
});

describe("cc-request", () => {
  const of = (outcome: number, congestion: string, ours_sum = sumOf("reno")) =>
    outcomeOf("cc-request", { cc_request: { rules: noted(outcome), local: 1, ours_sum } }, { congestion });

  test("holds while the socket has the congestion control that we have put there", () => {
    expect(of(APPLIED, "reno")).toBe(APPLIED);
    expect(of(APPLIED, "renp")).toBe(APPLICATION);
    expect(of(APPLIED, "")).toBe(APPLICATION);
    expect(of(APPLIED, "westwood", sumOf("westwood"))).toBe(APPLIED);
  });

  test("names of more than 8 bytes: the sum is the one of the programs", () => {
    const words = new BigUint64Array(new TextEncoder().encode("abcdefghijklmnop").buffer);
    const sum = BigInt.asUintN(64, words[0]! ^ BigInt.asUintN(64, words[1]! * 3n));
    expect(of(APPLIED, "abcdefghijklmnop", sum)).toBe(APPLIED);
    expect(of(APPLIED, "abcdefghijklmnoq", sum)).toBe(APPLICATION);
    expect(of(APPLIED, "abcdefgh", sum)).toBe(APPLICATION);
  });

  test("what was not applied stays what it was, whatever the socket has", () => {
    for (const outcome of ALL.filter((one) => one !== APPLIED)) {
      expect([of(outcome, "reno"), of(outcome, "cubic")]).toEqual([outcome, outcome]);
    }
  });
});

describe("iw", () => {
  test("is what was noted: a window is over with the first data", () => {
    const iw = extensions.find(({ name }) => name === "iw")!;
    expect(iw.seen?.outcome).toBeUndefined();
  });
});

describe("ack", () => {
  const BIT = 5;
  const of = (ack: States["ack"], fields: Fields = {}, { outcome = LOSS as number, tickUs = TICK_US } = {}) =>
    outcomeOf(
      "ack",
      { ack: { rules: noted(outcome), local: BIT << 24, rule: 1, ...ack } },
      { srtt_us: 1000, ...fields },
      tickUs,
    );

  test("a peer was granted something else, whichever rule decides and whatever the socket has", () => {
    expect(of({ bound: 1, every: 1 }, { mark: 1 << BIT })).toBe(GRANTED);
    expect(of({ bound: 1, rule: 7 })).toBe(GRANTED);
    expect(of({ bound: 1, rule: 0 })).toBe(LOSS);
  });

  test("another rule decides here, or none: what was noted", () => {
    for (const rule of [0, 7]) {
      for (const outcome of ALL) expect(of({ rule, every: 8 }, {}, { outcome })).toBe(outcome);
    }
  });

  test("at once is its mark, of the rule's bit", () => {
    expect(of({ every: 1, marked: BIT + 1 }, { mark: 1 << BIT })).toBe(APPLIED);
    expect(of({ every: 1 }, { mark: 0xffffffff })).toBe(APPLIED);
    expect(of({ every: 1, marked: BIT + 1 }, { mark: ~(1 << BIT) >>> 0 })).toBe(APPLICATION);
    const last = { local: ((31 << 24) | 1) >>> 0, every: 1 };
    expect(of(last, { mark: 0x80000000 })).toBe(APPLIED);
  });

  test("at once without a mark waits for routes, or has none", () => {
    expect(of({ every: 1, waits: 3 })).toBe(NONE);
    expect(of({ every: 1 })).toBe(ROUTES);
  });

  test("a delay is the kernel's cap, in whole ticks", () => {
    const delay = { delay_us: 20_000, applied_us: 20_000 };
    expect(of(delay, { delack_max: 5 })).toBe(APPLIED);
    expect(of(delay, { delack_max: 4 })).toBe(APPLICATION);
    expect(of(delay, { delack_max: 50 })).toBe(APPLICATION);
    expect(of({ ...delay, applied_us: 20_001 }, { delack_max: 6 })).toBe(APPLIED);
    expect(of({ ...delay, applied_us: 19_999 }, { delack_max: 5 })).toBe(APPLIED);
    expect(of({ ...delay, every: 8 }, { delack_max: 50 })).toBe(APPLICATION);
  });

  test("where the tick is not known the delay is taken for ours", () => {
    expect(of({ delay_us: 20_000, applied_us: 20_000 }, { delack_max: 50 }, { tickUs: 0 })).toBe(APPLIED);
  });

  test("thinning needs nothing of the socket", () => {
    expect(of({ every: 8 })).toBe(APPLIED);
    expect(of({ every: 8, delay_us: 20_000 }, { delack_max: 50 })).toBe(APPLIED);
    expect(of({ every: 8, divisor: 4 }, { srtt_us: 0 })).toBe(APPLIED);
    expect(of({})).toBe(APPLIED);
  });

  test("a fraction of the RTT waits for one; a delay that the kernel did not take is refused", () => {
    expect(of({ divisor: 4 }, { srtt_us: 0 })).toBe(NONE);
    expect(of({ divisor: 4 })).toBe(KERNEL);
    expect(of({ delay_us: 20_000 })).toBe(KERNEL);
    expect(of({ delay_us: 20_000, divisor: 4 }, { srtt_us: 0 })).toBe(KERNEL);
  });
});
