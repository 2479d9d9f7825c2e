// SPDX-License-Identifier: MIT
// What network namespaces do not get, and why: their routing decides, not the rules.

import { ownNamespace } from "../system/netns.ts";

/** By the words of tcpx_agent_denied(). */
const WHAT = {
  thinned: "ACKs are not thinned",
} as const;

export interface Denied {
  /** Inode number of the network namespace. */
  netns: number;
  what: keyof typeof WHAT;
  why: string;
}

const MOST_LINES = 10;

/** The lines of tcpx_agent_denied(). */
export function parseDenied(text: string): Denied[] {
  return text.split("\n").flatMap((line) => {
    const [, netns, what, why] = /^(\d+) (\w+) (.+)$/.exec(line) ?? [];
    return what !== undefined && what in WHAT
      ? [{ netns: Number(netns), what: what as Denied["what"], why: why! }]
      : [];
  });
}

/** A line for each, of so many. */
export function deniedLines(denied: readonly Denied[], own = ownNamespace().inode): string[] {
  const lines = denied.slice(0, MOST_LINES).map(({ netns, what, why }) => {
    const where = netns === own ? "in this network namespace" : `in network namespace net:[${netns}]`;
    return `${WHAT[what]} ${where}: ${why}`;
  });
  const left = denied.length - lines.length;
  return left > 0 ? [...lines, `and so in ${left} more`] : lines;
}
