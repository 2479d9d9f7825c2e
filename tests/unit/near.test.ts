// SPDX-License-Identifier: MIT
// Rules near a place without one: which, in which order, and in words.
import { expect, test } from "bun:test";
import { missingText, nearText } from "../../cli/describe/near-text.ts";
import { nearRules, type Wanted } from "../../cli/policy/near.ts";
import type { Kind, Netns, Rule } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";

const HERE: Netns = { cookie: 1n, inode: 11 };
const THERE: Netns = { cookie: 2n, inode: 22 };

const selector = (to?: string, port?: string) => parseSelectors({ to, port })[0]!;
const rule = (to?: string, port?: string, kind: Kind = "local", netns: Netns | null = HERE): Rule => ({
  ext: "uto",
  kind,
  selector: selector(to, port),
  netns,
  none: false,
  force: false,
  value: [1, 0],
});
const wanted = (to?: string, port?: string, kind?: Kind, netns: Netns | null = HERE): Wanted => ({
  ext: "uto",
  kind,
  selector: selector(to, port),
  netns,
});
const said = (rules: Rule[], place: Wanted) => nearText(nearRules(rules, place), place);

test.each<[what: string, rules: Rule[], place: Wanted, text: string]>([
  ["another port", [rule(undefined, "80")], wanted(undefined, "81"), "there is a rule with --port 80"],
  ["no port", [rule("::1", "80")], wanted("::1"), "there is a rule with --to ::1 --port 80"],
  [
    "of all namespaces",
    [rule("::1", "80", "local", null)],
    wanted("::1", "80"),
    "there is a rule with --to ::1 --port 80 with --all-netns",
  ],
  [
    "of another namespace",
    [rule("::1", "80", "local", THERE)],
    wanted("::1", "80"),
    "there is a rule with --to ::1 --port 80 in network namespace 22",
  ],
  [
    "another kind",
    [rule("::1"), rule("::1", undefined, "ask")],
    wanted("::1", undefined, "accept"),
    "there is a rule with --to ::1 of kind local and ask",
  ],
  ["two parts differ", [rule("::1", "80")], wanted("::2", "81"), ""],
  ["another extension", [{ ...rule("::1"), ext: "iw" }], wanted("::2"), ""],
  ["none at all", [], wanted(), ""],
])("%s", (_, rules, place, text) => expect(said(rules, place)).toBe(text));

test("the nearest addresses come first, and few are named", () => {
  const rules = ["192.0.2.1", "10.0.0.0/8", "10.1.2.0/24", "::1", "10.1.0.0/16"].map((to) => rule(to));
  const { near, more } = nearRules(rules, wanted("10.1.2.3"));
  expect([near.map((one) => one.selector.prefix), more]).toEqual([[24, 16, 8], 2]);
});

test("what is missing, in words", () => {
  expect(missingText(wanted("::1", "80", "ask"), "/")).toBe(
    "there is no uto ask rule with --to ::1 --port 80",
  );
  expect(missingText(wanted(), "/a")).toBe("there is no uto rule without a selector in cgroup /a");
});
