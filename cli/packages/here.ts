// SPDX-License-Identifier: MIT
// What this host has of extensions, each looked at as a whole: for those who add, list and remove them. What commands
// begin with is installed.ts, which looks at less.

import { TcpxError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import type { ScopeHead, ScopeState } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";
import { readOwnedFile } from "../system/owned-file.ts";
import { type Candidate, examine } from "./candidate.ts";
import { IDS, type Stored, stored } from "./folder.ts";
import { hostKeys, type Key } from "./minisign.ts";
import { MOST } from "./package.ts";

export interface Held extends Stored {
  /** Of the bytes that were looked at; undefined: they could not be read. */
  sha256?: string;
  /** undefined: it is damaged. */
  candidate?: Candidate;
  /** Why it is not used. */
  problem?: TcpxError;
}

/** Keys that are damaged are told where somebody needs them: here they are none. */
function keysHere(): Key[] {
  try {
    return hostKeys();
  } catch (error) {
    if (error instanceof TcpxError) return [];
    throw error;
  }
}

async function look(at: Stored, keys: readonly Key[]): Promise<Held> {
  let sum: string | undefined;
  try {
    const bytes = readOwnedFile(at.path, MOST.all);
    sum = sha256(bytes);
    const candidate = await examine(bytes, at.path, { keys });
    if (candidate.manifest.name === at.name) return { ...at, sha256: sum, candidate };
    throw new TcpxError(1, `${at.path} has the extension ${candidate.manifest.name}`, { value: at.path });
  } catch (error) {
    if (error instanceof TcpxError)
      return { ...at, ...(sum !== undefined && { sha256: sum }), problem: error };
    throw error;
  }
}

/** Sum of what stands there now; undefined: it cannot be read. */
function sumAt(path: string): string | undefined {
  try {
    return sha256(readOwnedFile(path, MOST.all));
  } catch (error) {
    if (error instanceof TcpxError) return undefined;
    throw error;
  }
}

/** Are the files there those that were looked at, byte for byte? To be asked with the lock held. */
export function areAsRead(held: readonly Held[]): boolean {
  const now = stored();
  return (
    now.length === held.length &&
    held.every(({ path, sha256 }, i) => now[i]!.path === path && sumAt(path) === sha256)
  );
}

/** By their ids. */
export async function heldHere(): Promise<Held[]> {
  const keys = keysHere();
  return Promise.all(stored().map((at) => look(at, keys)));
}

/** Bits of the extensions that programs in force know. */
export const usedBy = (heads: readonly Pick<ScopeHead, "uses">[]): number =>
  heads.reduce((bits, { uses }) => bits | uses, 0);

/** Numbers of those whose rules are in force, or whose programs are, and which this host does not have. */
export const unknownIds = (held: readonly Stored[], uses: number): number[] =>
  IDS.filter((id) => (uses >>> id) & 1 && !held.some((one) => one.id === id));

/** The lowest number that nobody has; undefined: there is none. */
export const freeId = (held: readonly Stored[], uses: number): number | undefined =>
  IDS.find((id) => !held.some((one) => one.id === id) && !((uses >>> id) & 1));

/** Is it a rule of this one? Of one that is damaged it is told as of ext-N. */
export const isRuleOf = ({ id, name }: Pick<Stored, "id" | "name">, { ext }: Pick<Rule, "ext">): boolean =>
  ext === name || ext === `ext-${id}`;

/** Rules of an extension, over all scopes. */
export const rulesOf = (states: readonly ScopeState[], of: Pick<Stored, "id" | "name">): Rule[] =>
  states.flatMap((state) => state.rules.filter((rule) => isRuleOf(of, rule)));
