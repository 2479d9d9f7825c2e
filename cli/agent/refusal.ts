// SPDX-License-Identifier: MIT
// Whether the routing here can carry ACKs at once: asked before a rule for them is set.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, fromCstr } from "../bridge/bridge.ts";
import type { Change } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import { pidsBelow } from "../system/netns.ts";
import { effectOf, wayTexts } from "./effect.ts";
import { ownNetns } from "./notify.ts";
import { netnsToServe } from "./told.ts";
import { wishOf } from "./wish.ts";

const REASON_SIZE = 256;
const BITS = 32;
const DELAY = "--delay needs no routes";

interface Verdict {
  code: string;
  why: string;
}

/** Undefined: it can. */
function refusedBy(lib: Bridge, mask: number): Verdict | undefined {
  const why = new Uint8Array(REASON_SIZE);
  const result = lib.tcpx_routes_check(mask, why, why.length);
  if (result >= 0) return undefined;
  const { code } = new Errno("routes", -result);
  return { code, why: fromCstr(why) || code };
}

/** A way out that there is: another bit does not help against a rule that looks at all of them. */
function hintFor(lib: Bridge, { why }: Verdict): string {
  if (!why.includes("same bit of the mark")) return DELAY;
  const bit = Array.from({ length: BITS }, (_, i) => BITS - 1 - i).find(
    (b) => !refusedBy(lib, (1 << b) >>> 0),
  );
  return bit === undefined ? DELAY : `--mark-bit ${bit} is free here; ${DELAY}`;
}

const cannot = (why: string, hint: string) =>
  new TcpxError(Exit.UNSUPPORTED, `routing here cannot carry ACKs at once: ${why}`, { hint });

const bitsOf = (rules: readonly Rule[]) =>
  rules.flatMap((rule) => wishOf(rule)?.markBit ?? []).reduce((all, bit) => all | (1 << bit), 0) >>> 0;

/** Processes may come to it from here, or from another namespace. */
const isEmpty = ({ path }: Scope) => path !== undefined && pidsBelow(path).length === 0;

/**
 * Judges the caller's network namespace, when these rules hold in it; others are judged when their first
 * connection comes, and `tcpx status` tells. For a scope without processes nothing is refused.
 * @param fromHere its processes will be of the caller's namespace
 * @returns what will not be acknowledged at once all the same
 * @throws TcpxError (unsupported) with the reason; nothing was changed
 */
export function requireRoutes(
  lib: Bridge,
  scope: Scope,
  { added, unchanged }: Change,
  fromHere = false,
): string[] {
  const own = ownNetns()?.inode;
  const here = (rules: Rule[]) => rules.filter(({ netns }) => !netns || netns.inode === own);
  const change = { added: here(added), unchanged: here(unchanged) };
  const all = [...change.added, ...change.unchanged];
  if (bitsOf(all) === 0) return [];
  if (fromHere || netnsToServe(scope, all)) return judged(lib, change);
  if (!isEmpty(scope)) return [];
  try {
    return judged(lib, change);
  } catch (error) {
    if (!(error instanceof TcpxError)) throw error;
    return [`${error.message}: so it is for processes that come from here`];
  }
}

function judged(lib: Bridge, { added, unchanged }: Pick<Change, "added" | "unchanged">): string[] {
  const local = added.filter(({ kind }) => kind === "local");
  const mask = bitsOf(local);
  if (mask !== 0) {
    const verdict = refusedBy(lib, mask);
    if (verdict) throw cannot(verdict.why, verdict.code === "EPERM" ? DELAY : hintFor(lib, verdict));
  }
  const bits = bitsOf([...added, ...unchanged]);
  const selectors = mask === 0 ? [] : local.filter((rule) => wishOf(rule)?.markBit != null);
  const effect = effectOf(
    lib,
    bits,
    selectors.map(({ selector }) => selector),
  );
  if (effect?.carries === false) throw cannot(effect.why, DELAY);
  return wayTexts(effect?.ways ?? []);
}
