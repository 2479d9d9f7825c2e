// SPDX-License-Identifier: MIT
// Which of the listed sockets are wanted, in which order.

import { meant } from "../base/did-you-mean.ts";
import { usageError } from "../base/errors.ts";
import { Direction } from "../layout/layout.generated.ts";
import { inPrefix } from "../policy/prefix.ts";
import type { Selector } from "../policy/rule.ts";
import { LISTEN, type Listed, STATES } from "./listed.ts";

/** @throws TcpxError (usage) for a name that is none */
export function parseStates(text: string | undefined): Set<number> | undefined {
  if (text === undefined) return undefined;
  const names = Object.entries(STATES);
  return new Set(
    text.split(",").map((word) => {
      const found = names.find(([, name]) => name === word.trim().toLowerCase());
      if (found) return Number(found[0]);
      const accepted = names.map(([, name]) => name);
      const hint = meant(word.trim(), accepted, `accepted is ${accepted.join(", ")}`);
      throw usageError(`--state '${text}' has '${word}', which is none`, text, hint);
    }),
  );
}

/** Records of connections, as far as selectors are about them. */
export interface Selectable {
  readonly bytes: Uint8Array;
  direction(at: number): number;
  family(at: number): number;
  remoteAt(at: number): number;
  localPort(at: number): number;
  remotePort(at: number): number;
}

function addressMatches(list: Selectable, at: number, { family, address, prefix }: Selector): boolean {
  if (family === 0) return true;
  if (list.family(at) !== family) return false;
  return inPrefix(list.bytes, list.remoteAt(at), address, family === 4 ? 96 + prefix : prefix);
}

/** Is the record that begins there one that a rule with this selector would be for? */
export function matches(list: Selectable, at: number, selector: Selector): boolean {
  const to = list.direction(at) === Direction.TO;
  if (selector.direction !== "both" && (selector.direction === "to") !== to) return false;
  const port = to ? list.remotePort(at) : list.localPort(at);
  return (selector.port === 0 || selector.port === port) && addressMatches(list, at, selector);
}

const place = (netns: number, port: number) => netns * 65_536 + port;

/**
 * Where tcpx has not seen the handshake: a local port that somebody listens on belongs to a connection
 * that was accepted.
 */
function guessDirections(list: Listed): number[] {
  const listened = new Set<number>();
  const found: number[] = [];
  for (let at = 0; at < list.bytes.length; at += list.record) {
    if (list.state(at) === LISTEN) listened.add(place(list.netns(at), list.localPort(at)));
    else if (STATES[list.state(at)]) found.push(at);
  }
  for (const at of found) {
    if (list.direction(at) !== Direction.BOTH) continue;
    const accepted = listened.has(place(list.netns(at), list.localPort(at)));
    list.setDirection(at, accepted ? Direction.FROM : Direction.TO);
  }
  return found;
}

function compareAddresses(list: Listed, a: number, b: number): number {
  for (let i = 0; i < 16; i += 4) {
    const difference = list.word(a + i) - list.word(b + i);
    if (difference !== 0) return difference;
  }
  return 0;
}

/** By namespace, local address and port, then the peer's: the same order at every call. */
function compare(list: Listed, a: number, b: number): number {
  return (
    list.netns(a) - list.netns(b) ||
    compareAddresses(list, list.localAt(a), list.localAt(b)) ||
    list.localPort(a) - list.localPort(b) ||
    compareAddresses(list, list.remoteAt(a), list.remoteAt(b)) ||
    list.remotePort(a) - list.remotePort(b)
  );
}

/** Where the records of the wanted connections begin, in order. */
export function pick(list: Listed, selectors: Selector[], states: Set<number> | undefined): number[] {
  const found = guessDirections(list);
  const wanted = found.filter(
    (at) =>
      (!states || states.has(list.state(at))) && selectors.some((selector) => matches(list, at, selector)),
  );
  return wanted.sort((a, b) => compare(list, a, b));
}
