// SPDX-License-Identifier: MIT
// Whether the routing here can carry ACKs at once: asked before a rule for them is set.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import type { Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import { netnsToServe } from "./told.ts";
import { wishOf } from "./wish.ts";

const REASON_SIZE = 256;

/**
 * Judges the caller's network namespace, when these rules hold in it; others are judged when their first
 * connection comes, and `tcpx status` tells.
 * @throws TcpxError (unsupported) with the reason; nothing was changed
 */
export function requireRoutes(lib: Bridge, scope: Scope, rules: Rule[]): void {
  const local = rules.filter(({ kind }) => kind === "local");
  const bits = local.flatMap((rule) => wishOf(rule)?.markBit ?? []);
  if (bits.length === 0 || !netnsToServe(scope, local)) return;
  const why = new Uint8Array(REASON_SIZE);
  const mask = bits.reduce((all, bit) => all | (1 << bit), 0) >>> 0;
  const result = lib.tcpx_routes_check(mask, why, why.length);
  if (result >= 0) return;
  const { code } = new Errno("routes", -result);
  const text = new TextDecoder().decode(why).replace(/\0.*$/s, "") || code;
  throw new TcpxError(Exit.UNSUPPORTED, `routing here cannot carry ACKs at once: ${text}`, {
    hint:
      code === "EPERM" ? "--delay needs no routes" : "another bit of the mark (--mark-bit) or --delay may do",
  });
}
