// SPDX-License-Identifier: MIT
// What the caller's own network namespace does not get: looked at when it is asked, without an agent.

import { readFileSync } from "node:fs";
import type { Bridge } from "../bridge/bridge.ts";
import type { Rule } from "../policy/rule.ts";
import { namespaceOf, ownNamespace, pidsBelow } from "../system/netns.ts";
import type { Denied } from "./denied.ts";
import { wishOf } from "./wish.ts";

const REASON_SIZE = 256;

const textOf = (bytes: Uint8Array) => new TextDecoder().decode(bytes).replace(/\0.*$/s, "");

/** Asking for IPsec policies would load a module of the kernel where nobody has used it yet. */
function hasIpsecModule(): boolean {
  // sk, protocol, pid: the kernel's own socket has pid 0
  return /^\S+ +6 +0 /m.test(readFileSync("/proc/thread-self/net/netlink", "latin1"));
}

function whyNotThinned(lib: Bridge): string | undefined {
  const why = new Uint8Array(REASON_SIZE);
  if (lib.tcpx_held_path(why, why.length) < 0) return textOf(why) || undefined;
  return hasIpsecModule() && lib.tcpx_ipsec_policies() > 0 ? "it has IPsec policies" : undefined;
}

interface Place {
  name: string;
  path: string | undefined;
  rules: readonly Rule[];
}

/** Do rules that thin hold for connections of this namespace, as far as anybody knows? */
function thinsIn(netns: number, { name, path, rules }: Place): boolean {
  const holds = (rule: Rule) => wishOf(rule)?.thins === true && (!rule.netns || rule.netns.inode === netns);
  if (!rules.some(holds)) return false;
  if (name === "/" || path === undefined) return name === "/";
  const pids = pidsBelow(path);
  return pids.length === 0 || pids.some((pid) => namespaceOf(pid)?.inode === netns);
}

/**
 * All that is denied: in the caller's namespace as it is now, elsewhere as the agent says.
 * @param places with the rules that are in force
 */
export function allDenied(lib: Bridge, places: readonly Place[], byAgent: readonly Denied[] = []): Denied[] {
  const { inode } = ownNamespace();
  const elsewhere = byAgent.filter(({ netns, what }) => netns !== inode || what !== "thinned");
  if (!places.some((place) => thinsIn(inode, place))) return elsewhere;
  const why = whyNotThinned(lib);
  return why === undefined ? elsewhere : [{ netns: inode, what: "thinned", why }, ...elsewhere];
}
