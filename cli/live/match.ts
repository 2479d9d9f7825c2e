// SPDX-License-Identifier: MIT
// Which rule a standing connection has: the look-up of embedded-bpf/policy.bpf.h, in user space.

import type { Entry, Table } from "../policy/flatten.ts";
import { inPrefix } from "../policy/prefix.ts";
import type { Kind, Rule } from "../policy/rule.ts";

/** A connection as far as selectors look at it. */
export interface Seen {
  direction: "to" | "from";
  family: 4 | 6;
  /** 16 bytes, IPv4 as ::ffff:a.b.c.d. */
  remote: Uint8Array;
  /** Of the side that listens. */
  port: number;
  netnsCookie: bigint;
}

/** Rules of one scope, ready for many look-ups. */
export class Matcher {
  private readonly spaces = new Map<string, Entry[]>();

  constructor(private readonly table: Table) {
    for (const entry of table.entries) {
      const key = `${entry.direction} ${entry.family} ${entry.netns} ${entry.port}`;
      const held = this.spaces.get(key) ?? [];
      held.push(entry);
      this.spaces.set(key, held);
    }
    for (const entries of this.spaces.values()) entries.sort((a, b) => b.bits - a.bits);
  }

  rule(seen: Seen, ext: string, kind: Kind): Rule | undefined {
    const slot = this.table.slots.of(ext, kind);
    if (slot === undefined) return undefined;
    const netns = this.table.namespaces.get(seen.netnsCookie) ?? 0;
    const at = (port: number) => {
      const entries = this.spaces.get(`${seen.direction} ${seen.family} ${netns} ${port}`);
      return entries?.find((entry) => inPrefix(seen.remote, 0, entry.address, entry.bits))?.slots[slot];
    };
    const [port, any] = [seen.port ? at(seen.port) : undefined, at(0)];
    if (port && any && any.selector.prefix > port.selector.prefix) return any;
    return port ?? any;
  }
}
