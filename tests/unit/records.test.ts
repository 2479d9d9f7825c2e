// SPDX-License-Identifier: MIT
// Rules as the bytes of the `rules` map.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { ruleJson } from "../../cli/describe/rules.ts";
import { extensionOf, extensions } from "../../cli/extensions/index.ts";
import { placeRules } from "../../cli/extensions/place.ts";
import { Ext, RuleFlag } from "../../cli/layout/layout.generated.ts";
import { decode, sizeOf } from "../../cli/layout/struct.ts";
import { decodeRules, encodeRules, recordSize } from "../../cli/loader/records.ts";
import { KINDS, type Rule, VALUE_WORDS, valueWords } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { ALGORITHMS, DEFAULT_SITE } from "../../cli/wire/site.ts";

const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const address = fc.uint8Array({ minLength: 16, maxLength: 16 });

const anyRule = fc.record<Rule>({
  ext: fc.constantFrom(...extensions.map(({ name }) => name)),
  kind: fc.constantFrom(...KINDS),
  selector: fc.record({
    direction: fc.constantFrom("both" as const, "to" as const, "from" as const),
    family: fc.constantFrom(0 as const, 4 as const, 6 as const),
    address,
    prefix: fc.nat(128),
    port: fc.nat(65_535),
  }),
  netns: fc.option(fc.record({ cookie: fc.bigInt({ min: 1n, max: 2n ** 64n - 1n }), inode: u32 })),
  none: fc.boolean(),
  force: fc.boolean(),
  value: fc
    .tuple(u32, u32, fc.array(u32, { maxLength: VALUE_WORDS - 2 }))
    .map(([a, b, more]) => [a, b, ...more.slice(0, more.findLastIndex((word) => word !== 0) + 1)] as const),
});

describe("rules", () => {
  test("survive encoding and decoding, in order", () => {
    fc.assert(
      fc.property(fc.array(anyRule, { maxLength: 10 }), (rules) => {
        const bytes = encodeRules(rules);
        const size = recordSize(valueWords(rules));
        expect(bytes).toHaveLength(rules.length * size);
        expect(decodeRules(bytes, rules.length, size)).toEqual(rules);
      }),
    );
  });

  test("no more than were asked for are read", () => {
    const [rule] = fc.sample(anyRule, 1);
    expect(decodeRules(encodeRules([rule!, rule!]), 1, recordSize(valueWords([rule!])))).toEqual([rule!]);
    expect(decodeRules(encodeRules([]), 0)).toEqual([]);
  });

  test("a record is readable by itself", () => {
    const [selector] = parseSelectors({ to: "10.0.0.0/8", port: "443" });
    const netns = { cookie: 2n ** 63n + 1n, inode: 4_026_531_840 };
    const bytes = encodeRules([
      {
        ext: "uto",
        kind: "accept",
        selector: selector!,
        netns,
        none: false,
        force: true,
        value: [1, 0xffff_ffff],
      },
    ]);
    const whole = new Uint8Array(sizeOf("tcpx_rule_record"));
    whole.set(bytes); // what a record lacks is 0
    expect(decode("tcpx_rule_record", whole)).toEqual({
      ext: 0,
      kind: 2,
      flags: RuleFlag.SET | RuleFlag.FORCE,
      direction: 1,
      family: 4,
      prefix: 8,
      port: 443,
      value: [1, 0xffff_ffff],
      netns_cookie: 2n ** 63n + 1n,
      netns_inode: 4_026_531_840,
      reserved: 0,
      address: selector!.address,
      more: Array(VALUE_WORDS - 2).fill(0),
    });
  });

  test("what the verbs draft survives, for every extension, kind and direction", () => {
    const drafts: [name: string, verb: string, args: Record<string, unknown>][] = [
      ["uto", "set", { duration: "32767min", force: true }],
      ["uto", "accept", { value: "none" }],
      ["cc-request", "set", { algorithm: "vegas" }],
      ["cc-request", "set", { algorithm: "highspeed", local: true, force: true }],
      ["cc-request", "accept", { algorithms: ALGORITHMS.join() }],
      ["iw", "set", { segments: "1" }],
      ["iw", "set", { segments: "none", local: true }],
      ["iw", "accept", { max: "1024" }],
      ["ack", "set", { every: "255", delay: "rtt/255", "min-acks-per-rtt": "255" }],
      ["ack", "set", { every: "1", "mark-bit": "31" }],
      ["ack", "request", { every: "127", tarr: true }],
      ["ack", "accept", { "max-delay": "1ms", "mark-bit": "31" }],
    ];
    const rules = drafts.flatMap(([ext, verb, args]) => {
      const extension = extensionOf({ ext });
      return placeRules(
        extension,
        parseSelectors({ port: "443" }),
        extension.verbs[verb]!.draft(args).drafts,
        null,
      );
    });
    expect(new Set(rules.map(({ ext, kind }) => `${ext} ${kind}`)).size).toBe(
      extensions.length * KINDS.length,
    );
    expect(new Set(rules.map(({ selector }) => selector.direction))).toEqual(new Set(["to", "from", "both"]));
    const read = decodeRules(encodeRules(rules), rules.length);
    expect(read).toEqual(rules);
    const json = (rule: Rule) => ruleJson(rule, DEFAULT_SITE);
    expect(read.map(json)).toEqual(rules.map(json));
  });

  test("a record of an extension that this tcpx does not have is an error, not another extension", () => {
    const [rule] = fc.sample(anyRule, 1);
    const bytes = encodeRules([rule!]);
    bytes[0] = 200;
    expect(() => decodeRules(bytes, 1)).toThrow("200");
  });

  test("nor is one of a kind that its extension does not have, or cannot have", () => {
    const [rule] = fc.sample(anyRule, 1);
    const bytes = encodeRules([rule!]);
    for (const kind of [KINDS.length, 31, 255]) {
      bytes[1] = kind;
      expect(() => decodeRules(bytes, 1)).toThrow(`number ${kind} is no kind of ${rule!.ext} rules`);
    }
    expect(() => encodeRules([{ ...rule!, kind: "colour" }])).toThrow("no rules of kind colour");
  });

  test("the registry: names and ids are unique", () => {
    expect(new Set(extensions.map(({ name }) => name)).size).toBe(extensions.length);
    expect(extensions.map(({ id }) => id).toSorted()).toEqual([...extensions.keys()]);
    expect(extensions.map(({ name, id }) => [name, id])).toEqual([
      ["uto", Ext.UTO],
      ["cc-request", Ext.CC_REQUEST],
      ["iw", Ext.IW],
      ["ack", Ext.ACK],
    ]);
    expect(extensions).toHaveLength(Object.keys(Ext).length);
  });
});
