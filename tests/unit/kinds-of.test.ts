// SPDX-License-Identifier: MIT
// Which kinds of rules a scope has for the connections of a direction: what is missing there, programs leave out.
import { expect, test } from "bun:test";
import { extensionOf, extensions, numbersOf } from "../../cli/extensions/index.ts";
import { kindsOf } from "../../cli/loader/profiles.ts";
import type { Rule } from "../../cli/policy/rule.ts";

const DIRECTIONS = ["to", "from"] as const;

const rule = (ext: string, kind: Rule["kind"], direction: Rule["selector"]["direction"]): Rule => ({
  ext,
  kind,
  selector: { direction, family: 0, address: new Uint8Array(16), prefix: 0, port: 0 },
  netns: null,
  none: false,
  force: false,
  value: [1, 2],
});

const has = (rules: readonly Rule[], of: Rule) =>
  DIRECTIONS.filter((direction) => {
    const { id, kind } = numbersOf(of);
    return kindsOf(rules, direction)[id]! & (1 << kind);
  });

test("a rule is of the direction that it names, and of both where it names none", () => {
  for (const { name } of extensions) {
    const [ask, local, accept] = [
      rule(name, "ask", "to"),
      rule(name, "local", "both"),
      rule(name, "accept", "from"),
    ];
    const all = [ask, local, accept];
    expect([has(all, ask), has(all, local), has(all, accept)]).toEqual([["to"], ["to", "from"], ["from"]]);
    expect(has([ask], accept)).toEqual([]);
  }
});

test("extensions have their own bits", () => {
  const [first, second] = extensions.map(({ name }) => name);
  const kinds = kindsOf([rule(first!, "ask", "to")], "to");
  expect(kinds[extensionOf({ ext: first! }).id]).not.toBe(0);
  expect(kinds[extensionOf({ ext: second! }).id]).toBe(0);
});
