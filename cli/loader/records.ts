// SPDX-License-Identifier: MIT
// Rules and look-up tables as the bytes of the maps.

import { extensionById, extensionOf } from "../extensions/index.ts";
import { Direction as D, Family, RuleFlag, structs } from "../layout/layout.generated.ts";
import { bytesGetter, bytesPutter, getter, putter, type Struct, sizeOf } from "../layout/struct.ts";
import type { Entry, Table } from "../policy/flatten.ts";
import { type Direction, KINDS, type Rule, ruleId } from "../policy/rule.ts";
import { DEFAULT_SITE, EXID_NAMES, type Site } from "../wire/site.ts";

const DIRECTIONS: Record<Direction, number> = { both: D.BOTH, to: D.TO, from: D.FROM };
const DIRECTION_NAMES = Object.fromEntries(
  Object.entries(DIRECTIONS).map(([name, n]) => [n, name as Direction]),
);
/** Bits of a policy key in front of the address, all of them always significant. */
const KEY_BITS = 64;

function flagsOf(rule: Rule): number {
  return RuleFlag.SET | (rule.none ? RuleFlag.NONE : 0) | (rule.force ? RuleFlag.FORCE : 0);
}

const RECORD = {
  ext: putter("tcpx_rule_record", "ext"),
  kind: putter("tcpx_rule_record", "kind"),
  flags: putter("tcpx_rule_record", "flags"),
  direction: putter("tcpx_rule_record", "direction"),
  family: putter("tcpx_rule_record", "family"),
  prefix: putter("tcpx_rule_record", "prefix"),
  port: putter("tcpx_rule_record", "port"),
  first: putter("tcpx_rule_record", "value", 0),
  second: putter("tcpx_rule_record", "value", 1),
  cookie: putter("tcpx_rule_record", "netns_cookie"),
  inode: putter("tcpx_rule_record", "netns_inode"),
  address: bytesPutter("tcpx_rule_record", "address"),
};

/** The `rules` map: what was asked for, in order. */
export function encodeRules(rules: Rule[]): Uint8Array {
  const size = sizeOf("tcpx_rule_record");
  const bytes = new Uint8Array(rules.length * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!;
    const { selector, value, netns } = rule;
    const at = i * size;
    RECORD.ext(view, at, extensionOf(rule).id);
    RECORD.kind(view, at, KINDS.indexOf(rule.kind));
    RECORD.flags(view, at, flagsOf(rule));
    RECORD.direction(view, at, DIRECTIONS[selector.direction]);
    RECORD.family(view, at, selector.family);
    RECORD.prefix(view, at, selector.prefix);
    RECORD.port(view, at, selector.port);
    RECORD.first(view, at, value[0]);
    RECORD.second(view, at, value[1]);
    RECORD.cookie(view, at, netns?.cookie ?? 0n);
    RECORD.inode(view, at, netns?.inode ?? 0);
    RECORD.address(view, at, selector.address);
  }
  return bytes;
}

const READ = {
  ext: getter("tcpx_rule_record", "ext"),
  kind: getter("tcpx_rule_record", "kind"),
  flags: getter("tcpx_rule_record", "flags"),
  direction: getter("tcpx_rule_record", "direction"),
  family: getter("tcpx_rule_record", "family"),
  prefix: getter("tcpx_rule_record", "prefix"),
  port: getter("tcpx_rule_record", "port"),
  first: getter("tcpx_rule_record", "value", 0),
  second: getter("tcpx_rule_record", "value", 1),
  cookie: getter("tcpx_rule_record", "netns_cookie"),
  inode: getter("tcpx_rule_record", "netns_inode"),
  address: bytesGetter("tcpx_rule_record", "address"),
};

export function decodeRules(bytes: Uint8Array, count: number): Rule[] {
  const size = sizeOf("tcpx_rule_record");
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, i) => {
    const at = i * size;
    const flags = READ.flags(view, at);
    const cookie = READ.cookie(view, at);
    return {
      ext: extensionById(READ.ext(view, at)).name,
      kind: KINDS[READ.kind(view, at)]!,
      selector: {
        direction: DIRECTION_NAMES[READ.direction(view, at)]!,
        family: READ.family(view, at) as 0 | 4 | 6,
        address: READ.address(bytes, at),
        prefix: READ.prefix(view, at),
        port: READ.port(view, at),
      },
      netns: cookie === 0n ? null : { cookie, inode: READ.inode(view, at) },
      none: (flags & RuleFlag.NONE) !== 0,
      force: (flags & RuleFlag.FORCE) !== 0,
      value: [READ.first(view, at), READ.second(view, at)],
    };
  });
}

