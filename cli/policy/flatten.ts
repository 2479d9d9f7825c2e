// SPDX-License-Identifier: MIT
// Rules to look-up table: each entry holds, for every extension and kind, the rule that wins there,
// so that the kernel needs two look-ups per connection however many extensions there are.

import { inPrefix } from "./prefix.ts";
import type { Kind, Rule } from "./rule.ts";

export interface Entry {
  direction: "to" | "from";
  family: 4 | 6;
  port: number;
  /** 0: every namespace without an index of its own. */
  netns: number;
  address: Uint8Array;
  /** 0..128; IPv4 prefixes start at 96. */
  bits: number;
  /** By Slots. */
  slots: (Rule | undefined)[];
}

/** The extensions and kinds that rules are of: a number for each, since few of all that there can be are used. */
export class Slots {
  private readonly numbers = new Map<string, Map<Kind, number>>();
  count = 0;

  add({ ext, kind }: Pick<Rule, "ext" | "kind">): number {
    let kinds = this.numbers.get(ext);
    if (!kinds) {
      kinds = new Map();
      this.numbers.set(ext, kinds);
    }
    let number = kinds.get(kind);
    if (number === undefined) {
      number = this.count++;
      kinds.set(kind, number);
    }
    return number;
  }

  /** undefined: no rule is so. */
  of = (ext: string, kind: Kind): number | undefined => this.numbers.get(ext)?.get(kind);
}

export interface Table {
  entries: Entry[];
  /** Cookie of every namespace with rules of its own, to its index. */
  namespaces: Map<bigint, number>;
  usePorts: boolean;
  slots: Slots;
}

type Space = Omit<Entry, "address" | "bits" | "slots">;

/** What a rule's direction and family cover. */
const DIRECTIONS = { both: ["to", "from"], to: ["to"], from: ["from"] } as const;
const FAMILIES = { 0: [4, 6], 4: [4], 6: [6] } as const;

const keyOf = ({ direction, family, port, netns }: Space) =>
  ((netns * 65_536 + port) * 2 + (direction === "to" ? 0 : 1)) * 2 + (family === 4 ? 0 : 1);

const bitsOf = ({ selector }: Rule) => (selector.family === 4 ? selector.prefix + 96 : selector.prefix);

/** At the same prefix and port a rule for one namespace, or for one family, is the narrower one. */
const rank = (rule: Rule) =>
  (rule.netns ? 4 : 0) + (rule.selector.family ? 2 : 0) + (rule.selector.direction !== "both" ? 1 : 0);

/** By address, then the shorter prefix, then the wider rule. */
function compare(a: Rule, b: Rule): number {
  const [x, y] = [a.selector.address, b.selector.address];
  const same = a.selector.family === 4 && b.selector.family === 4 ? 12 : 0; // ::ffff:
  for (let i = same; i < 16; i++) if (x[i] !== y[i]) return x[i]! - y[i]!;
  return bitsOf(a) - bitsOf(b) || rank(a) - rank(b);
}

/** Is the address in the entry's prefix? */
const covers = (entry: Entry, address: Uint8Array) => inPrefix(address, 0, entry.address, entry.bits);

/** Entries of one space: rules at their own prefix, and everything inherited from shorter ones. */
function fillSpace(space: Space, rules: Rule[], slots: Slots): Entry[] {
  const entries: Entry[] = [];
  /** The entry before, and those around it: prefixes nest, and the shorter one comes first. */
  const around: Entry[] = [];
  for (const rule of rules.sort(compare)) {
    const bits = bitsOf(rule);
    const { address } = rule.selector;
    while (around.length > 0 && !(around.at(-1)!.bits <= bits && covers(around.at(-1)!, address)))
      around.pop();
    let entry = around.at(-1);
    if (entry?.bits !== bits) {
      entry = { ...space, address, bits, slots: entry ? entry.slots.slice() : [] };
      entries.push(entry);
      around.push(entry);
    }
    const slot = slots.add(rule);
    const held = entry.slots[slot];
    // 0.0.0.0/0 is as short a prefix as no address at all, although it is deeper in the trie
    const outranked = held && held.selector.prefix === rule.selector.prefix && rank(held) > rank(rule);
    if (!outranked) entry.slots[slot] = rule;
  }
  return entries;
}

/** Flattens rules into the kernel's look-up table. Longest prefix first, then the exact port. */
export function flatten(rules: Rule[]): Table {
  const namespaces = new Map<bigint, number>();
  for (const { netns } of rules) {
    if (netns && !namespaces.has(netns.cookie)) namespaces.set(netns.cookie, namespaces.size + 1);
  }
  // a rule for every namespace is also seen by those that have a space of their own
  const everywhere = [0, ...namespaces.values()];
  const spaces = new Map<number, { space: Space; rules: Rule[] }>();
  const add = (rule: Rule, space: Space) => {
    const key = keyOf(space);
    const held = spaces.get(key);
    if (held) held.rules.push(rule);
    else spaces.set(key, { space, rules: [rule] });
  };
  for (const rule of rules) {
    const { direction, family, port } = rule.selector;
    for (const netns of rule.netns ? [namespaces.get(rule.netns.cookie)!] : everywhere) {
      for (const d of DIRECTIONS[direction]) {
        for (const f of FAMILIES[family]) add(rule, { direction: d, family: f, port, netns });
      }
    }
  }
  const slots = new Slots();
  for (const rule of rules) slots.add(rule); // in their order, whatever the order of the spaces
  const entries = [...spaces.values()].flatMap(({ space, rules }) => fillSpace(space, rules, slots));
  return { entries, namespaces, usePorts: rules.some((rule) => rule.selector.port !== 0), slots };
}
