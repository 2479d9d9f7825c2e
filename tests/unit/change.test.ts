// SPDX-License-Identifier: MIT
// What a command does to the rules of a scope.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { byPlace, type Change, exactRules, isChange, setRules, unsetRules } from "../../cli/policy/change.ts";
import { KINDS, type Rule, ruleKey, sameEffect, samePlace } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";

const HERE = { cookie: 5n, inode: 4_026_531_840 };
const THERE = { cookie: 6n, inode: 4_026_532_000 };

const SELECTORS = parseSelectors({ to: "10.0.0.0/8,10.0.0.0/16,::/0,0.0.0.0/0", port: "22,443" }).concat(
  parseSelectors({ from: "10.0.0.0/8" }),
  parseSelectors({}),
);
const [A, B] = SELECTORS as [Rule["selector"], Rule["selector"]];

function rule(more: Partial<Rule> = {}): Rule {
  const plain = { ext: "uto", kind: "local", selector: A, netns: null, none: false, force: false } as const;
  return { ...plain, value: [30_000, 0], ...more };
}

const anyRule = fc.record<Rule>({
  ext: fc.constantFrom("uto", "other"),
  kind: fc.constantFrom(...KINDS),
  selector: fc.constantFrom(...SELECTORS),
  netns: fc.constantFrom(null, HERE, THERE),
  none: fc.boolean(),
  force: fc.boolean(),
  value: fc.tuple(fc.nat(2), fc.nat(2)),
});
/** One rule per place, as a scope holds them and as one command sets them. */
const ruleSet = fc.uniqueArray(anyRule, { selector: ruleKey, maxLength: 12 });

const text = (change: Change) =>
  JSON.stringify(change, (_, value) => (typeof value === "bigint" ? `${value}` : value));

test("rules at the same place are those of the same key", () => {
  fc.assert(
    fc.property(anyRule, anyRule, (a, b) => {
      expect(samePlace(a, b)).toBe(ruleKey(a) === ruleKey(b));
      expect(samePlace(a, { ...a, selector: { ...a.selector } })).toBe(true);
    }),
  );
});

describe("setRules", () => {
  test("afterwards exactly the wanted rules stand at their places, and the others as before", () => {
    fc.assert(
      fc.property(ruleSet, ruleSet, (present, wanted) => {
        const { rules } = setRules(present, wanted);
        const places = new Set(wanted.map(ruleKey));
        expect(new Set(rules.map(ruleKey)).size).toBe(rules.length);
        const same = (a: Rule, b: Rule) => samePlace(a, b) && sameEffect(a, b);
        for (const rule of wanted) expect(rules.some((other) => same(other, rule))).toBe(true);
        const untouched = present.filter((rule) => !places.has(ruleKey(rule)));
        expect(rules.filter((rule) => !places.has(ruleKey(rule)))).toEqual(untouched);
        expect(rules).toHaveLength(untouched.length + wanted.length);
      }),
    );
  });

  test("every wanted rule is either added or unchanged; a replaced one was there", () => {
    fc.assert(
      fc.property(ruleSet, ruleSet, (present, wanted) => {
        const { added, unchanged, replaced, removed } = setRules(present, wanted);
        expect(added.length + unchanged.length).toBe(wanted.length);
        expect(removed).toEqual([]);
        for (const old of replaced) expect(present).toContain(old);
        const inTheirPlace = added.filter((rule) => replaced.some((old) => ruleKey(old) === ruleKey(rule)));
        expect(replaced.map(ruleKey)).toEqual(inTheirPlace.map(ruleKey));
      }),
    );
  });

  test("a second time changes nothing, in the same words", () => {
    fc.assert(
      fc.property(ruleSet, ruleSet, (present, wanted) => {
        const first = setRules(present, wanted);
        const second = setRules(first.rules, wanted);
        expect(isChange(second)).toBe(false);
        expect(second.rules).toEqual(first.rules);
        expect(second.unchanged).toHaveLength(wanted.length);
        expect(text(setRules(first.rules, wanted))).toBe(text(second));
      }),
    );
  });

  test("what was given is not modified", () => {
    const [present, wanted] = [[rule()], [rule({ value: [1, 0] })]];
    const before = structuredClone({ present, wanted });
    setRules(present, wanted);
    expect({ present, wanted }).toEqual(before);
  });

  test("a rule is replaced as a whole, in its place", () => {
    const present = [rule(), rule({ selector: B })];
    const wanted = rule({ force: true, value: [60_000, 0] });
    const change = setRules(present, [wanted]);
    expect(change.rules).toEqual([wanted, present[1]!]);
    expect(change.replaced).toEqual([present[0]!]);
    expect(change.added).toEqual([wanted]);
  });

  test("every field of a rule counts as a difference", () => {
    for (const more of [
      { none: true },
      { force: true },
      { value: [1, 0] },
      { value: [30_000, 1] },
    ] as const) {
      expect(setRules([rule()], [rule(more)]).replaced).toHaveLength(1);
    }
  });

  test("extension, kind, selector and namespace are the place", () => {
    const places: Partial<Rule>[] = [
      { ext: "other" },
      { kind: "ask" },
      { selector: B },
      { selector: { ...A, direction: "from" } },
      { netns: HERE },
    ];
    for (const more of places) expect(setRules([rule()], [rule(more)]).rules).toHaveLength(2);
  });

  test("a namespace is known by its cookie; its inode number may be used again", () => {
    const old = rule({ netns: HERE });
    expect(setRules([old], [rule({ netns: { ...HERE, inode: 1 } })]).unchanged).toHaveLength(1);
    expect(setRules([old], [rule({ netns: { ...THERE, inode: HERE.inode } })]).rules).toHaveLength(2);
  });
});

