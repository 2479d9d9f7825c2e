// SPDX-License-Identifier: MIT
// What the agent has to do, from rules: which scopes are thinned, which mark bits, and whether at all.
import { describe, expect, test } from "bun:test";
import { coveredBy, fulfils, planAgent, seesMore, topmost } from "../../cli/agent/sync.ts";
import { anyNeedsAgent, needsAgent, wishOf } from "../../cli/agent/wish.ts";
import { ack } from "../../cli/extensions/ack.ts";
import type { AgentWish, RuleDraft } from "../../cli/extensions/types.ts";
import type { Rule } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";

const [anywhere] = parseSelectors({});

function rule(draft: Partial<RuleDraft> & { ext?: string }): Rule {
  const plain = { ext: "ack", kind: "local", none: false, force: false, value: [0, 0] } as const;
  return { ...plain, selector: anywhere!, netns: null, ...draft };
}

/** The rules of a command line. */
function rules(verb: string, args: Record<string, unknown>): Rule[] {
  return ack.verbs[verb]!.draft(args).drafts.map(rule);
}

const thinning: AgentWish = { thins: true, markBit: null };
const atOnce = (markBit: number): AgentWish => ({ thins: false, markBit });

/** A state whose rules are wishes: the planner sees nothing else of them. */
function state(
  name: string,
  wishes: (AgentWish | undefined)[],
  more: { alive?: boolean; visible?: boolean; damaged?: boolean } = {},
) {
  const rules = wishes.map((wish) => Object.assign(rule({}), { wish }));
  return { id: BigInt(name.length), name, alive: true, visible: true, damaged: false, rules, ...more };
}

const plan = (...states: ReturnType<typeof state>[]) =>
  planAgent(states, (r) => (r as Rule & { wish?: AgentWish }).wish);

describe("topmost", () => {
  const names = (...given: string[]) =>
    topmost(given.map((name, i) => ({ id: BigInt(i), name }))).map((s) => s.name);

  test("a scope below another one is covered by it, however deep", () => {
    expect(names("/a", "/a/b", "/a/b/c", "/d/e")).toEqual(["/a", "/d/e"]);
    expect(names("/a/b/c", "/a")).toEqual(["/a"]);
  });
  test("the root covers all", () => expect(names("/a", "/", "/b/c")).toEqual(["/"]));
  test("a name that only begins alike is another place", () => {
    expect(names("/a", "/ab", "/a-b/c")).toEqual(["/a", "/ab", "/a-b/c"]);
  });
  test("siblings stay, nothing stays nothing", () => {
    expect(names("/a/x", "/a/y")).toEqual(["/a/x", "/a/y"]);
    expect(names()).toEqual([]);
  });
});

describe("fulfils", () => {
  const done = (more: object) => ({ covers: ["7", "8"], mark_bits: 1 << 13, unserved: false, ...more });

  test("thinned; what becomes of other scopes is theirs", () => {
    for (const scope of [7n, 8n]) expect(fulfils(done({}), scope, [thinning])).toBe(true);
    for (const scope of [9n, 78n]) expect(fulfils(done({}), scope, [thinning])).toBe(false);
  });
  test("covered are scopes that are attached to, and those below", () => {
    const scope = (id: bigint, name: string) => ({ id, name });
    const all = [scope(1n, "/"), scope(2n, "/a"), scope(3n, "/a/b"), scope(4n, "/ab")];
    expect(coveredBy(all, [scope(2n, "/a")])).toEqual([2n, 3n]);
    expect(coveredBy(all, [scope(1n, "/")])).toEqual([1n, 2n, 3n, 4n]);
    expect(coveredBy(all, [])).toEqual([]);
  });
  test("at once: this bit, and a namespace that carries it", () => {
    expect(fulfils(done({}), 9n, [atOnce(13)])).toBe(true);
    expect(fulfils(done({}), 9n, [atOnce(13), atOnce(31)])).toBe(false);
    expect(fulfils(done({ mark_bits: 2 ** 31 }), 9n, [atOnce(31)])).toBe(true);
    expect(fulfils(done({ unserved: true }), 9n, [atOnce(13)])).toBe(false);
    expect(fulfils(done({ unserved: true }), 7n, [thinning])).toBe(true);
  });
  test("no wishes", () => expect(fulfils(done({ covers: [] }), 9n, [])).toBe(true));
});

