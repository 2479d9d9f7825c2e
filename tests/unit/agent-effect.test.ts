// SPDX-License-Identifier: MIT
// What is in the way of ACKs at once: as the bridge tells it, and as it is asked.
import { expect, test } from "bun:test";
import { effectOf, parseWays, wayText, wayTexts } from "../../cli/agent/effect.ts";
import type { Bridge } from "../../cli/bridge/bridge.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";

/** A bridge that answers so, and notes what it was asked. */
function answering(result: number, text: string) {
  const asked: { bits: number; scopes: Uint8Array; n: number }[] = [];
  const lib = {
    tcpx_routes_effect(bits: number, scopes: Uint8Array, n: number, out: Uint8Array) {
      asked.push({ bits, scopes: scopes.slice(), n });
      out.set(new TextEncoder().encode(`${text}\0rest of before`));
      return result;
    },
  } as unknown as Bridge;
  return { lib, asked };
}

test("lines of namespaces; what is none is left out", () => {
  const rule = "IPv4 rule 100 (from 10.0.0.0/8 lookup 7)";
  expect(parseWays(`4026531833 ${rule}\n7 IPv6 rule 1 (lookup 52)\n`)).toEqual([
    { netns: 4026531833, rule },
    { netns: 7, rule: "IPv6 rule 1 (lookup 52)" },
  ]);
  expect(parseWays("")).toEqual([]);
  expect(parseWays("no number\n 5 x\n9\n")).toEqual([]);
});

test("a rule of routing in a sentence", () => {
  expect(wayText("IPv4 rule 5270 (lookup 52)")).toStartWith(
    "connections that IPv4 rule 5270 (lookup 52) routes are not",
  );
});

test("of many rules the first ones, and how many more", () => {
  const rules = Array.from({ length: 30 }, (_, i) => `IPv4 rule ${i} (lookup ${i})`);
  expect(wayTexts(rules.slice(0, 5))).toEqual(rules.slice(0, 5).map(wayText));
  expect(wayTexts(rules)).toHaveLength(6);
  expect(wayTexts(rules).at(-1)).toStartWith("nor what 25 more rules of routing have");
  expect(wayTexts([])).toEqual([]);
});

test("selectors as the bridge reads them", () => {
  const { lib, asked } = answering(0, "");
  const some = [
    ...parseSelectors({ to: "10.0.0.0/8" }),
    ...parseSelectors({ from: "2001:db8::1" }),
    ...parseSelectors({}),
  ];
  expect(effectOf(lib, 0x80000000, some)).toEqual({ carries: true, ways: [] });
  const [{ bits, scopes, n }] = asked as [(typeof asked)[0]];
  expect([bits, n, scopes.length]).toEqual([0x80000000, 3, 60]);
  expect(scopes.toHex()).toBe(
    `${"04080000"}${"00000000000000000000ffff0a000000"}${"06800000"}${"20010db8000000000000000000000001"}${"00".repeat(20)}`,
  );
});

test("no more selectors than one question takes, and none at all", () => {
  const { lib, asked } = answering(0, "");
  const [one] = parseSelectors({ to: "10.0.0.0/8" });
  effectOf(lib, 1, Array(1000).fill(one));
  effectOf(lib, 1, []);
  expect(asked.map(({ n }) => n)).toEqual([256, 0]);
});

test("rules in the way, a refusal, and no answer", () => {
  expect(effectOf(answering(2, "one\ntwo\n").lib, 1, [])).toEqual({ carries: true, ways: ["one", "two"] });
  expect(effectOf(answering(-95, "all of it").lib, 1, [])).toEqual({ carries: false, why: "all of it" });
  for (const errno of [1, 5, 110]) expect(effectOf(answering(-errno, "").lib, 1, [])).toBeUndefined();
});
