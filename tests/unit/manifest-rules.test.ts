// SPDX-License-Identifier: MIT
// Rules of extensions that come from manifests: drafted, spelled, told, whatever their values are.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { flagArg } from "../../cli/base/args.ts";
import type { RuleDraft } from "../../cli/extensions/types.ts";
import { extensionFrom } from "../../cli/manifest/extension.ts";
import { readManifest } from "../../cli/manifest/read.ts";
import type { Manifest, ValueSpec, ValueType } from "../../cli/manifest/types.ts";
import { parseValue, textOf } from "../../cli/manifest/values.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";
import { EVERY, GRADE, PACE } from "../support/manifests.ts";
import { refusal } from "../support/refusal.ts";

const manifestOf = (text: string) => readManifest(text, "extension.toml");
const extensionOf = (text: string) => extensionFrom(manifestOf(text), 8);

/** A word that a value may have. */
function wordOf({ type, least, most, choices }: ValueSpec): fc.Arbitrary<number> {
  if (choices) return fc.constantFrom(...Object.values(choices));
  return type === "switch" ? fc.constantFrom(0, 1) : fc.integer({ min: least, max: most });
}

/** A rule that a verb makes. */
function ruleOf({ verbs, values }: Manifest): fc.Arbitrary<RuleDraft> {
  const size = Math.max(2, ...values.map(({ word }) => word + 1));
  return fc.constantFrom(...verbs).chain((verb) => {
    const used = values.filter(({ name }) => name === verb.word || verb.flags.includes(name));
    return fc.record({
      kind: fc.constantFrom(verb.kind, ...(verb.orLocal ? ["local" as const] : [])),
      none: fc.constant(false),
      force: verb.force ? fc.boolean() : fc.constant(false),
      value: fc.tuple(...used.map(wordOf)).map((words) => {
        const value = Array<number>(size).fill(0);
        used.forEach(({ word }, i) => {
          value[word] = words[i]!;
        });
        return value as unknown as RuleDraft["value"];
      }),
    });
  });
}

describe.each([
  ["pace", PACE],
  ["grade", GRADE],
  ["every", EVERY],
])("%s", (name, text) => {
  const [manifest, extension] = [manifestOf(text), extensionOf(text)];

  test("what a rule is spelled as makes that rule", () => {
    fc.assert(
      fc.property(ruleOf(manifest), (rule) => {
        const spellings = extension.spell(rule, DEFAULT_SITE);
        expect(spellings).toHaveLength(1);
        const [{ verb, args }] = spellings as [(typeof spellings)[0]];
        expect(extension.verbs[verb]!.draft(args).drafts).toEqual([rule]);
      }),
    );
  });

  test("what a rule ends with may be zero, and is not kept: it is told the same", () => {
    fc.assert(
      fc.property(ruleOf(manifest), (rule) => {
        const value = [...rule.value];
        while (value.length > 2 && value.at(-1) === 0) value.pop();
        const short = { ...rule, value: value as unknown as RuleDraft["value"] };
        expect(extension.describe(short)).toBe(extension.describe(rule));
        expect(extension.json(short)).toEqual(extension.json(rule));
        expect(extension.spell(short)).toEqual(extension.spell(rule));
      }),
    );
  });

  test("it is told in one line of plain letters, and as JSON with a member for each value", () => {
    fc.assert(
      fc.property(ruleOf(manifest), (rule) => {
        expect(extension.describe(rule)).toMatch(/^[\x20-\x7e]+$/);
        const json = extension.json(rule);
        expect(JSON.parse(JSON.stringify(json))).toEqual(json);
        expect(Object.values(json)).not.toContain(undefined);
      }),
    );
  });

  test("an exemption of each kind is spelled, too", () => {
    for (const kind of Object.values(extension.verbs).flatMap(({ kinds }) => kinds)) {
      const rule: RuleDraft = { kind, none: true, force: false, value: [0, 0] };
      const [{ verb, args }] = extension.spell(rule) as [{ verb: string; args: Record<string, unknown> }];
      expect([extension.verbs[verb]!.draft(args).drafts, flagArg(args, "force")]).toEqual([[rule], false]);
    }
  });

  test("a kind of rule that no verb makes is told by its words, and removed like others", () => {
    const rule: RuleDraft = { kind: "other", none: false, force: false, value: [7, 8] };
    expect([name, extension.describe(rule), extension.json(rule), extension.spell(rule)]).toEqual([
      ...[name, "7 8", { words: [7, 8] }, []],
    ]);
  });
});

