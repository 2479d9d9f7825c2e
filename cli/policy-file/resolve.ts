// SPDX-License-Identifier: MIT
// The scopes of a policy on this host.

import type { ScopeFlags } from "../base/args.ts";
import { formatDuration } from "../base/duration.ts";
import { TcpxError } from "../base/errors.ts";
import type { FoundScope } from "../loader/named-scope.ts";
import type { Scope } from "../system/host.ts";
import { lineOf, pathText } from "../toml/locate.ts";
import { Problems, problem, problemAt } from "../toml/problem.ts";
import type { Policy, PolicyScope } from "./parse.ts";

export interface PlacedScope {
  wanted: PolicyScope;
  scope: Scope;
}

const POLL_MS = 100;

/** The key that names the scope. */
function nameKey(flags: ScopeFlags): string | undefined {
  return (["unit", "cgroup"] as const).find((key) => flags[key] !== undefined);
}

/**
 * Finds every scope of a policy, waiting for those that are not there yet.
 * @param resolve undefined: go on without this one
 * @param patience milliseconds
 * @param waiting is told once that something is waited for
 * @throws TcpxError (usage) with file, line and key where there is none of that name, or two are the same
 */
export async function resolveScopes(
  policy: Policy,
  resolve: (flags: ScopeFlags) => FoundScope | undefined,
  patience: number,
  waiting: (what: string) => void,
): Promise<PlacedScope[]> {
  const end = performance.now() + patience;
  const placed = new Map<bigint, PlacedScope>();
  const problems = new Problems();
  const source = { ...policy.source, isFull: problems.isFull };
  let told = false;
  for (const wanted of policy.scopes) {
    const key = nameKey(wanted.flags);
    const at = key === undefined ? wanted.path : [...wanted.path, key];
    let scope: FoundScope | undefined;
    for (;;) {
      try {
        scope = resolve(wanted.flags);
        break;
      } catch (error) {
        if (!(error instanceof TcpxError)) throw error;
        if (!error.absent || performance.now() >= end) {
          problems.add(problemAt(source, at, hinted(error, patience)));
          break;
        }
        if (!told) waiting(error.message);
        told = true;
        await Bun.sleep(POLL_MS);
      }
    }
    if (!scope) continue;
    const other = placed.get(scope.id);
    if (other) {
      const { path } = other.wanted;
      const line = problems.isFull() ? "" : ` (line ${lineOf(source.text, path)})`;
      const what = `names the same cgroup as ${pathText(path)}${line}`;
      problems.add(problem(source, at, what, "put its rules together", scope.name));
      continue;
    }
    placed.set(scope.id, { wanted, scope });
  }
  problems.end();
  return [...placed.values()];
}

/** With what can be done about a scope that is not there yet. */
function hinted(error: TcpxError, patience: number): TcpxError {
  if (!error.absent) return error;
  const { code, message, value, hint } = error;
  const wait =
    patience > 0
      ? `waited ${formatDuration(patience)}; wait longer with --wait-cgroup`
      : "--wait-cgroup DURATION waits for it";
  return new TcpxError(code, message, {
    ...(value !== undefined && { value }),
    hint: `${hint ? `${hint}; ` : ""}${wait}`,
  });
}
