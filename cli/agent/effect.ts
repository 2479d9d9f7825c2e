// SPDX-License-Identifier: MIT
// What ACKs at once do not reach: connections that another rule of routing sends elsewhere, and those of a host to
// itself.

import { type Bridge, Errno, fromCstr } from "../bridge/bridge.ts";
import type { Selector } from "../policy/rule.ts";

/** A rule of routing that some connections of a served namespace meet before, or without, ours. */
export interface InTheWay {
  /** Inode number. */
  netns: number;
  /** "IPv4 rule 5270 (lookup 52)" */
  rule: string;
}

/** What can be known for sure of every host. */
export const LOOPBACK = "connections of this host to itself (loopback): table local answers before any rule";

export const wayText = (rule: string): string =>
  `connections that ${rule} routes are not acknowledged at once: it is in the way of table 31904`;

/** Rules that a command warns of; a node of a cluster has one for each of its pods. */
const TOLD_MOST = 5;

export function wayTexts(rules: readonly string[]): string[] {
  const more = rules.length - TOLD_MOST;
  const told = rules.slice(0, TOLD_MOST).map(wayText);
  return more > 0
    ? [
        ...told,
        `nor what ${more} more rules of routing have: \`tcpx status\` names those of namespaces that are served`,
      ]
    : told;
}

/** Lines of tcpx_agent_effect(). */
export function parseWays(text: string): InTheWay[] {
  return text
    .split("\n")
    .map((line) => /^(\d+) (.+)$/.exec(line))
    .flatMap((match) => (match ? [{ netns: Number(match[1]), rule: match[2]! }] : []));
}

/** struct tcpx_route_scope */
const SCOPE_SIZE = 20;
/** Of one question; a policy may have 100,000 selectors, and those beyond have their connections looked at. */
const SCOPES_MOST = 256;
const TEXT_SIZE = 8192;

type Whom = Pick<Selector, "family" | "address" | "prefix">;

function encodeScopes(selectors: readonly Whom[]): Uint8Array {
  const bytes = new Uint8Array(Math.max(1, selectors.length) * SCOPE_SIZE);
  for (const [i, { family, address, prefix }] of selectors.entries()) {
    bytes.set([family, prefix], i * SCOPE_SIZE);
    bytes.set(address, i * SCOPE_SIZE + 4);
  }
  return bytes;
}

export type Effect =
  | { carries: true; ways: string[] }
  /** Every route there is for one of the selectors goes elsewhere. */
  | { carries: false; why: string };

/**
 * Asks the kernel for the routes of this network namespace.
 * @returns undefined when it does not answer: what carries nothing is found when connections come
 */
export function effectOf(lib: Bridge, markBits: number, selectors: readonly Whom[]): Effect | undefined {
  const text = new Uint8Array(TEXT_SIZE);
  const some = selectors.slice(0, SCOPES_MOST);
  const result = lib.tcpx_routes_effect(markBits, encodeScopes(some), some.length, text, text.length);
  const said = fromCstr(text);
  if (result >= 0) return { carries: true, ways: said.split("\n").filter(Boolean) };
  const { code } = new Errno("routes", -result);
  return code === "EOPNOTSUPP" || code === "ENOTSUP" ? { carries: false, why: said } : undefined;
}