describe("unsetRules", () => {
  const present = KINDS.flatMap((kind) => [
    rule({ kind }),
    rule({ kind, selector: B }),
    rule({ kind, netns: HERE }),
    rule({ kind, ext: "other" }),
  ]);

  test("no kind means all kinds at that selector", () => {
    const change = unsetRules(present, { ext: "uto", selectors: [A], netns: null });
    expect(change.removed).toEqual(KINDS.map((kind) => rule({ kind })));
    expect(change.rules).toEqual(present.filter((r) => !change.removed.includes(r)));
  });

  test("one kind only", () => {
    const change = unsetRules(present, { ext: "uto", kind: "ask", selectors: [A, B], netns: null });
    expect(change.removed).toEqual([rule({ kind: "ask" }), rule({ kind: "ask", selector: B })]);
  });

  test("the rule for one namespace is not the rule for all of them", () => {
    const change = unsetRules(present, { ext: "uto", selectors: [A], netns: HERE });
    expect(change.removed).toEqual(KINDS.map((kind) => rule({ kind, netns: HERE })));
  });

  test("no selectors mean all, in every namespace, but of this extension only", () => {
    const change = unsetRules(present, { ext: "uto", netns: HERE });
    expect(change.rules).toEqual(present.filter((r) => r.ext === "other"));
  });

  test("a selector is meant exactly, not what it covers", () => {
    const change = unsetRules(present, { ext: "uto", selectors: parseSelectors({}), netns: null });
    expect(isChange(change)).toBe(false);
    expect(change.rules).toEqual(present);
  });

  test("nothing is lost, nothing is invented, and a second time changes nothing", () => {
    const unset = fc.record({
      ext: fc.constantFrom("uto", "other"),
      kind: fc.constantFrom(undefined, ...KINDS),
      selectors: fc.option(fc.subarray(SELECTORS), { nil: undefined }),
      netns: fc.constantFrom(null, HERE),
    });
    fc.assert(
      fc.property(ruleSet, unset, (present, unset) => {
        const change = unsetRules(present, unset);
        expect([...change.rules, ...change.removed].toSorted(byKey)).toEqual(present.toSorted(byKey));
        for (const { ext, kind } of change.removed) {
          expect([ext, kind]).toEqual([unset.ext, unset.kind ?? kind]);
        }
        expect(change.added.concat(change.replaced, change.unchanged)).toEqual([]);
        expect(isChange(unsetRules(change.rules, unset))).toBe(false);
      }),
    );
  });

  test("takes back what was set", () => {
    fc.assert(
      fc.property(
        ruleSet,
        fc.constantFrom(...SELECTORS),
        fc.constantFrom(...KINDS),
        (present, selector, kind) => {
          const clear = unsetRules(present, { ext: "uto", kind, selectors: [selector], netns: null }).rules;
          const set = setRules(clear, [rule({ kind, selector })]);
          const back = unsetRules(set.rules, { ext: "uto", kind, selectors: [selector], netns: null });
          expect(back.rules).toEqual(clear);
        },
      ),
    );
  });
});

describe("exactRules", () => {
  test("afterwards there are the wanted rules, and what is spared where nothing else is wanted", () => {
    fc.assert(
      fc.property(ruleSet, ruleSet, (present, wanted) => {
        const isSpared = ({ netns }: Rule) => netns === THERE;
        const change = exactRules(present, byPlace(wanted), isSpared);
        const places = new Set(wanted.map(ruleKey));
        const rest = present.filter((old) => !places.has(ruleKey(old)));
        expect(change.rules.toSorted(byKey)).toEqual([...wanted, ...rest.filter(isSpared)].toSorted(byKey));
        expect(change.removed).toEqual(rest.filter((old) => !isSpared(old)));
        expect([...change.added, ...change.unchanged].toSorted(byKey)).toEqual(wanted.toSorted(byKey));
        expect(isChange(exactRules(change.rules, byPlace(wanted), isSpared))).toBe(false);
      }),
    );
  });
});

function byKey(a: Rule, b: Rule): number {
  return ruleKey(a) < ruleKey(b) ? -1 : 1;
}
