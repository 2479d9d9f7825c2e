// SPDX-License-Identifier: MIT
// What a rule is. Pure data: no extension and no kernel in here.

/** ask: we tell or request of the peer; local: we do it ourselves; accept: what we grant to peers. */
export const KINDS = ["ask", "local", "accept"] as const;
export type CommonKind = (typeof KINDS)[number];
/** One of these, or an extension's own, such as one for each of its keys. */
export type Kind = CommonKind | (string & {});

/** That of a common kind, by which it is stored; -1: it is an extension's own. */
export const commonKind = (kind: Kind): number => KINDS.indexOf(kind as CommonKind);

export type Direction = "both" | "to" | "from";

/** Which connections. Addresses are 16 bytes, IPv4 as ::ffff:a.b.c.d. */
export interface Selector {
  direction: Direction;
  /** 0: any, when neither --to nor --from was given. */
  family: 0 | 4 | 6;
  address: Uint8Array;
  /** Prefix length as written: 0..32 or 0..128. */
  prefix: number;
  /** Port of the listening side; 0: any. */
  port: number;
}

/** A network namespace; the kernel's cookie is never used again, the inode number is for people. */
export interface Netns {
  cookie: bigint;
  inode: number;
}

export interface Rule {
  /** Name of the extension, such as "uto". */
  ext: string;
  kind: Kind;
  selector: Selector;
  /** The only namespace that it is for; null: all of them. */
  netns: Netns | null;
  /** Exempts what it selects. */
  none: boolean;
  /** Overrides the application's own choice, too. */
  force: boolean;
  /** Words of 32 bits whose meaning is the extension's: two, and up to VALUE_WORDS. */
  value: Value;
}

export type Value = readonly [number, number, ...number[]];
export const VALUE_WORDS = 16;

type Place = Pick<Rule, "ext" | "kind" | "selector" | "netns">;

/** Same place, same key: a rule replaces the one that stood there. */
export function ruleKey(rule: Place): string {
  return `${rule.ext} ${rule.kind} ${placeKey(rule)}`;
}

/** Selector and namespace, whatever the extension and kind. */
export function placeKey({ selector: s, netns }: Pick<Rule, "selector" | "netns">): string {
  return `${s.direction} ${s.family} ${s.address.toHex()}/${s.prefix} ${s.port} ${netns?.cookie ?? "*"}`;
}

/** Have these the same key? Of 100,000 pairs it is asked without making 200,000 texts. */
export function samePlace(a: Place, b: Place): boolean {
  const [s, t] = [a.selector, b.selector];
  return (
    a.ext === b.ext &&
    a.kind === b.kind &&
    s.direction === t.direction &&
    s.family === t.family &&
    s.prefix === t.prefix &&
    s.port === t.port &&
    a.netns?.cookie === b.netns?.cookie &&
    s.address.every((byte, i) => byte === t.address[i])
  );
}

const DIRECTIONS: readonly Direction[] = ["both", "to", "from"];

/** The common ones first, then by name. */
export function compareKinds(a: Kind, b: Kind): number {
  if (a === b) return 0;
  const [x, y] = [commonKind(a), commonKind(b)];
  if (x >= 0 && y >= 0) return x - y;
  return x >= 0 || (y < 0 && a < b) ? -1 : 1;
}

/** For sorting by places: extension, kind, direction, address, prefix, port, namespace. Makes no texts. */
export function comparePlaces(a: Place, b: Place): number {
  const [s, t] = [a.selector, b.selector];
  if (a.ext !== b.ext) return a.ext < b.ext ? -1 : 1;
  return (
    compareKinds(a.kind, b.kind) ||
    DIRECTIONS.indexOf(s.direction) - DIRECTIONS.indexOf(t.direction) ||
    s.family - t.family ||
    Buffer.compare(s.address, t.address) ||
    s.prefix - t.prefix ||
    s.port - t.port ||
    Number((a.netns?.cookie ?? 0n) - (b.netns?.cookie ?? 0n))
  );
}

/** Do these say the same, wherever they stand? */
export function sameEffect(
  a: Pick<Rule, "none" | "force" | "value">,
  b: Pick<Rule, "none" | "force" | "value">,
): boolean {
  return a.none === b.none && a.force === b.force && sameValue(a.value, b.value);
}

function sameValue(a: Value, b: Value): boolean {
  for (let i = 0; i < a.length || i < b.length; i++) if ((a[i] ?? 0) !== (b[i] ?? 0)) return false;
  return true;
}

/**
 * Words that the values of these rules have: two at least, and as many as the extensions say. What a rule ends with
 * may be zero, and is not kept.
 * @param wordsOf an extension's, by its name
 */
export function valueWords(
  rules: readonly Pick<Rule, "ext" | "value">[],
  wordsOf: (ext: string) => number = () => 2,
): number {
  let words = 2;
  for (const ext of new Set(rules.map((rule) => rule.ext))) words = Math.max(words, wordsOf(ext));
  for (const { value } of rules) words = Math.max(words, value.length);
  return words;
}

/** A number for a rule by its place in a scope, under which the kernel's side counts; never 0. */
export function ruleId(scope: bigint, rule: Place): number {
  return Bun.hash.crc32(`${scope} ${ruleKey(rule)}`) || 1;
}
