// SPDX-License-Identifier: MIT
// A version in the place of another: when rules may go on.
import { expect, test } from "bun:test";
import { readManifest } from "../../cli/manifest/read.ts";
import { isOlder, successionProblem } from "../../cli/packages/successor.ts";
import type { Rule } from "../../cli/policy/rule.ts";

const TEXT = `schema = 1
api = 1
name = "pace"
version = "1.0.0"
summary = "Paces"
title = "x"
[values.rate]
type = "rate"
text = "At most"
range = ["64k", "1G"]
[verbs.set]
kind = "local"
summary = "Pace"
word = "rate"
`;
const read = (text: string) => readManifest(text, "x");
const changed = (from: string, to: string) => read(TEXT.replace(from, to));
const before = read(TEXT);
const rule = (value: number, more: Partial<Rule> = {}): Rule => ({
  ...{ ext: "pace", kind: "local", netns: null, none: false, force: false, value: [value, 0] },
  selector: { direction: "both", family: 0, address: new Uint8Array(16), prefix: 0, port: 0 },
  ...more,
});
const RATE = 1_250_000;

test("rules go on where the new version reads them as the old one did", () => {
  const same = [changed("Paces", "Paces better"), changed('"64k"', '"32k"'), changed('"1.0.0"', '"2.0.0"')];
  for (const after of same) expect(successionProblem(before, after, [rule(RATE)])).toBeUndefined();
});

test("and not where a word would be another value, another unit, or in another place", () => {
  const another = [
    changed('type = "rate"', 'type = "bytes"'),
    changed('text = "At most"', 'text = "At most"\nword = 1'),
    read(TEXT.replace("[values.rate]", "[values.pace]").replace('word = "rate"', 'word = "pace"')),
    read(
      TEXT.replace(
        "[verbs.set]",
        '[values.burst]\ntype = "switch"\ntext = "x"\n[verbs.set]\nflags = ["burst"]',
      ),
    ),
  ];
  for (const after of another)
    expect(successionProblem(before, after, [rule(RATE)])).toMatch(/^its value \w+ is another$/);
});

test("nor where a rule is out of its range, or of a kind that it does not have", () => {
  const least = changed('"64k"', '"20M"');
  expect(successionProblem(before, least, [rule(RATE)])).toContain(`a rule has ${RATE} for rate`);
  expect(successionProblem(undefined, least, [rule(RATE)])).toContain("a rule has");
  expect(successionProblem(before, least, [rule(0, { none: true })])).toBeUndefined();
  expect(successionProblem(before, before, [rule(RATE, { kind: "ask" })])).toBe(
    "it has no rules of kind ask",
  );
});

test("without rules any version may come", () => {
  expect(successionProblem(before, changed('type = "rate"', 'type = "bytes"'), [])).toBeUndefined();
});

test("versions are compared by their numbers", () => {
  const pairs = [
    ["1.0.0", "1.0.1"],
    ["1.9.0", "1.10.0"],
    ["1.2.3", "2.0.0"],
  ] as const;
  for (const [old, now] of pairs) expect([isOlder(old, now), isOlder(now, old)]).toEqual([true, false]);
  expect([isOlder("1.0.0", "1.0.0"), isOlder("1.0.0-rc.1", "1.0.0")]).toEqual([false, false]);
});
