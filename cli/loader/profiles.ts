// SPDX-License-Identifier: MIT
// The profiles of a scope: what matches one selector, flattened, as the programs read it. Entries of the look-up
// table have their numbers; equal ones are one.

import { extensionOf, numbersOf } from "../extensions/index.ts";
import { structs } from "../layout/layout.generated.ts";
import type { Entry, Table } from "../policy/flatten.ts";
import { type Rule, valueWords } from "../policy/rule.ts";
import { encodeRule, ruleSize } from "./records.ts";

/** The place 0 means that there is none. */
const HEAD = structs.tcpx_profile.size;
const [PLACES, PLACE_KINDS] = structs.tcpx_config.fields.places.dims;

export interface Profiles {
  /** config.places: where the rule of an extension and kind stands in a profile; 0: nowhere. */
  places: number[][];
  /** Bytes of one. */
  size: number;
  /** The profile of each entry, in their order. */
  numbers: Uint32Array;
  /** An entry of each profile. */
  profiles: Entry[];
  /** Slots of an entry, with their places. */
  slots: { slot: number; place: number }[];
}

/** What an extension and a kind are stored by. */
type Numbers = (rule: Pick<Rule, "ext" | "kind">) => { id: number; kind: number };

/** @param words of a rule's value */
export function planProfiles(
  rules: readonly Rule[],
  { entries, slots: numbering }: Pick<Table, "entries" | "slots">,
  words = valueWords(rules),
  numbersFor: Numbers = numbersOf,
): Profiles {
  const places = Array.from({ length: PLACES }, () => Array<number>(PLACE_KINDS).fill(0));
  const stride = ruleSize(words);
  const slots = new Map<number, number>();
  let size = HEAD;
  for (const rule of rules) {
    const slot = numbering.of(rule.ext, rule.kind)!;
    if (slots.has(slot)) continue;
    const { id, kind } = numbersFor(rule);
    slots.set(slot, size);
    places[id]![kind] = size;
    size += stride;
  }
  return {
    places,
    size,
    slots: Array.from(slots, ([slot, place]) => ({ slot, place })),
    ...numbered(entries, [...slots.keys()]),
  };
}

const sameSpace = (a: Entry, b: Entry) =>
  a.direction === b.direction && a.family === b.family && a.port === b.port && a.netns === b.netns;

/** Entries with the same rules have the same number. Within one space, and they come space by space, all differ. */
function numbered(entries: readonly Entry[], slots: number[]): Pick<Profiles, "numbers" | "profiles"> {
  const numbers = new Uint32Array(entries.length);
  if (entries.length > 0 && sameSpace(entries[0]!, entries.at(-1)!))
    return { numbers: numbers.map((_, i) => i), profiles: [...entries] };
  const profiles: Entry[] = [];
  const ruleNumbers = new Map<Rule, number>();
  const known = new Map<number | string, number>();
  const numberOf = (rule: Rule | undefined) => {
    if (!rule) return 0;
    let number = ruleNumbers.get(rule);
    if (number === undefined) {
      number = ruleNumbers.size + 1;
      ruleNumbers.set(rule, number);
    }
    return number;
  };
  for (let i = 0; i < entries.length; i++) {
    const held = entries[i]!.slots;
    const key =
      slots.length === 1
        ? numberOf(held[slots[0]!])
        : slots.length === 2
          ? numberOf(held[slots[0]!]) * 2 ** 26 + numberOf(held[slots[1]!])
          : slots.map((slot) => numberOf(held[slot])).join();
    let number = known.get(key);
    if (number === undefined) {
      number = profiles.push(entries[i]!) - 1;
      known.set(key, number);
    }
    numbers[i] = number;
  }
  return { numbers, profiles };
}

/** config.kinds_to, config.kinds_from: by extension, bits of the kinds that rules for such connections have. */
export function kindsOf(rules: readonly Rule[], direction: "to" | "from"): number[] {
  const bits = Array<number>(PLACES).fill(0);
  for (const rule of rules) {
    if (rule.selector.direction !== direction && rule.selector.direction !== "both") continue;
    const { id, kind } = numbersOf(rule);
    bits[id] = (bits[id]! | (1 << kind)) >>> 0;
  }
  return bits;
}

/** The bytes of profiles `from` to `to`, back to back. */
export function encodeProfiles(plan: Profiles, scope: bigint, from: number, to: number): Uint8Array {
  const bytes = new Uint8Array((to - from) * plan.size);
  const view = new DataView(bytes.buffer);
  for (let i = from; i < to; i++) {
    const { slots } = plan.profiles[i]!;
    for (const { slot, place } of plan.slots) {
      const rule = slots[slot];
      if (rule) encodeRule(view, (i - from) * plan.size + place, scope, rule);
    }
  }
  return bytes;
}

/** Bits of the extensions that rules are for: config.uses. */
export const usesOf = (rules: readonly Pick<Rule, "ext">[]): number =>
  [...new Set(rules.map(({ ext }) => ext))].reduce((bits, ext) => bits | (1 << extensionOf({ ext }).id), 0);
