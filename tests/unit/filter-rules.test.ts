// SPDX-License-Identifier: MIT
// Which rules of packet filters are in the way, in what nft and iptables-save list.
import { describe, expect, test } from "bun:test";
import { iptablesRules, nftRules } from "../../cli/doctor/filter-rules.ts";

const option = (base: unknown) => ({ "tcp option": { base, offset: 0, len: 8 } });
const present = (base: number, op = "==", right: unknown = true) => ({
  match: { op, left: option(base), right },
});
const rule = (...expr: unknown[]) => ({ rule: { family: "ip", table: "t", chain: "c", handle: 4, expr } });
const listed = (...entries: unknown[]) => JSON.stringify({ nftables: [{ metainfo: {} }, ...entries] });
const effects = (...expr: unknown[]) => nftRules(listed(rule(...expr))).map(({ effect }) => effect);

describe("nft", () => {
  test.each([
    ["drops", [{ drop: null }], ["drops segments with option 28"]],
    ["rejects", [{ counter: {} }, { reject: {} }], ["rejects segments with option 28"]],
    ["goes on elsewhere", [{ goto: { target: "x" } }], ["decides in chain x about segments with option 28"]],
    [
      "drops some",
      [{ vmap: { data: { set: [["new", { drop: null }]] } } }],
      ["drops some segments with option 28"],
    ],
    ["only counts", [{ counter: {} }, { accept: null }], []],
  ])("a rule that %s", (_, verdict, wanted) => {
    expect(effects(present(28), ...verdict)).toEqual(wanted);
  });

  test("presence is asked for in several ways", () => {
    const drop = { drop: null };
    expect(effects(present(28, "==", false), drop)).toEqual([]);
    expect(effects(present(28, "!=", true), drop)).toEqual([]);
    expect(effects(present(28, "!=", false), drop)).toHaveLength(1);
    expect(effects(present(28, "==", 7), drop)).toHaveLength(1);
    expect(effects(present(5), drop)).toEqual([]);
  });

  test("options that are removed or changed, and SYNs that others answer", () => {
    expect(effects({ reset: option(254) })).toEqual(["removes option 254"]);
    expect(effects({ reset: { "tcp option": { name: "sack-perm" } } })).toEqual([]);
    expect(effects({ mangle: { key: option(28), value: 1 } })).toEqual(["changes option 28"]);
    expect(effects({ xt: { type: "target", name: "TCPOPTSTRIP" } })[0]).toMatch(/^removes TCP options/);
    expect(effects({ synproxy: { mss: 1460 } })[0]).toMatch(/^answers SYNs/);
  });

  test("a table that sleeps does nothing", () => {
    const strips = rule({ reset: option(28) });
    for (const flags of ["dormant", ["dormant"]])
      expect(nftRules(listed({ table: { family: "ip", name: "t", flags } }, strips))).toEqual([]);
    expect(nftRules(listed({ table: { family: "ip6", name: "t", flags: "dormant" } }, strips))).toHaveLength(
      1,
    );
  });

  test("documents of other shapes are no rules, or an error", () => {
    for (const odd of [null, 1, "x", [], { rule: null }, { rule: { expr: [null, 1, [], { reset: 7 }] } }])
      expect(nftRules(listed(odd))).toEqual([]);
    for (const text of ["", "{", "[]", "null", '{"nftables":{}}']) expect(() => nftRules(text)).toThrow();
  });
});

describe("iptables-save", () => {
  const save = (...lines: string[]) =>
    iptablesRules(["*mangle", ":OUTPUT ACCEPT [0:0]", ...lines, "COMMIT"].join("\n"), "ip");

  test.each([
    ["-A OUTPUT -p tcp -j TCPOPTSTRIP --strip-options 28,254", "removes option 28, 254"],
    ["-A OUTPUT -p tcp -j TCPOPTSTRIP --strip-options 4,5", undefined],
    ["-A OUTPUT -p tcp -m tcp --tcp-option 28 -j DROP", "drops segments with option 28"],
    ["-A OUTPUT -p tcp -m tcp ! --tcp-option 28 -j DROP", undefined],
    [
      "-A OUTPUT -p tcp -m tcp --tcp-option 253 -j REJECT --reject-with tcp-reset",
      "rejects segments with option 253",
    ],
    ["-A OUTPUT -p tcp -j SYNPROXY --mss 1460", "answers SYNs in our place, without our options (SYNPROXY)"],
    ['-A OUTPUT -m comment --comment "x -j TCPOPTSTRIP --strip-options 28" -j ACCEPT', undefined],
  ])("%s", (line, effect) => {
    expect(save(line).map((found) => found.effect)).toEqual(effect === undefined ? [] : [effect]);
  });

  test("a rule has its number in its chain", () => {
    const found = save("-A A -j ACCEPT", "-A B -j ACCEPT", "-A A -p tcp -j TCPOPTSTRIP --strip-options 28");
    expect(found).toMatchObject([
      { by: "iptables", table_family: "ip", table: "mangle", chain: "A", handle: 2 },
    ]);
  });
});
