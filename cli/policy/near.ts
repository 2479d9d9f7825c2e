// SPDX-License-Identifier: MIT
// Rules that stand near a place where there is none. Pure.

import { type Kind, type Netns, placeKey, type Rule, type Selector } from "./rule.ts";

/** A place that was asked for. */
export interface Wanted {
  ext: string;
  /** undefined: whatever kind. */
  kind: Kind | undefined;
  selector: Selector;
  netns: Netns | null;
}

/** Rules of all kinds at one place. */
export interface Near {
  selector: Selector;
  netns: Netns | null;
  kinds: Kind[];
}

/** So many places are named. */
const MOST = 3;

const sameAddress = (a: Selector, b: Selector) =>
  a.family === b.family && a.prefix === b.prefix && a.address.every((byte, i) => byte === b.address[i]);

/** How many of the first bits two addresses have in common; -1 where one of them is no address. */
function commonBits(a: Selector, b: Selector): number {
  if (a.family === 0 || a.family !== b.family) return -1;
  const at = a.address.findIndex((byte, i) => byte !== b.address[i]);
  return at < 0 ? 128 : at * 8 + Math.clz32(a.address[at]! ^ b.address[at]!) - 24;
}

/** In how many parts a rule differs from what was asked for. */
function differences(rule: Rule, { kind, selector, netns }: Wanted): number {
  const other = rule.selector;
  const addresses = !sameAddress(other, selector);
  // without an address the direction is that of the kind
  const directions = other.family !== 0 && selector.family !== 0 && other.direction !== selector.direction;
  const parts = [
    kind !== undefined && rule.kind !== kind,
    directions,
    addresses,
    other.port !== selector.port,
    rule.netns?.cookie !== netns?.cookie,
  ];
  return parts.filter(Boolean).length;
}

/** Rules of the extension that differ in one part, those with the nearest addresses and ports first. */
export function nearRules(present: readonly Rule[], wanted: Wanted): { near: Near[]; more: number } {
  const { selector } = wanted;
  const found = new Map<string, Near & { bits: number; ports: number }>();
  for (const rule of present) {
    if (rule.ext !== wanted.ext || differences(rule, wanted) !== 1) continue;
    const key = placeKey({
      netns: rule.netns,
      selector: rule.selector.family === 0 ? { ...rule.selector, direction: "both" } : rule.selector,
    });
    const known = found.get(key);
    if (known) known.kinds.push(rule.kind);
    else
      found.set(key, {
        selector: rule.selector,
        netns: rule.netns,
        kinds: [rule.kind],
        bits: commonBits(rule.selector, selector),
        ports: Math.abs(rule.selector.port - selector.port),
      });
  }
  const sorted = [...found.values()].sort((a, b) => b.bits - a.bits || a.ports - b.ports);
  const near = sorted.slice(0, MOST).map(({ selector, netns, kinds }) => ({ selector, netns, kinds }));
  return { near, more: sorted.length - near.length };
}