/** A rule as the programs read it; `scope` is what it stands in. */
export function encodeSlot(scope: bigint, rule: Rule | undefined): Struct<"tcpx_rule"> {
  if (!rule) return { flags: 0, prefix: 0, outcome: 0, reserved: 0, id: 0, value: [0, 0] };
  const { selector, value } = rule;
  return {
    flags: flagsOf(rule),
    prefix: selector.prefix,
    outcome: 0,
    reserved: 0,
    id: ruleId(scope, rule),
    value: [...value],
  };
}

const KEY = {
  prefixlen: putter("tcpx_policy_key", "prefixlen"),
  direction: putter("tcpx_policy_key", "direction"),
  family: putter("tcpx_policy_key", "family"),
  port: putter("tcpx_policy_key", "port"),
  netns: putter("tcpx_policy_key", "netns"),
  address: bytesPutter("tcpx_policy_key", "address"),
};

const RULE = {
  flags: putter("tcpx_rule", "flags"),
  prefix: putter("tcpx_rule", "prefix"),
  id: putter("tcpx_rule", "id"),
  first: putter("tcpx_rule", "value", 0),
  second: putter("tcpx_rule", "value", 1),
};

function encodeSlots(view: DataView, from: number, scope: bigint, { slots }: Entry): void {
  for (let slot = 0; slot < slots.length; slot++) {
    const rule = slots[slot];
    if (!rule) continue;
    const at = from + structs.tcpx_policy.fields.rules.offset + slot * sizeOf("tcpx_rule");
    RULE.flags(view, at, flagsOf(rule));
    RULE.prefix(view, at, rule.selector.prefix);
    RULE.id(view, at, ruleId(scope, rule));
    RULE.first(view, at, rule.value[0]);
    RULE.second(view, at, rule.value[1]);
  }
}

/** Part of the `policies` map of a scope: LPM keys and their values, back to back. */
export function encodePolicies(
  scope: bigint,
  { entries }: Pick<Table, "entries">,
): { keys: Uint8Array; values: Uint8Array } {
  const [keySize, valueSize] = [sizeOf("tcpx_policy_key"), sizeOf("tcpx_policy")];
  const keys = new Uint8Array(entries.length * keySize);
  const values = new Uint8Array(entries.length * valueSize);
  const [keyView, valueView] = [new DataView(keys.buffer), new DataView(values.buffer)];
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    const at = i * keySize;
    KEY.prefixlen(keyView, at, KEY_BITS + entry.bits);
    KEY.direction(keyView, at, DIRECTIONS[entry.direction]);
    KEY.family(keyView, at, entry.family === 4 ? Family.IPV4 : Family.IPV6);
    KEY.port(keyView, at, entry.port);
    KEY.netns(keyView, at, entry.netns);
    KEY.address(keyView, at, entry.address);
    encodeSlots(valueView, i * valueSize, scope, entry);
  }
  return { keys, values };
}

/** The `namespaces` map: cookie to index. */
export function encodeNamespaces({ namespaces }: Table): { keys: Uint8Array; values: Uint8Array } {
  return {
    keys: new Uint8Array(new BigUint64Array(namespaces.keys()).buffer),
    values: new Uint8Array(new Uint32Array(namespaces.values()).buffer),
  };
}

const field = (name: string) => name.replace("-", "_") as keyof Struct<"tcpx_exids">;

export function encodeSite({ exids, algorithms }: Site): Struct<"tcpx_site"> {
  const named = EXID_NAMES.map((name) => [field(name), exids[name]]);
  const reserved = new Uint8Array();
  return {
    exids: { ...Object.fromEntries(named), reserved: 0 },
    algorithms: algorithms.map((algorithm) => ({ ...(algorithm ?? { name: "", number: 0 }), reserved })),
  };
}

/** All zeros are those of a layout that had no table. */
export function decodeSite({ exids, algorithms }: Struct<"tcpx_site">): Site {
  if (exids.cc_ask === 0) return DEFAULT_SITE;
  const named = EXID_NAMES.map((name) => [name, exids[field(name)]]);
  return {
    exids: Object.fromEntries(named),
    algorithms: algorithms.map(({ name, number }) => (number === 0 ? null : { name, number })),
  };
}
