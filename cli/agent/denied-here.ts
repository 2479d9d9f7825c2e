// SPDX-License-Identifier: MIT
// What network namespaces do not get: looked at when it is asked, by whoever asks.

import { readFileSync } from "node:fs";
import { type Bridge, fromCstr } from "../bridge/bridge.ts";
import type { Rule } from "../policy/rule.ts";
import { inNetns, type Namespace, namespaceOf, ownNamespace, pidsBelow } from "../system/netns.ts";
import type { Denied } from "./denied.ts";
import { wishOf } from "./wish.ts";

const REASON_SIZE = 256;
/** Namespaces that are looked at; of others the agent's word has to do. */
const MOST_LOOKS = 64;

/** Asking for IPsec policies would load a module of the kernel where nobody has used it yet. */
function hasIpsecModule(): boolean {
  // sk, protocol, pid: the kernel's own socket has pid 0
  return /^\S+ +6 +0 /m.test(readFileSync("/proc/thread-self/net/netlink", "latin1"));
}

function whyNotThinned(lib: Bridge): string | undefined {
  const why = new Uint8Array(REASON_SIZE);
  if (lib.tcpx_held_path(why, why.length) < 0) return fromCstr(why) || undefined;
  return hasIpsecModule() && lib.tcpx_ipsec_policies() > 0 ? "it has IPsec policies" : undefined;
}

interface Place {
  name: string;
  path: string | undefined;
  rules: readonly Rule[];
}

/** Namespaces in which rules that thin hold, as far as anybody knows: of a cgroup's processes, or else our own. */
function thinnedNamespaces({ name, path, rules }: Place): Namespace[] {
  const thinning = rules.filter((rule) => wishOf(rule)?.thins === true);
  if (thinning.length === 0 || (name !== "/" && path === undefined)) return [];
  const pids = name === "/" ? [] : pidsBelow(path!);
  const found = pids.length === 0 ? [ownNamespace()] : pids.flatMap((pid) => namespaceOf(pid) ?? []);
  return found.filter(({ inode }) => thinning.some(({ netns }) => !netns || netns.inode === inode));
}

/**
 * All that is denied: as it is now in the namespaces of the scopes' processes, and elsewhere as the agent says.
 * @param places with the rules that are in force
 */
export function allDenied(lib: Bridge, places: readonly Place[], byAgent: readonly Denied[]): Denied[] {
  const all = new Map(places.flatMap(thinnedNamespaces).map((namespace) => [namespace.inode, namespace]));
  const looked = new Map<number, string | undefined>();
  const own = ownNamespace().inode;
  const why = () => whyNotThinned(lib);
  for (const { inode, path } of [...all.values()].slice(0, MOST_LOOKS)) {
    const done = inode === own ? { value: why() } : inNetns(lib, path, why); // our own takes no right to enter
    if (done) looked.set(inode, done.value);
  }
  const seen = [...looked].flatMap(([netns, reason]) =>
    reason === undefined ? [] : [{ netns, what: "thinned" as const, why: reason }],
  );
  return [...seen, ...byAgent.filter(({ netns, what }) => what !== "thinned" || !looked.has(netns))];
}
