// SPDX-License-Identifier: MIT
// What is told of an extension, in words and as JSON.

import { exidsOf } from "../extensions/slots.ts";
import { describeSlot } from "../manifest/slot.ts";
import type { Candidate } from "./candidate.ts";
import type { Held } from "./here.ts";
import { kindsIn } from "./trial.ts";

/** An extension as `ext list` and `ext show` tell it; null: not known. */
export interface Entry {
  /** null: this host has not given it one. */
  id: number | null;
  name: string;
  version: string | null;
  api: number | null;
  summary: string | null;
  sha256: string | null;
  signedBy: Candidate["signedBy"];
  hooks: string[];
  optionKind: number | null;
  exids: number[];
  kinds: string[];
  /** Rules in force; null: we may not look. */
  rules: number | null;
  problem: string | null;
}

const UNKNOWN = {
  ...{ version: null, api: null, summary: null, sha256: null, signedBy: null, optionKind: null },
  ...{ hooks: [], exids: [], kinds: [] },
};

/** Of a package. @param id that this host has given it */
export function entryOf(
  { manifest, sha256, signedBy, hooks }: Candidate,
  id: number | null,
  rules: number | null,
): Entry {
  return {
    ...{ id, name: manifest.name, version: manifest.version, api: manifest.api, summary: manifest.summary },
    ...{ sha256, signedBy, rules, problem: null },
    hooks,
    optionKind: manifest.option?.kind ?? null,
    exids: exidsOf(describeSlot(manifest, id ?? 0)).filter((exid) => exid !== 0),
    kinds: kindsIn(manifest),
  };
}

/** Of what this host has. @param problem why it is not used */
export function heldEntry(
  { candidate, id, name }: Held,
  rules: number | null,
  problem: string | undefined,
): Entry {
  if (candidate) return { ...entryOf(candidate, id, rules), problem: problem ?? null };
  return { ...UNKNOWN, id, name, rules, problem: problem ?? "it cannot be read" };
}

/** Of a file in the host's folder that is not called as one has to be. */
export const strangeEntry = (file: string, problem: string): Entry => ({
  ...UNKNOWN,
  ...{ id: null, name: file, rules: null, problem },
});

/** Rules are in force, and the host does not have what they are for. */
export const strayEntry = (id: number, rules: number | null): Entry => ({
  ...UNKNOWN,
  ...{ id, name: `ext-${id}`, rules },
  problem:
    rules === 0
      ? "scopes have its program, and this host does not have it any more"
      : "there are rules for it, and this host does not have it any more",
});

export const entryJson = (entry: Entry): Record<string, unknown> => ({
  number: entry.id,
  name: entry.name,
  version: entry.version,
  api: entry.api,
  summary: entry.summary,
  sha256: entry.sha256,
  signed_by: entry.signedBy && {
    ...{ key: entry.signedBy.key, key_id: entry.signedBy.id, trusted_comment: entry.signedBy.comment },
  },
  hooks: entry.hooks,
  option_kind: entry.optionKind,
  exids: entry.exids,
  kinds: entry.kinds,
  rule_count: entry.rules,
  problem: entry.problem,
});

export const hex = (exid: number): string => `0x${exid.toString(16).padStart(4, "0")}`;

/** "kind 77", "identifiers 0x7d00, 0x7d01", "-". */
export function onWire({ optionKind, exids }: Pick<Entry, "optionKind" | "exids">): string {
  const parts = [
    ...(optionKind === null ? [] : [`kind ${optionKind}`]),
    ...(exids.length === 0
      ? []
      : [`${exids.length > 1 ? "identifiers" : "identifier"} ${exids.map(hex).join(", ")}`]),
  ];
  return parts.join(", ") || "-";
}
