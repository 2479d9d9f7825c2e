// SPDX-License-Identifier: MIT
// Which standing connections a command is for: pure, from sockets as the iterator tells them.
import { describe, expect, test } from "bun:test";
import { placeRules } from "../../cli/extensions/place.ts";
import { uto } from "../../cli/extensions/uto.ts";
import { Direction, Ext, LiveVerb } from "../../cli/layout/layout.generated.ts";
import { decode, encodeAll, sizeOf } from "../../cli/layout/struct.ts";
import { Matcher } from "../../cli/live/match.ts";
import { planAsk, planSet, planUndo, seenOf } from "../../cli/live/plan.ts";
import { decodeSockets, type Socket } from "../../cli/live/sockets.ts";
import { flatten } from "../../cli/policy/flatten.ts";
import { type Rule, ruleId, VALUE_WORDS } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";

/** As the programs have it: what a rule does not say is 0. */
const value = (...words: number[]) => [...words, ...Array(VALUE_WORDS - words.length).fill(0)];

const SCOPE = 10n;
const INNER = 20n;
const NETNS = 7n;

let cookies = 0n;
function socket(remote: string, more: Partial<Socket> = {}): Socket {
  const address = parseSelectors({ to: remote })[0]!;
  return {
    cookie: ++cookies,
    netns_cookie: NETNS,
    scopes: [SCOPE, 0n],
    local_rules: [0, 0, 0, 0],
    ask_rules: [0, 0, 0, 0],
    state: 1,
    family: address.family,
    direction: Direction.BOTH,
    reserved: 0,
    local_port: 40_000,
    remote_port: 443,
    remote: address.address,
    ...more,
  };
}

const listener = (port: number, netns = NETNS) =>
  socket("0.0.0.0", { state: 10, local_port: port, netns_cookie: netns, scopes: [] });

interface Where {
  to?: string;
  from?: string;
  port?: string;
}

function rules(text: string, where: Where = {}, netns: Rule["netns"] = null): Rule[] {
  const [duration = "", ...flags] = text.split(" ");
  const args = { duration, advertise: !flags.includes("--no-advertise"), force: flags.includes("--force") };
  const { drafts } = uto.verbs.set!.draft(args);
  const none = { to: undefined, from: undefined, port: undefined };
  return placeRules(uto, parseSelectors({ ...none, ...where }), drafts, netns);
}

const matcher = (list: Rule[]) => new Matcher(flatten(list));
const around = (own: Rule[], inner: Rule[] = []) => ({
  scope: SCOPE,
  scopes: new Map([
    [SCOPE, matcher(own)],
    [INNER, matcher(inner)],
  ]),
});

function targets(sockets: Socket[], own: Rule[], wanted = own, inner: Rule[] = []) {
  return [...planSet(sockets, around(own, inner), uto, wanted).targets.keys()];
}

describe("who opened a connection", () => {
  test("what tcpx has seen goes before what listens", () => {
    const s = socket("10.1.2.3", { local_port: 80, remote_port: 5000 });
    expect(seenOf(s, new Set())).toMatchObject({ direction: "to", port: 5000 });
    expect(seenOf(s, new Set(["7 80"]))).toMatchObject({ direction: "from", port: 80 });
    expect(seenOf({ ...s, direction: Direction.TO }, new Set(["7 80"]))).toMatchObject({ direction: "to" });
    expect(seenOf({ ...s, direction: Direction.FROM }, new Set())).toMatchObject({ direction: "from" });
  });

  test("a listener of another namespace says nothing", () => {
    const s = socket("10.1.2.3", { local_port: 80 });
    const from = rules("30s", { from: "10.0.0.0/8" });
    expect(targets([s, listener(80)], from)).toEqual([s.cookie]);
    expect(targets([s, listener(80, 8n)], from)).toEqual([]);
  });
});