test("rules in words, and for scripts", () => {
  const every = extensionOf(EVERY);
  const args = {
    count: "5",
    idle: "1min",
    gap: "20us",
    rate: "5M",
    room: "2k",
    mode: "slow",
    loud: true,
    force: true,
  };
  const [rule] = every.verbs.set!.draft(args).drafts;
  expect(every.describe(rule!)).toBe(
    "5 segments, idle 1min, gap 20us, rate 5M, room 2k, mode slow, loud (force)",
  );
  expect(every.json(rule!)).toEqual({
    ...{ count: 5, idle_ms: 60_000, gap_us: 20, rate_bytes_per_second: 625_000, room_bytes: 2048 },
    ...{ mode: "slow", loud: true },
  });
  const [usual] = every.verbs.set!.draft({ count: "5" }).drafts;
  expect(usual!.value).toEqual([5, 30_000, 1500, 125_000, 65_536, 1, 0]);
  const grade = extensionOf(GRADE);
  const [asks] = grade.verbs.set!.draft({ priority: "6" }).drafts;
  const moved = { ...DEFAULT_SITE, exids: { "grade-ask": 0x1234 } };
  expect([grade.json(asks!), grade.json(asks!, moved)]).toEqual([
    { priority: 6, option: "fe067d000006" },
    { priority: 6, option: "fe0612340006" },
  ]);
  const [grants] = grade.verbs.accept!.draft({ priority: "4" }).drafts;
  expect([grade.describe(grants!), grade.json(grants!)]).toEqual(["<= 4", { priority: 4 }]);
});

test("options on the wire have words", () => {
  const say = (text: string, at: number, ...payload: number[]) =>
    extensionOf(text).options?.[at]?.words(new Uint8Array(payload), DEFAULT_SITE);
  expect([say(GRADE, 0, 0, 6), say(GRADE, 1, 0, 4), say(GRADE, 1, 255, 255), say(GRADE, 0, 1)]).toEqual([
    ...["grade asks for 6", "grade grants 4", "grade refused", undefined],
  ]);
  expect([say(EVERY, 0), say(EVERY, 0, 0, 9), say(EVERY, 0, 1, 2, 3)]).toEqual([
    ...["every", "every 9 segments", "every 010203"],
  ]);
});

const spec = (type: ValueType, of: Partial<ValueSpec> = {}): ValueSpec => ({
  ...{ name: "x", type, text: "x", hint: "X", word: 0, least: 0, most: 0xffff_ffff },
  ...of,
});

test.each([
  spec("integer"),
  spec("duration", { unit: "ms" }),
  spec("duration", { unit: "us" }),
  spec("rate"),
  spec("bytes"),
])("every word of $type $unit is printed and read as itself", (value) => {
  fc.assert(
    fc.property(fc.oneof(fc.nat(0xffff_ffff), fc.constantFrom(0, 1, 0xffff_ffff)), (word) => {
      expect(parseValue(value, textOf(value, word), "x")).toBe(word);
    }),
  );
});

test.each<[ValueSpec, string, string]>([
  [spec("integer", { most: 9 }), "10", "--x '10' is out of range; accepted is 0 to 9"],
  [spec("integer", { most: 9 }), "1.5", "--x '1.5' is not a whole number; accepted is 0 to 9"],
  [spec("integer"), "4294967296", "--x '4294967296' is out of range; accepted is 0 to 4294967295"],
  [
    spec("duration", { unit: "ms", most: 60_000 }),
    "30",
    "--x '30' is not a duration; did you mean 30s? accepted is 0ms to 1min, such as 500ms, 30s, 2min, 1h",
  ],
  [
    spec("duration", { unit: "ms" }),
    "2000h",
    "--x '2000h' is out of range; accepted is 0ms to 4294967295ms, such as 500ms, 30s, 2min, 1h",
  ],
  [
    spec("duration", { unit: "us", most: 1_000_000 }),
    "2s",
    "--x '2s' is out of range; accepted is 0ms to 1s, such as 500ms, 30s, 2min, 1h",
  ],
  [
    spec("rate", { most: 125_000 }),
    "1mbit",
    "--x '1mbit' is not a rate; did you mean 1M? accepted is 0 to 1M, such as 10M (bits per second, in powers of 1000)",
  ],
  [
    spec("bytes"),
    "4G",
    "--x '4G' is out of range; accepted is 0 to 4294967295, such as 64k (bytes, in powers of 1024)",
  ],
  [
    spec("choice", { choices: { fast: 1, slow: 2 } }),
    "slwo",
    "--x 'slwo' is not one of its words; did you mean slow? accepted is fast, slow",
  ],
  [
    spec("choice", { choices: { fast: 1 } }),
    "toString",
    "--x 'toString' is not one of its words; accepted is fast",
  ],
])("%o: '%s' is refused", (value, text, what) => {
  const { message, hint } = refusal(() => parseValue(value, text, "--x"));
  expect(`${message}; ${hint}`).toBe(what);
});
