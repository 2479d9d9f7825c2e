// SPDX-License-Identifier: MIT
// `tcpx uto`: from arguments to rules, and from rules to text.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { checkArguments } from "../../cli/base/args.ts";
import { formatDuration } from "../../cli/base/duration.ts";
import { uto } from "../../cli/extensions/uto.ts";
import { decodeUto, encodeUto, UTO_MAX_MS } from "../../cli/wire/uto.ts";

const set = (args: Record<string, unknown>) => uto.verbs.set!.draft(args);
const accept = (args: Record<string, unknown>) => uto.verbs.accept!.draft(args);

const refused = (details: object) => expect.objectContaining({ name: "TcpxError", code: 2, ...details });
const EXEMPT = { none: true, force: false, value: [0, 0] };

describe("uto set", () => {
  test("a duration is done here and told to the peer", () => {
    expect(set({ duration: "30s" })).toEqual({
      drafts: [
        { kind: "local", none: false, force: false, value: [30_000, 0] },
        { kind: "ask", none: false, force: false, value: [30_000, 30] },
      ],
      notices: [],
    });
  });

  test("the local value is exact, the stated one is rounded up", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: UTO_MAX_MS }), (ms) => {
        const [local, ask] = set({ duration: formatDuration(ms) }).drafts;
        expect(local!.value).toEqual([ms, 0]);
        expect(ask!.value).toEqual([ms, encodeUto(ms)]);
        expect(decodeUto(ask!.value[1])).toBeGreaterThanOrEqual(ms);
      }),
    );
  });

  test("--no-advertise: a wider rule's value is not stated here either", () => {
    const { drafts } = set({ duration: "5s", advertise: false, force: true });
    expect(drafts).toEqual([
      { kind: "local", none: false, force: true, value: [5000, 0] },
      { kind: "ask", ...EXEMPT } as never,
    ]);
  });

  test("--force is about our own side: the application's choice is not the peer's business", () => {
    const [local, ask] = set({ duration: "5s", force: true }).drafts;
    expect([local!.force, ask!.force]).toEqual([true, false]);
  });

  test("none exempts both kinds", () => {
    expect(set({ duration: "none" })).toEqual({
      drafts: [{ kind: "local", ...EXEMPT } as never, { kind: "ask", ...EXEMPT } as never],
      notices: [],
    });
  });

  test("none with a flag that it would drop is an error", () => {
    for (const more of [{ force: true }, { advertise: false }]) {
      expect(() => set({ duration: "none", ...more })).toThrow(refused({ value: "none" }));
    }
  });

  test("a timeout below a second is set, with a notice that says why it is doubtful", () => {
    expect(set({ duration: "999ms" }).notices).toEqual([expect.stringMatching(/999ms.*retransmission/)]);
    expect(set({ duration: "1s" }).notices).toEqual([]);
  });

  test.each(["", "0s", "30", "None", "off", "32768min", "-5s"])(
    "%j is refused, and both forms are named",
    (text) => {
      expect(() => set({ duration: text })).toThrow(
        refused({
          value: text,
          message: expect.stringContaining(`DURATION '${text}'`),
          hint: expect.stringMatching(/1ms to 32767min.*none/),
        }),
      );
    },
  );
});

describe("uto accept", () => {
  test("the limits of RFC 5482 and of Linux, when none are given", () => {
    expect(accept({})).toEqual({
      drafts: [{ kind: "accept", none: false, force: false, value: [100_000, 900_000] }],
      notices: [],
    });
  });

  test("limits of one's own, one or both", () => {
    expect(accept({ min: "10s" }).drafts[0]!.value).toEqual([10_000, 900_000]);
    expect(accept({ max: "1h" }).drafts[0]!.value).toEqual([100_000, 3_600_000]);
    expect(accept({ min: "10s", max: "1h", force: true }).drafts).toEqual([
      { kind: "accept", none: false, force: true, value: [10_000, 3_600_000] },
    ]);
  });

  test("one single value may be all that is accepted", () => {
    expect(accept({ min: "30s", max: "30s" }).drafts[0]!.value).toEqual([30_000, 30_000]);
    expect(accept({ max: "100s" }).drafts[0]!.value).toEqual([100_000, 100_000]);
  });

  test("none", () => {
    expect(accept({ value: "none" })).toEqual({
      drafts: [{ kind: "accept", ...EXEMPT } as never],
      notices: [],
    });
    for (const more of [{ min: "5s" }, { max: "5s" }, { force: true }]) {
      expect(() => accept({ value: "none", ...more })).toThrow(refused({ value: "none" }));
    }
  });

  test("a duration that is not behind a flag is told how", () => {
    expect(() => accept({ value: "30s" })).toThrow(
      refused({ value: "30s", hint: expect.stringMatching(/none.*--min.*--max/) }),
    );
  });

  test("the error of a limit names its flag", () => {
    expect(() => accept({ min: "x" })).toThrow(
      refused({ value: "x", message: "--min 'x' is not a duration" }),
    );
    expect(() => accept({ max: "0s" })).toThrow(
      refused({ value: "0s", message: "--max '0s' is out of range" }),
    );
  });
});

describe("uto accept with --min above --max", () => {
  test("both given: names both as typed, and asks for nothing that was given", () => {
    expect(() => accept({ min: "3600s", max: "1s" })).toThrow(
      refused({
        value: expect.stringMatching(/^(3600s|1s)$/),
        message: "--min 3600s is longer than --max 1s",
        hint: expect.not.stringContaining("give"),
      }),
    );
  });

  test("one given: names the default of the other, and that it is one", () => {
    expect(() => accept({ min: "1200s" })).toThrow(
      refused({
        value: "1200s",
        message: "--min 1200s is longer than --max 15min",
        hint: expect.stringMatching(/--max.*default/),
      }),
    );
    expect(() => accept({ max: "5s" })).toThrow(
      refused({
        value: "5s",
        message: "--min 100s is longer than --max 5s",
        hint: expect.stringMatching(/--min.*default/),
      }),
    );
  });
});

describe("a rule in words", () => {
  const rule = { none: false, force: false } as const;

  test("for people", () => {
    const [local, ask] = set({ duration: "90s", force: true }).drafts;
    expect([local, ask].map((draft) => uto.describe(draft!))).toEqual(["90s (force)", "90s"]);
    expect(uto.describe(accept({}).drafts[0]!)).toBe("100s..15min");
    expect(uto.describe(accept({ force: true }).drafts[0]!)).toBe("100s..15min (force)");
    expect(uto.describe(accept({ value: "none" }).drafts[0]!)).toBe("none");
  });

  test("for scripts: integer milliseconds, and the option's bytes", () => {
    expect(uto.json({ kind: "local", ...rule, value: [1500, 0] })).toEqual({ timeout_ms: 1500 });
    expect(uto.json({ kind: "ask", ...rule, value: [30_000, 30] })).toEqual({
      timeout_ms: 30_000,
      option: "1c04001e",
    });
    expect(uto.json({ kind: "ask", ...rule, value: [UTO_MAX_MS, 0xffff] })).toMatchObject({
      option: "1c04ffff",
    });
    expect(uto.json({ kind: "accept", ...rule, value: [1, 2] })).toEqual({ min_ms: 1, max_ms: 2 });
    expect(uto.json({ kind: "accept", none: true, force: false, value: [0, 0] })).toEqual({});
  });
});

test("none needs no flag in front of it: it is the word of both verbs", () => {
  for (const verb of Object.values(uto.verbs)) {
    expect(checkArguments(["none"], verb.args, "tcpx uto")).toEqual(["--", "none"]);
  }
});