describe("connections of a rule", () => {
  test("by address, port and family", () => {
    const [a, b, six] = [socket("10.1.2.3"), socket("192.0.2.1"), socket("2001:db8::1")];
    const all = [a, b, six];
    expect(targets(all, rules("30s"))).toEqual(all.map(({ cookie }) => cookie));
    expect(targets(all, rules("30s", { to: "10.0.0.0/8" }))).toEqual([a.cookie]);
    expect(targets(all, rules("30s", { to: "2001:db8::/33" }))).toEqual([six.cookie]);
    expect(targets(all, rules("30s", { port: "443" }))).toHaveLength(3);
    expect(targets(all, rules("30s", { port: "80" }))).toEqual([]);
    expect(targets(all, rules("30s", { from: "0.0.0.0/0" }))).toEqual([]);
  });

  test("only those whose winner is the command's own: narrower rules and exemptions stand", () => {
    const [a, b] = [socket("10.1.2.3"), socket("10.9.9.9")];
    const wanted = rules("30s", { to: "10.0.0.0/8" });
    const narrower = rules("none", { to: "10.1.0.0/16" });
    expect(targets([a, b], [...wanted, ...narrower], wanted)).toEqual([b.cookie]);
    const port = rules("9s", { to: "10.0.0.0/8", port: "443" });
    expect(targets([a, b], [...wanted, ...port], wanted)).toEqual([]);
  });

  test("an inner scope's rule keeps its connections; one without a say does not", () => {
    const inside = socket("10.1.2.3", { scopes: [INNER, SCOPE, 0n] });
    const own = rules("30s");
    expect(targets([inside], own, own, rules("9s"))).toEqual([]);
    expect(targets([inside], own, own, rules("none"))).toEqual([]);
    expect(targets([inside], own, own, rules("9s", { to: "192.0.2.0/24" }))).toEqual([inside.cookie]);
  });

  test("a rule for one namespace", () => {
    const own = rules("30s", {}, { cookie: NETNS, inode: 1 });
    const [here, there] = [socket("10.1.2.3"), socket("10.1.2.3", { netns_cookie: 8n })];
    expect(targets([here, there], own)).toEqual([here.cookie]);
  });

  test("listeners and closing connections are no targets", () => {
    const states = [2, 4, 6, 10].map((state) => socket("10.1.2.3", { state }));
    const waiting = socket("10.1.2.3", { state: 8 });
    expect(targets([...states, waiting], rules("30s"))).toEqual([waiting.cookie]);
  });

  test("one order for a rule, with the value and what is advertised", () => {
    const list = [socket("10.1.2.3"), socket("10.9.9.9")];
    const [loud, mute] = [rules("30s"), rules("30s --no-advertise")];
    const { orders } = planSet(list, around(loud), uto, loud);
    expect(orders).toHaveLength(1);
    expect(orders[0]).toMatchObject({ verb: LiveVerb.SET, ext: Ext.UTO, local: { value: value(30_000, 0) } });
    expect(orders[0]!.ask).toMatchObject({ value: value(30_000, 30) });
    expect(planSet(list, around(mute), uto, mute).orders[0]!.ask).toMatchObject({ flags: 3 });
  });
});

test("an undo goes by the rule's id", () => {
  const [rule] = rules("30s");
  const id = ruleId(SCOPE, rule!);
  const had = socket("10.1.2.3", { local_rules: [id, 0, 0, 0] });
  const other = socket("10.1.2.3", { local_rules: [5, 0, 0, 0] });
  const bare = socket("10.1.2.3");
  const all = [had, other, bare, { ...had, cookie: 999n, state: 10 }];
  expect([...planUndo(all, SCOPE, Ext.UTO, new Set([id, 0])).targets.keys()]).toEqual([had.cookie]);
  expect(planUndo(all, SCOPE, Ext.ACK, new Set([id])).targets.size).toBe(0);
});

describe("a changed request", () => {
  const [wide, narrow] = [rules("30s"), rules("20s", { to: "10.9.0.0/16" })];
  const asks = (list: Rule[]) => list.filter(({ kind }) => kind === "ask");
  const [asking, inside, mute] = [
    socket("10.1.2.3", { ask_rules: [7, 0, 0, 0] }),
    socket("10.9.9.9", { ask_rules: [7, 0, 0, 0] }),
    socket("10.9.9.8"),
  ];
  const all = [asking, inside, mute, { ...asking, cookie: 998n, state: 10, local_port: 1 }];
  const around2 = around([...wide, ...narrow]);
  const found = (list: Rule[], silent: boolean) => [
    ...planAsk(all, around2, uto, asks(list), silent).targets.keys(),
  ];

  test("reaches those that ask, where it is the rule that they have now", () => {
    expect(found(wide, false)).toEqual([asking.cookie]);
    expect(found(narrow, false)).toEqual([inside.cookie]);
    expect(found([], false)).toEqual([]);
  });

  test("with --live those that ask nothing, too", () => {
    expect(found(narrow, true)).toEqual([inside.cookie, mute.cookie]);
    expect(found([...wide, ...narrow], true)).toEqual([asking.cookie, inside.cookie, mute.cookie]);
  });

  test("an exemption makes none", () => {
    const exempt = asks(rules("30s --no-advertise"));
    expect(planAsk(all, around(exempt), uto, exempt, true).targets.size).toBe(0);
  });
});

test("the fast decoder says what the general one does", () => {
  const list = [
    socket("10.1.2.3", { scopes: [3n, 2n, 1n], local_rules: [1, 2, 3, 4] }),
    socket("2001:db8::1"),
  ];
  const bytes = encodeAll("tcpx_live_socket", list);
  const general = list.map((_, i) => decode("tcpx_live_socket", bytes, i * sizeOf("tcpx_live_socket")));
  const trimmed = general.map((s) => ({ ...s, scopes: s.scopes.filter((id) => id !== 0n) }));
  expect(decodeSockets(bytes)).toEqual(trimmed);
});
