// SPDX-License-Identifier: MIT
// Rules and look-up tables as the bytes of the maps.

import { extensions, numbersOf, storedAs } from "../extensions/index.ts";
import { Direction as D, Family, Role, RuleFlag, structs } from "../layout/layout.generated.ts";
import { bytesGetter, bytesPutter, getter, LITTLE, putter, type Struct, sizeOf } from "../layout/struct.ts";
import type { Entry, Table } from "../policy/flatten.ts";
import { type Direction, type Rule, ruleId, VALUE_WORDS, type Value, valueWords } from "../policy/rule.ts";
import { exidOf, type Site } from "../wire/site.ts";

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

const MORE = structs.tcpx_rule_record.fields.more.offset;

/** Bytes of a record of rules whose values have so many words. */
export const recordSize = (words: number): number => MORE + Math.max(0, words - 2) * 4 + (words % 2) * 4;

/** Is it one of ours? */
export const isRecordSize = (size: number): boolean => size >= MORE && size <= sizeOf("tcpx_rule_record");

/** The `rules` map: what was asked for, in order. @param size of a record */
export function encodeRules(rules: Rule[], size = recordSize(valueWords(rules))): Uint8Array {
  const bytes = new Uint8Array(rules.length * size);
  const view = new DataView(bytes.buffer);
  for (let i = 0; i < rules.length; i++) {
    const rule = rules[i]!;
    const { selector, value, netns } = rule;
    const at = i * size;
    const { id, kind } = numbersOf(rule);
    RECORD.ext(view, at, id);
    RECORD.kind(view, at, kind);
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
    for (let word = 2; word < value.length; word++)
      view.setUint32(at + MORE + (word - 2) * 4, value[word]!, LITTLE);
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

/** Words that a rule does not have are 0, and not told. */
function valueAt(view: DataView, at: number, size: number): Value {
  const value: [number, number, ...number[]] = [READ.first(view, at), READ.second(view, at)];
  for (let from = MORE; from < size; from += 4) value.push(view.getUint32(at + from, LITTLE));
  while (value.length > 2 && value.at(-1) === 0) value.pop();
  return value;
}

/** @param size of a record: older layouts' end behind the address */
export function decodeRules(bytes: Uint8Array, count: number, size = recordSize(2)): Rule[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return Array.from({ length: count }, (_, i) => {
    const at = i * size;
    const flags = READ.flags(view, at);
    const cookie = READ.cookie(view, at);
    return {
      ...storedAs(READ.ext(view, at), READ.kind(view, at)),
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
      value: valueAt(view, at, size),
    };
  });
}

/** A rule as the programs read it; `scope` is what it stands in. */
export function encodeSlot(scope: bigint, rule: Rule | undefined): Struct<"tcpx_rule"> {
  const words = Array<number>(VALUE_WORDS).fill(0);
  const reserved = new Uint8Array(2);
  if (!rule) return { flags: 0, prefix: 0, reserved, id: 0, value: words };
  return {
    flags: flagsOf(rule),
    prefix: rule.selector.prefix,
    reserved,
    id: ruleId(scope, rule),
    value: words.map((_, i) => rule.value[i] ?? 0),
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
};
const VALUE = structs.tcpx_rule.fields.value.offset;

/** Bytes of a rule whose value has so many words. */
export const ruleSize = (words: number): number => VALUE + (words + (words % 2)) * 4;

export function encodeRule(view: DataView, at: number, scope: bigint, rule: Rule): void {
  RULE.flags(view, at, flagsOf(rule));
  RULE.prefix(view, at, rule.selector.prefix);
  RULE.id(view, at, ruleId(scope, rule));
  for (let i = 0; i < rule.value.length; i++) view.setUint32(at + VALUE + i * 4, rule.value[i]!, LITTLE);
}

/** Part of the `policies` map of a scope: LPM keys, back to back. */
export function encodeKeys(entries: readonly Entry[]): Uint8Array {
  const keySize = sizeOf("tcpx_policy_key");
  const keys = new Uint8Array(entries.length * keySize);
  const keyView = new DataView(keys.buffer);
  for (let i = 0; i < entries.length; i++) {
    const entry = entries[i]!;
    const at = i * keySize;
    KEY.prefixlen(keyView, at, KEY_BITS + entry.bits);
    KEY.direction(keyView, at, DIRECTIONS[entry.direction]);
    KEY.family(keyView, at, entry.family === 4 ? Family.IPV4 : Family.IPV6);
    KEY.port(keyView, at, entry.port);
    KEY.netns(keyView, at, entry.netns);
    KEY.address(keyView, at, entry.address);
  }
  return keys;
}

/** The `namespaces` map: cookie to index. */
export function encodeNamespaces({ namespaces }: Table): { keys: Uint8Array; values: Uint8Array } {
  return {
    keys: new Uint8Array(new BigUint64Array(namespaces.keys()).buffer),
    values: new Uint8Array(new Uint32Array(namespaces.values()).buffer),
  };
}

/** Layouts up to 8 had a place for each of these. */
const OLD_EXIDS = ["cc-ask", "cc-answer", "iw-ask", "iw-answer", "ack-ask", "ack-answer", "tarr"];

const ROLES = { ask: Role.ASK, answer: Role.ANSWER } as const;
/** Every identifier that there is, and what it is for. */
const identifiers = () =>
  extensions.flatMap(({ id, options = [] }) =>
    options.flatMap(({ identifier, role, own }) =>
      identifier ? [{ identifier, ext: id, role: own ? Role.OWN : ROLES[role] }] : [],
    ),
  );

/** The table as it is pinned: what differs from the documented. */
export function encodeSite({ exids, algorithms }: Site): Struct<"tcpx_site"> {
  const reserved = new Uint8Array(6);
  const changed = identifiers().flatMap(({ identifier, ext, role }) => {
    const exid = exids[identifier.name];
    return exid === undefined ? [] : [{ ext, role, exid }];
  });
  return {
    old_exids: Array<number>(structs.tcpx_site.fields.old_exids.dims[0]).fill(0),
    algorithms: algorithms.map((algorithm) => ({ ...(algorithm ?? { name: "", number: 0 }), reserved })),
    exids: Array.from(
      { length: structs.tcpx_site.fields.exids.dims[0] },
      (_, i) => changed[i] ?? { ext: 0, role: 0, exid: 0 },
    ),
  };
}

/** What it lacks is as documented. */
export function decodeSite({ old_exids, algorithms, exids }: Struct<"tcpx_site">): Site {
  const old = new Map(OLD_EXIDS.map((name, i) => [name, old_exids[i] ?? 0]));
  const changed = identifiers().flatMap(({ identifier: { name, documented }, ext, role }) => {
    const own = exids.find((of) => of.exid !== 0 && of.ext === ext && of.role === role)?.exid;
    const exid = own ?? (old.get(name) || documented);
    return exid === documented ? [] : [[name, exid]];
  });
  return {
    exids: Object.fromEntries(changed),
    algorithms: algorithms.map(({ name, number }) => (number === 0 ? null : { name, number })),
  };
}

/** config.exids: of every extension and role, what is in use. */
export function encodeExids(site: Site): number[][] {
  const [places, roles] = structs.tcpx_config.fields.exids.dims;
  const rows = Array.from({ length: places }, () => Array<number>(roles).fill(0));
  for (const { identifier, ext, role } of identifiers()) rows[ext]![role] = exidOf(identifier, site);
  return rows;
}
