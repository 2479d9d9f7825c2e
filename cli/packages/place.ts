// SPDX-License-Identifier: MIT
// A package gets its place on this host: a number and a file. With another version of it, scopes are loaded anew first:
// the file is the commit, so that the same command, given once more, finishes what a killed one has begun.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, isErrno } from "../bridge/bridge.ts";
import { readHead, readHeads, readScope, readScopes, type ScopeHead, scopeOf } from "../loader/state.ts";
import { type Lock, lock, replaceRules } from "../loader/store.ts";
import { takeOver } from "../loader/takeover.ts";
import type { Patience } from "../system/lock.ts";
import type { Candidate } from "./candidate.ts";
import { IDS, store } from "./folder.ts";
import { areAsRead, freeId, type Held, rulesOf, usedBy } from "./here.ts";
import { successionProblem } from "./successor.ts";
import { provide, slotObject } from "./trial.ts";

/** Where a package is to be. */
export interface Place {
  id: number;
  /** That which has the place now. */
  before: Held | undefined;
}

/** @throws TcpxError (failed) when all numbers are given */
export function placeFor({ manifest }: Candidate, held: readonly Held[], heads: readonly ScopeHead[]): Place {
  const before = held.find(({ name }) => name === manifest.name);
  const id = before?.id ?? freeId(held, usedBy(heads));
  if (id !== undefined) return { id, before };
  const theirs = held.map(({ name }) => name).join(", ");
  throw new TcpxError(Exit.FAILED, `this host has ${IDS.length} extensions, or rules of them: ${theirs}`, {
    value: manifest.name,
    hint: "make room with `tcpx ext remove`",
  });
}

/** Where objects come from: those of the host, without one of them. */
export const objectsOf = (held: readonly Held[], without?: number) => (id: number) => {
  const one = held.find((other) => other.id === id && other.id !== without);
  return one?.candidate && slotObject(one.candidate, id);
};

/** Scopes whose programs have an extension in them. */
export const scopesWith = (heads: readonly ScopeHead[], id: number): ScopeHead[] =>
  heads.filter((head) => head.alive && !head.damaged && (head.uses >>> id) & 1);

/** Loads a scope's program anew, with the same rules. False: it has gone meanwhile. */
export async function reload(lib: Bridge, held: Lock, head: ScopeHead): Promise<boolean> {
  const state = readScope(lib, head.id);
  if (!state) return false;
  try {
    await replaceRules(lib, held, scopeOf(state), state.rules);
    return true;
  } catch (error) {
    if (isErrno(error, "ENOLINK") || !readHead(lib, head.id)?.alive) return false;
    if (!(error instanceof TcpxError)) throw error;
    throw new TcpxError(error.code, `cgroup ${head.name}: ${error.message}`, {
      value: head.name,
      ...(error.hint !== undefined && { hint: error.hint }),
    });
  }
}

/** All of them, or none. @param back makes the earlier object the extension's again */
async function reloadAll(
  lib: Bridge,
  lock: Lock,
  heads: readonly ScopeHead[],
  back: () => void,
): Promise<number> {
  const done: ScopeHead[] = [];
  try {
    for (const head of heads) if (await reload(lib, lock, head)) done.push(head);
    return done.length;
  } catch (error) {
    back();
    for (const head of done) await reload(lib, lock, head).catch(() => false); // it was loaded so before
    throw error;
  }
}

/** The folder is not as it was looked at. */
export class ChangedMeanwhile extends TcpxError {
  constructor() {
    super(Exit.BUSY, "another tcpx has changed the extensions of this host meanwhile", { hint: "try again" });
  }
}

/**
 * Puts a package in its place, which provide() has made known already.
 * @returns how many scopes were loaded anew
 * @throws TcpxError; all is as it was then
 */
export async function settle(
  lib: Bridge,
  candidate: Candidate,
  { id, before }: Place,
  held: readonly Held[],
  patience: Patience,
): Promise<number> {
  using locked = await lock(lib, patience);
  if (!areAsRead(held)) throw new ChangedMeanwhile();
  await takeOver(lib, locked);
  const heads = readHeads(lib);
  if (!before && (usedBy(heads) >>> id) & 1) throw new ChangedMeanwhile();
  // rules that came meanwhile are those of the version before
  const rules = before ? rulesOf(readScopes(lib), before) : [];
  if (successionProblem(before?.candidate?.manifest, candidate.manifest, rules)) throw new ChangedMeanwhile();
  const back = () => before?.candidate && provide(before.candidate, id, objectsOf(held));
  const count = await reloadAll(lib, locked, scopesWith(heads, id), back);
  try {
    store(id, candidate.manifest.name, candidate.bytes);
  } catch (error) {
    back();
    for (const head of scopesWith(heads, id)) await reload(lib, locked, head).catch(() => false);
    throw error;
  }
  return count;
}
