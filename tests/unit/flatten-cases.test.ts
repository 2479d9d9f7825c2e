// SPDX-License-Identifier: MIT
// The look-up table, case by case: what stands in it, and how it is encoded.
import { describe, expect, test } from "bun:test";
import { extensions } from "../../cli/extensions/index.ts";
import { placeRules } from "../../cli/extensions/place.ts";
import { RuleFlag, structs } from "../../cli/layout/layout.generated.ts";
import { decode, sizeOf } from "../../cli/layout/struct.ts";
import { encodeNamespaces } from "../../cli/loader/records.ts";
import { flatten, type Table } from "../../cli/policy/flatten.ts";
import { commonKind, KINDS, type Rule, ruleId } from "../../cli/policy/rule.ts";
import { formatCidr, parseSelectors } from "../../cli/policy/selector.ts";
import { policyMaps } from "../support/policy-maps.ts";

const NETNS = { cookie: 17n, inode: 4_026_531_840 };
const EXTENSIONS = ["first", "second", "third"];

function rule(selector: Parameters<typeof parseSelectors>[0], value: number, more: Partial<Rule> = {}): Rule {
  return {
    ext: "first",
    kind: "local",
    selector: parseSelectors(selector)[0]!,
    netns: null,
    none: false,
    force: false,
    value: [value, 0],
    ...more,
  };
}

const numbersFor = ({ kind }: Pick<Rule, "kind">) => ({ id: 0, kind: commonKind(kind) });
const table = (...rules: Rule[]) => flatten(rules);

/** "to 4 :443 @0 10.0.0.0/8": slots that are taken, by value. */
function shown({ entries, slots: { of } }: Table): Record<string, Record<string, number>> {
  return Object.fromEntries(
    entries.map((e) => {
      const cidr = formatCidr({ ...e, prefix: e.family === 4 ? e.bits - 96 : e.bits });
      const slots = EXTENSIONS.flatMap((ext) =>
        KINDS.flatMap((kind) => {
          const slot = e.slots[of(ext, kind) ?? -1];
          return slot ? [[`${ext} ${kind}`, slot.value[0]]] : [];
        }),
      );
      return [`${e.direction} ${e.family} :${e.port} @${e.netns} ${cidr}`, Object.fromEntries(slots)];
    }),
  );
}

describe("flatten", () => {
  test("no rules, no entries", () => {
    expect(table()).toMatchObject({ entries: [], namespaces: new Map(), usePorts: false });
  });

  test("a narrower prefix inherits what it does not say itself", () => {
    const wide = rule({ to: "10.0.0.0/8" }, 1);
    const other = rule({ to: "10.0.0.0/8" }, 2, { ext: "third", kind: "ask" });
    const narrow = rule({ to: "10.1.0.0/16" }, 3);
    expect(shown(table(narrow, wide, other))).toEqual({
      "to 4 :0 @0 10.0.0.0/8": { "first local": 1, "third ask": 2 },
      "to 4 :0 @0 10.1.0.0/16": { "first local": 3, "third ask": 2 },
    });
  });

  test("siblings inherit nothing from each other", () => {
    const rules = [rule({ to: "10.1.0.0/16" }, 1), rule({ to: "10.2.0.0/16" }, 2, { kind: "ask" })];
    expect(shown(table(...rules))).toEqual({
      "to 4 :0 @0 10.1.0.0/16": { "first local": 1 },
      "to 4 :0 @0 10.2.0.0/16": { "first ask": 2 },
    });
  });

  test("an inherited rule keeps its own prefix length, to be compared with the other look-up", () => {
    const { entries, slots } = table(
      rule({ to: "10.0.0.0/8" }, 1),
      rule({ to: "10.1.0.0/16" }, 2, { kind: "ask" }),
    );
    const narrow = entries.find((e) => e.bits === 112)!;
    expect(narrow.slots[slots.of("first", "local")!]!.selector.prefix).toBe(8);
    expect(narrow.slots[slots.of("first", "ask")!]!.selector.prefix).toBe(16);
  });

  test("a selector of neither direction nor family is in all four spaces", () => {
    const { entries, usePorts } = table(rule({ port: "443" }, 1));
    expect(entries.map((e) => `${e.direction} ${e.family} ${e.port} ${e.bits}`).sort()).toEqual([
      "from 4 443 0",
      "from 6 443 0",
      "to 4 443 0",
      "to 6 443 0",
    ]);
    expect(usePorts).toBe(true);
  });

  test("a namespace with a rule of its own sees the rules for all namespaces too", () => {
    const all = rule({ to: "10.0.0.0/8" }, 1);
    const own = rule({ to: "10.0.0.0/8" }, 2, { netns: NETNS, kind: "ask" });
    const flat = table(own, all);
    expect(flat.namespaces).toEqual(new Map([[17n, 1]]));
    expect(shown(flat)).toEqual({
      "to 4 :0 @0 10.0.0.0/8": { "first local": 1 },
      "to 4 :0 @1 10.0.0.0/8": { "first local": 1, "first ask": 2 },
    });
  });

  test("at the same prefix the own namespace is the narrower one, whatever came first", () => {
    const [all, own] = [rule({ to: "10.0.0.1" }, 1), rule({ to: "10.0.0.1" }, 2, { netns: NETNS })];
    for (const flat of [table(all, own), table(own, all)]) {
      expect(shown(flat)).toEqual({
        "to 4 :0 @0 10.0.0.1": { "first local": 1 },
        "to 4 :0 @1 10.0.0.1": { "first local": 2 },
      });
    }
  });

  test("at /0 the own family is the narrower one", () => {
    const flat = table(rule({ to: "::/0" }, 1), rule({}, 2));
    expect(shown(flat)["to 6 :0 @0 ::/0"]).toEqual({ "first local": 1 });
    expect(shown(flat)["from 6 :0 @0 ::/0"]).toEqual({ "first local": 2 });
  });

  test("a rule for one direction without an address is in that direction only, for both families", () => {
    const [selector] = parseSelectors({ port: "443" });
    const ask = rule({}, 1, { kind: "ask", selector: { ...selector!, direction: "to" } });
    const grant = rule({}, 2, { kind: "accept", selector: { ...selector!, direction: "from" } });
    const held = table(ask, grant).entries.map((e) => {
      const taken = e.slots.flatMap((slot) => (slot ? [`${slot.kind} ${slot.value[0]}`] : []));
      return `${e.direction} ${e.family} ${e.port}/${e.bits}: ${taken}`;
    });
    expect(held.toSorted()).toEqual([
      "from 4 443/0: accept 2",
      "from 6 443/0: accept 2",
      "to 4 443/0: ask 1",
      "to 6 443/0: ask 1",
    ]);
  });

  test("at no prefix at all the rule for one direction is the narrower one, whatever came first", () => {
    const both = rule({}, 1);
    const one = rule({}, 2, { selector: { ...both.selector, direction: "to" } });
    for (const flat of [table(both, one), table(one, both)]) {
      const slots = flat.entries.map((e) => [
        e.direction,
        e.slots[flat.slots.of("first", "local")!]!.value[0],
      ]);
      expect(slots.toSorted()).toEqual([
        ["from", 1],
        ["from", 1],
        ["to", 2],
        ["to", 2],
      ]);
    }
  });
});

