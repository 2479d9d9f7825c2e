// SPDX-License-Identifier: MIT
// Whether the routing here can carry ACKs at once: asked before a rule for them is set.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import type { Change } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import { effectOf, wayText } from "./effect.ts";
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
  return { code, why: new TextDecoder().decode(why).replace(/\0.*$/s, "") || code };
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

/**
 * Judges the caller's network namespace, when these rules hold in it; others are judged when their first
 * connection comes, and `tcpx status` tells.
 * @returns what will not be acknowledged at once all the same
 * @throws TcpxError (unsupported) with the reason; nothing was changed
 */
export function requireRoutes(lib: Bridge, scope: Scope, { added, unchanged }: Change): string[] {
  const local = added.filter(({ kind }) => kind === "local");
  const mask = bitsOf(local);
  if (mask !== 0 && netnsToServe(scope, local)) {
    const verdict = refusedBy(lib, mask);
    if (verdict) throw cannot(verdict.why, verdict.code === "EPERM" ? DELAY : hintFor(lib, verdict));
  }
  const all = [...added, ...unchanged];
  const bits = bitsOf(all);
  if (bits === 0 || !netnsToServe(scope, all)) return [];
  const selectors = mask === 0 ? [] : local.filter((rule) => wishOf(rule)?.markBit != null);
  const effect = effectOf(
    lib,
    bits,
    selectors.map(({ selector }) => selector),
  );
  if (effect?.carries === false) throw cannot(effect.why, DELAY);
  return (effect?.ways ?? []).map(wayText);
}
