// SPDX-License-Identifier: MIT
// The look-up table against a naive search: what the kernel finds with two look-ups, as
// embedded-bpf/policy.bpf.h does them on the bytes of the maps, is what the rules say.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { extensions } from "../../cli/extensions/index.ts";
import { Direction as D, RuleFlag } from "../../cli/layout/layout.generated.ts";
import { decode, sizeOf } from "../../cli/layout/struct.ts";
import { encodeKeys, encodeNamespaces } from "../../cli/loader/records.ts";
import { setRules } from "../../cli/policy/change.ts";
import { flatten, type Table } from "../../cli/policy/flatten.ts";
import { KINDS, type Rule, type Selector } from "../../cli/policy/rule.ts";
import { policyMaps, type ReadRule } from "../support/policy-maps.ts";

interface Connection {
  direction: "to" | "from";
  family: 4 | 6;
  address: Uint8Array;
  port: number;
  cookie: bigint;
}

const bitsOf = ({ family, prefix }: Selector) => (family === 4 ? prefix + 96 : prefix);

function samePrefix(a: Uint8Array, b: Uint8Array, bits: number): boolean {
  const bit = (bytes: Uint8Array, i: number) => (bytes[i >> 3]! >> (7 - (i & 7))) & 1;
  for (let i = 0; i < bits; i++) if (bit(a, i) !== bit(b, i)) return false;
  return true;
}

/** The specification: longest prefix, then exact port, then own namespace, own family, one direction. */
function naive(rules: Rule[], c: Connection, ext: string, kind: string): Rule | undefined {
  const matching = rules.filter(
    ({ ext: e, kind: k, selector: s, netns }) =>
      e === ext &&
      k === kind &&
      (s.direction === "both" || s.direction === c.direction) &&
      (s.family === 0 || s.family === c.family) &&
      (s.port === 0 || s.port === c.port) &&
      (netns === null || netns.cookie === c.cookie) &&
      samePrefix(s.address, c.address, bitsOf(s)),
  );
  const order = ({ selector: s, netns }: Rule) => [
    s.prefix,
    Number(s.port !== 0),
    Number(netns !== null),
    Number(s.family !== 0),
    Number(s.direction !== "both"),
  ];
  return matching.sort((a, b) => {
    const [x, y] = [order(a), order(b)];
    const at = x.findIndex((n, i) => n !== y[i]);
    return at < 0 ? 0 : y[at]! - x[at]!;
  })[0];
}

/** A table as the maps hold it: entries of the LPM trie, longest first, and the namespaces. */
function mapsOf(table: Table, rules: Rule[]) {
  const { keys, rule } = policyMaps(1n, table, rules);
  const namespaces = encodeNamespaces(table);
  const indexes = new Uint32Array(namespaces.values.buffer);
  const size = sizeOf("tcpx_policy_key");
  const trie = Array.from({ length: keys.length / size }, (_, i) => {
    const key = keys.subarray(i * size, (i + 1) * size);
    const ruleOf = (ext: number, kind: number) => rule(i, ext, kind);
    return { bits: decode("tcpx_policy_key", key).prefixlen, data: key.subarray(4), ruleOf };
  });
  return {
    trie: trie.sort((a, b) => b.bits - a.bits),
    namespaces: new Map([...new BigUint64Array(namespaces.keys.buffer)].map((c, i) => [c, indexes[i]!])),
    usePorts: table.usePorts,
  };
}

/** policy_key, policy_hits and policy_rule. */
function kernel(maps: ReturnType<typeof mapsOf>, c: Connection, ext: number, kind: number) {
  const find = (port: number): ReadRule | undefined => {
    const key = new Uint8Array(24);
    const view = new DataView(key.buffer);
    view.setUint8(0, c.direction === "to" ? D.TO : D.FROM);
    view.setUint8(1, c.family);
    view.setUint16(2, port, true);
    view.setUint32(4, maps.namespaces.get(c.cookie) ?? 0, true);
    key.set(c.address, 8);
    const entry = maps.trie.find(({ data, bits }) => samePrefix(data, key, bits));
    const rule = entry?.ruleOf(ext, kind);
    return rule && rule.flags & RuleFlag.SET ? rule : undefined;
  };
  const [port, any] = [maps.usePorts ? find(c.port) : undefined, find(0)];
  return port && any && any.prefix > port.prefix ? any : (port ?? any);
}

const MAPPED = [...new Array(10).fill(0), 0xff, 0xff];
const BASES = {
  4: [
    [10, 0, 0, 0],
    [10, 1, 2, 3],
    [10, 1, 2, 128],
    [192, 0, 2, 7],
  ].map((tail) => [...MAPPED, ...tail]),
  6: [
    [0x20, 0x01, 0x0d, 0xb8, ...new Array(12).fill(0)],
    [0x20, 0x01, 0x0d, 0xb8, ...new Array(11).fill(0), 7],
    [...new Array(10).fill(0), 0xff, 0xfe, 10, 1, 2, 3],
    new Array(16).fill(0),
  ],
};
const LENGTHS = { 4: [0, 1, 8, 9, 15, 16, 24, 25, 31, 32], 6: [0, 1, 32, 33, 64, 95, 100, 127, 128] };

