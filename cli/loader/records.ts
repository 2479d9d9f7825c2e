// SPDX-License-Identifier: MIT
// Rules and look-up tables as the bytes of the maps.

import { extensionById, extensionOf } from "../extensions/index.ts";
import type { Entry, Table } from "../policy/flatten.ts";
import { type Direction, KINDS, type Rule, ruleId } from "../policy/rule.ts";
import { Direction as D, Ext, Family, RuleFlag } from "./layout.generated.ts";
import { decode, encodeAll, type Struct, sizeOf } from "./struct.ts";

const DIRECTIONS: Record<Direction, number> = { both: D.BOTH, to: D.TO, from: D.FROM };
const DIRECTION_NAMES = Object.fromEntries(
  Object.entries(DIRECTIONS).map(([name, n]) => [n, name as Direction]),
);
/** Bits of a policy key in front of the address, all of them always significant. */
const KEY_BITS = 64;

function flagsOf(rule: Rule): number {
  return RuleFlag.SET | (rule.none ? RuleFlag.NONE : 0) | (rule.force ? RuleFlag.FORCE : 0);
}

/** The `rules` map: what was asked for, in order. */
export function encodeRules(rules: Rule[]): Uint8Array {
  return encodeAll(
    "tcpx_rule_record",
    rules.map((rule) => ({
      ext: extensionOf(rule).id,
      kind: KINDS.indexOf(rule.kind),
      flags: flagsOf(rule),
      direction: DIRECTIONS[rule.selector.direction],
      family: rule.selector.family,
      prefix: rule.selector.prefix,
      port: rule.selector.port,
      value: [...rule.value],
      netns_cookie: rule.netns?.cookie ?? 0n,
      netns_inode: rule.netns?.inode ?? 0,
      address: rule.selector.address,
    })),
  );
}

export function decodeRules(bytes: Uint8Array, count: number): Rule[] {
  return Array.from({ length: count }, (_, i) => {
    const r = decode("tcpx_rule_record", bytes, i * sizeOf("tcpx_rule_record"));
    return {
      ext: extensionById(r.ext).name,
      kind: KINDS[r.kind]!,
      selector: {
        direction: DIRECTION_NAMES[r.direction]!,
        family: r.family as 0 | 4 | 6,
        address: r.address,
        prefix: r.prefix,
        port: r.port,
      },
      netns: r.netns_cookie === 0n ? null : { cookie: r.netns_cookie, inode: r.netns_inode },
      none: (r.flags & RuleFlag.NONE) !== 0,
      force: (r.flags & RuleFlag.FORCE) !== 0,
      value: [r.value[0]!, r.value[1]!],
    };
  });
}

/** A rule as the programs read it; `scope` is what it stands in. */
export function encodeSlot(scope: bigint, rule: Rule | undefined): Struct<"tcpx_rule"> {
  if (!rule) return { flags: 0, prefix: 0, reserved: 0, id: 0, value: [0, 0] };
  const { selector, value } = rule;
  return {
    flags: flagsOf(rule),
    prefix: selector.prefix,
    reserved: 0,
    id: ruleId(scope, rule),
    value: [...value],
  };
}

function policyOf(scope: bigint, entry: Entry): Partial<Struct<"tcpx_policy">> {
  const slots = (ext: number) =>
    KINDS.map((_, kind) => encodeSlot(scope, entry.slots[ext * KINDS.length + kind]));
  return { rules: Array.from({ length: Ext.COUNT }, (_, ext) => slots(ext)) as Struct<"tcpx_rule">[][] };
}

/** The `policies` map of a scope: LPM keys and their values, back to back. */
export function encodePolicies(scope: bigint, { entries }: Table): { keys: Uint8Array; values: Uint8Array } {
  const keys = entries.map((entry) => ({
    prefixlen: KEY_BITS + entry.bits,
    direction: DIRECTIONS[entry.direction],
    family: entry.family === 4 ? Family.IPV4 : Family.IPV6,
    port: entry.port,
    netns: entry.netns,
    address: entry.address,
  }));
  return {
    keys: encodeAll("tcpx_policy_key", keys),
    values: encodeAll(
      "tcpx_policy",
      entries.map((entry) => policyOf(scope, entry)),
    ),
  };
}

/** The `namespaces` map: cookie to index. */
export function encodeNamespaces({ namespaces }: Table): { keys: Uint8Array; values: Uint8Array } {
  return {
    keys: new Uint8Array(new BigUint64Array(namespaces.keys()).buffer),
    values: new Uint8Array(new Uint32Array(namespaces.values()).buffer),
  };
}