describe("planAgent", () => {
  const nothing = { needed: false, thin: [], thinning: [], unseen: [], markBits: 0 };

  test("no rules, or none that needs it", () => {
    expect(plan()).toEqual(nothing);
    expect(plan(state("/a", [undefined, undefined]))).toEqual(nothing);
  });

  test("only topmost scopes with thinning rules are thinned", () => {
    const made = plan(state("/a", [undefined]), state("/a/b", [thinning]), state("/a/b/c", [thinning]));
    expect(made).toMatchObject({ needed: true, thin: [{ id: 4n, name: "/a/b" }], markBits: 0 });
    expect(made.thinning.map(({ name }) => name)).toEqual(["/a/b", "/a/b/c"]);
  });

  test("a scope that is not visible from here is for an agent that sees it, and for it who sees all", () => {
    const hidden = plan(state("/a", [thinning], { visible: false }), state("/b/c", [thinning]));
    expect(hidden).toMatchObject({ needed: true, thin: [{ name: "/b/c" }], unseen: [2n] });
    expect(plan(state("/a", [thinning], { visible: false }))).toMatchObject({ needed: false, unseen: [2n] });
    const all = plan(state("/a", [thinning]), state("/b/c", [thinning]));
    expect(seesMore(all, { unseen: ["2"] })).toBe(true);
    expect(seesMore(all, { unseen: ["3"] })).toBe(false);
    expect(seesMore(hidden, { unseen: ["4"] })).toBe(false);
  });

  test("a scope above that only acknowledges at once does not cover", () => {
    expect(plan(state("/a", [atOnce(13)]), state("/a/b", [thinning]))).toMatchObject({
      needed: true,
      thin: [{ id: 4n, name: "/a/b" }],
      markBits: 1 << 13,
    });
  });

  test("mark bits of all rules; bit 31 is no sign", () => {
    expect(plan(state("/a", [atOnce(0), atOnce(13)]), state("/b", [atOnce(31)])).markBits).toBe(0x80002001);
  });

  test("removed and damaged scopes do not count", () => {
    expect(
      plan(state("/a", [thinning], { alive: false }), state("/b", [thinning], { damaged: true })),
    ).toEqual(nothing);
  });
});

describe("what a rule wants", () => {
  test.each([
    { verb: "set", args: { every: "8" }, wish: { thins: true, markBit: null } },
    { verb: "set", args: { every: "255", delay: "rtt/2" }, wish: { thins: true, markBit: null } },
    { verb: "set", args: { every: "1" }, wish: { thins: false, markBit: 13 } },
    { verb: "set", args: { every: "1", "mark-bit": "31" }, wish: { thins: false, markBit: 31 } },
    { verb: "set", args: { delay: "20ms" }, wish: undefined },
    { verb: "set", args: { value: "none" }, wish: undefined },
    { verb: "request", args: { every: "8" }, wish: undefined },
    { verb: "request", args: { every: "1", tarr: true }, wish: undefined },
    { verb: "accept", args: {}, wish: { thins: true, markBit: 13 } },
    { verb: "accept", args: { "max-every": "1", "mark-bit": "5" }, wish: { thins: false, markBit: 5 } },
    { verb: "accept", args: { value: "none" }, wish: undefined },
  ])("ack $verb $args", ({ verb, args, wish }) => {
    for (const made of rules(verb, args)) expect(wishOf(made)).toEqual(wish);
  });

  test("rules of other extensions want nothing", () => {
    for (const ext of ["uto", "cc-request", "iw"])
      expect(needsAgent(rule({ ext, value: [8, 8] }))).toBe(false);
  });

  test("any scope that is alive", () => {
    const [every8] = rules("set", { every: "8" });
    const seen = { alive: true, visible: true };
    expect(anyNeedsAgent([{ ...seen, alive: false, rules: [every8!] }])).toBe(false);
    expect(anyNeedsAgent([{ ...seen, visible: false, rules: [every8!] }])).toBe(false);
    expect(anyNeedsAgent([{ ...seen, rules: [rule({ ext: "uto" }), every8!] }])).toBe(true);
  });
});
