// SPDX-License-Identifier: MIT
// Rules of a service that does not run: its cgroup is gone, its pins are kept until the next one is there.

import type { Bridge } from "../bridge/bridge.ts";
import type { Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import { serviceOf } from "../system/unit-hook.ts";
import * as pins from "./pins.ts";
import { readHead, readHeads, readScope, type ScopeHead } from "./state.ts";
import { type Lock, replaceRules } from "./store.ts";

/** The rules that wait for this service, the newest cgroup's if there are several. */
export function waitingFor(lib: Bridge, service: string): ScopeHead | undefined {
  return readHeads(lib)
    .filter(({ name, waiting, visible }) => waiting && visible && serviceOf(name) === service)
    .sort((a, b) => Number(b.id - a.id))[0];
}

/**
 * Gives a service's new cgroup the rules of the one before, unless it has rules of its own. A kill on the
 * way leaves the rules with one of them. Call it with the lock held.
 * @returns the rules that it got
 */
export async function adopt(lib: Bridge, held: Lock, scope: Scope): Promise<Rule[]> {
  const service = serviceOf(scope.name);
  if (service === undefined || scope.waiting) return [];
  let adopted: Rule[] = [];
  for (let old = waitingFor(lib, service); old; old = waitingFor(lib, service)) {
    if (!readHead(lib, scope.id)) {
      adopted = readScope(lib, old.id)?.rules ?? [];
      await replaceRules(lib, held, scope, adopted);
    }
    pins.removeScope(lib, held.bpffs, old.id);
  }
  return adopted;
}