describe("bytes of the maps", () => {
  test("a key is 64 significant bits and the address", () => {
    const only = rule({ from: "10.1.0.0/16", port: "443" }, 7, { netns: NETNS });
    const utoTable = flatten([only]);
    const maps = policyMaps(1n, utoTable, [only], numbersFor);
    const { keys } = maps;
    expect(decode("tcpx_policy_key", keys)).toEqual({
      prefixlen: 64 + 96 + 16,
      direction: 2,
      family: 4,
      port: 443,
      netns: 1,
      address: new Uint8Array([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 10, 1, 0, 0]),
    });
    expect(
      structs.tcpx_policy_key.fields.address.offset - structs.tcpx_policy_key.fields.direction.offset,
    ).toBe(8);
    expect(maps.rule(0, 0, KINDS.indexOf("local"))).toEqual({
      flags: 1,
      prefix: 16,
      id: ruleId(1n, only),
      value: [7, 0],
    });
    expect(maps.rule(0, 0, KINDS.indexOf("ask")).flags).toBe(0);
    const namespaces = encodeNamespaces(utoTable);
    expect(new BigUint64Array(namespaces.keys.buffer)).toEqual(new BigUint64Array([17n]));
    expect(new Uint32Array(namespaces.values.buffer)).toEqual(new Uint32Array([1]));
  });

  test("equal profiles are one, whatever the direction and the family", () => {
    const rules = [rule({ port: "22" }, 1), rule({ to: "10.0.0.0/8" }, 2), rule({ from: "::1" }, 3)];
    const maps = policyMaps(1n, flatten(rules), rules, numbersFor);
    expect(maps.keys.length / sizeOf("tcpx_policy_key")).toBe(6);
    expect(maps.profiles).toBe(3);
  });

  test("every extension times three kinds: each has a slot of its own", () => {
    const rules = extensions.flatMap((extension) =>
      KINDS.flatMap((kind, i) => {
        const draft = { kind, none: false, force: i === 1, value: [extension.id + 1, i + 1] } as const;
        return placeRules(extension, parseSelectors({}), [draft], null);
      }),
    );
    expect(rules).toHaveLength(extensions.length * KINDS.length);
    const maps = policyMaps(1n, flatten(rules), rules);
    const { keys } = maps;
    const count = keys.length / sizeOf("tcpx_policy_key");
    expect(count).toBe(4);
    for (let at = 0; at < count; at++) {
      const { direction } = decode("tcpx_policy_key", keys, at * sizeOf("tcpx_policy_key"));
      for (const [n, { id, directions }] of extensions.entries()) {
        for (const [i, kind] of KINDS.entries()) {
          const only = directions?.[kind];
          const holds = only === undefined || direction === { to: 1, from: 2 }[only];
          const flags = RuleFlag.SET | (i === 1 ? RuleFlag.FORCE : 0);
          const of = rules[n * KINDS.length + i]!;
          const set = { flags, id: ruleId(1n, of), value: [id + 1, i + 1] };
          const wanted = holds ? set : { flags: 0, id: 0, value: [0, 0] };
          expect(maps.rule(at, id, i)).toEqual({ ...wanted, prefix: 0 });
        }
      }
    }
  });
});