const family = fc.constantFrom<4 | 6>(4, 6);

/** Few bases, few lengths, now and then a flipped bit: prefixes nest, touch and differ late. */
const addressIn = (f: 4 | 6) =>
  fc
    .tuple(fc.constantFrom(...BASES[f]), fc.option(fc.integer({ min: f === 4 ? 96 : 0, max: 127 })))
    .map(([base, flip]) => {
      const bytes = new Uint8Array(base);
      if (flip !== null) bytes[flip >> 3]! ^= 0x80 >> (flip & 7);
      return bytes;
    });

function masked(address: Uint8Array, bits: number): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))));
}

const place = fc.oneof(
  { weight: 1, arbitrary: fc.constant({ family: 0 as const, prefix: 0, address: new Uint8Array(16) }) },
  {
    weight: 4,
    arbitrary: family.chain((f) =>
      fc.tuple(addressIn(f), fc.constantFrom(...LENGTHS[f])).map(([address, prefix]) => ({
        family: f,
        prefix,
        address: masked(address, f === 4 ? prefix + 96 : prefix),
      })),
    ),
  },
);

const rule = fc
  .record({
    ext: fc.constantFrom(...extensions.map(({ name }) => name)),
    kind: fc.constantFrom(...KINDS),
    place,
    direction: fc.constantFrom("both" as const, "to" as const, "from" as const),
    port: fc.constantFrom(0, 0, 22, 443),
    cookie: fc.constantFrom(null, null, 1n, 2n),
    none: fc.boolean(),
    force: fc.boolean(),
  })
  .map(({ place, direction, port, cookie, ...rest }) => {
    const netns = cookie === null ? null : { cookie, inode: Number(cookie) + 4_026_531_840 };
    return { ...rest, selector: { direction, port, ...place }, netns };
  });

/** A rule set: one rule per place, the number of the rule as its value. */
const ruleSet = fc.array(rule, { maxLength: 20 }).map(
  (rules) =>
    setRules(
      [],
      rules.map((r, i): Rule => ({ ...r, value: [i + 1, 1000 + i] })),
    ).rules,
);

const connection = family.chain((f) =>
  fc.record({
    direction: fc.constantFrom("to" as const, "from" as const),
    family: fc.constant(f),
    address: addressIn(f),
    port: fc.constantFrom(22, 443, 8080),
    cookie: fc.constantFrom(1n, 2n, 3n),
  }),
);

const table = (rules: Rule[]) => flatten(rules);
/** What a connection is looked up for: every kind of every extension. */
const SLOTS = extensions.flatMap(({ name, id }) =>
  KINDS.map((kindName, kind) => ({ name, id, kindName, kind })),
);

describe("flatten", () => {
  test("two look-ups find what the rules say", () => {
    fc.assert(
      fc.property(ruleSet, fc.array(connection, { minLength: 1, maxLength: 8 }), (rules, connections) => {
        const maps = mapsOf(table(rules), rules);
        for (const c of connections) {
          for (const { name, id, kindName, kind } of SLOTS) {
            const [found, wanted] = [kernel(maps, c, id, kind), naive(rules, c, name, kindName)];
            expect(found?.value).toEqual(wanted && [...wanted.value]);
            if (!found || !wanted) continue;
            expect((found.flags & RuleFlag.NONE) !== 0).toBe(wanted.none);
            expect((found.flags & RuleFlag.FORCE) !== 0).toBe(wanted.force);
            expect(found.prefix).toBe(wanted.selector.prefix);
          }
        }
      }),
      { numRuns: 1500 },
    );
  });

  test("the order in which rules were set does not matter", () => {
    const shuffled = ruleSet.chain((rules) =>
      fc.tuple(
        fc.constant(rules),
        fc.shuffledSubarray(rules, { minLength: rules.length, maxLength: rules.length }),
      ),
    );
    fc.assert(
      fc.property(shuffled, connection, ([rules, others], c) => {
        const [maps, otherMaps] = [mapsOf(table(rules), rules), mapsOf(table(others), others)];
        for (const { id, kind } of SLOTS) {
          expect(kernel(otherMaps, c, id, kind)).toEqual(kernel(maps, c, id, kind));
        }
      }),
    );
  });

  test("no two entries have the same key", () => {
    fc.assert(
      fc.property(ruleSet, (rules) => {
        const keys = encodeKeys(table(rules).entries);
        const size = sizeOf("tcpx_policy_key");
        const texts = Array.from({ length: keys.length / size }, (_, i) =>
          keys.subarray(i * size, (i + 1) * size).toHex(),
        );
        expect(new Set(texts).size).toBe(texts.length);
      }),
    );
  });
});
