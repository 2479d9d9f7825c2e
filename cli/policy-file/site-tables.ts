// SPDX-License-Identifier: MIT
// [exid] and [algorithms] of a policy file: read, made the table of a host, and printed.

import type { TomlTable, TomlValue } from "smol-toml";
import { meant } from "../base/did-you-mean.ts";
import { changedExids, exidsOf, identifiers } from "../extensions/options.ts";
import { problem, type Source } from "../toml/problem.ts";
import { isTable, kindOf } from "../toml/toml.ts";
import {
  ALGORITHMS,
  DEFAULT_SITE,
  exidOf,
  hex,
  SITE_ALGORITHMS,
  SITE_FIRST,
  SITE_LAST,
  type Site,
  type SiteAlgorithm,
  siteAlgorithms,
} from "../wire/site.ts";

/** As the file has them; undefined: it has no such table. */
export interface SiteTables {
  exids: ReadonlyMap<string, number> | undefined;
  algorithms: ReadonlyMap<string, number> | undefined;
}

/** What the kernel's own names are made of. */
export const ALGORITHM_NAME = "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,14}$";
const EXID_MOST = 0xffff;

export const EXID_TEXT =
  "Experiment identifiers (RFC 6994) instead of the documented ones, for the whole host";
export const ALGORITHMS_TEXT = `The site's own numbers for congestion controls that have none: at most ${SITE_ALGORITHMS}`;

function numberIn(source: Source, path: string[], value: TomlValue, least: number, most: number): number {
  if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
  const shown = typeof value === "number" && Number.isInteger(value) && value >= 0 ? hex(value) : undefined;
  const hint = `accepted is a number from ${least === 1 ? 1 : hex(least)} to ${hex(most)}`;
  throw problem(source, path, shown ? `is ${shown}` : kindOf(value), hint);
}

function tableOf(source: Source, document: TomlTable, key: string): TomlTable | undefined {
  const value = document[key];
  if (value === undefined || isTable(value)) return value;
  throw problem(source, [key], kindOf(value), `write [${key}]`);
}

function exidTable(source: Source, table: TomlTable): Map<string, number> {
  const names = identifiers().map(({ name }) => name);
  const found = new Map<string, number>();
  for (const [name, value] of Object.entries(table)) {
    if (!names.includes(name)) {
      const hint = meant(name, names, `accepted is ${names.join(", ")}`);
      throw problem(source, ["exid", name], "unknown key", hint, name);
    }
    found.set(name, numberIn(source, ["exid", name], value, 1, EXID_MOST));
  }
  return found;
}

function algorithmsOf(source: Source, table: TomlTable): Map<string, number> {
  const found = new Map<string, number>();
  for (const [name, value] of Object.entries(table)) {
    const path = ["algorithms", name];
    const number = ALGORITHMS.indexOf(name);
    if (number >= 0) throw problem(source, path, `has number ${number} everywhere`, "leave it out", name);
    if (name === "none" || !new RegExp(ALGORITHM_NAME).test(name)) {
      const hint = "accepted is up to 15 letters, digits, _ . and -, as the kernel calls it, but not none";
      throw problem(source, path, "is no name of a congestion control", hint, name);
    }
    found.set(name, numberIn(source, path, value, SITE_FIRST, SITE_LAST));
  }
  return found;
}

/** @throws TcpxError (usage) with file, line and key */
export function readTables(source: Source, document: TomlTable): SiteTables {
  const [exid, algorithms] = ["exid", "algorithms"].map((key) => tableOf(source, document, key));
  return {
    exids: exid && exidTable(source, exid),
    algorithms: algorithms && algorithmsOf(source, algorithms),
  };
}

/** Two names of one number: the error is at the one that the file has. */
function requireDistinct(
  source: Source,
  key: string,
  all: [string, number][],
  file: ReadonlyMap<string, number>,
) {
  const owners = new Map<number, string>();
  for (const [name, number] of all) {
    const owner = owners.get(number);
    owners.set(number, name);
    if (owner === undefined) continue;
    const [guilty, other] = file.has(name) ? [name, owner] : [owner, name];
    throw problem(
      source,
      [key, guilty],
      `${hex(number)} is that of ${other}`,
      "every name has its own",
      hex(number),
    );
  }
}

/** Algorithms keep their slots; what is new gets a free one. Undefined: there is none. */
function placed(
  present: Site["algorithms"],
  wanted: SiteAlgorithm[],
  inUse: () => ReadonlySet<number>,
): Site["algorithms"] | undefined {
  const isSame = (a: SiteAlgorithm | null) => wanted.find((b) => a?.name === b.name && a.number === b.number);
  const slots = present.map((algorithm) => isSame(algorithm) ?? null);
  for (const algorithm of wanted.filter((one) => !slots.includes(one))) {
    let slot = slots.findIndex((held, i) => !held && !present[i]);
    // that of one that goes: present rules must not come to mean another one
    if (slot < 0) slot = slots.findIndex((held, i) => !held && !inUse().has(i));
    if (slot < 0) return undefined;
    slots[slot] = algorithm;
  }
  return slots;
}

export interface Present {
  site: Site;
  /** Slots that rules in force refer to. */
  inUse(): ReadonlySet<number>;
}

export const NOTHING_PRESENT: Present = { site: DEFAULT_SITE, inUse: () => new Set() };

/**
 * The host's table, as the file wants it.
 * @param keep what the file does not say stays, instead of becoming what is documented
 * @throws TcpxError (usage) with file, line and key
 */
export function settle(source: Source, tables: SiteTables, present: Present, keep: boolean): Site {
  const [exids, named] = [
    tables.exids ?? new Map<string, number>(),
    tables.algorithms ?? new Map<string, number>(),
  ];
  const before = keep ? present.site : DEFAULT_SITE;
  const ids = new Map([...Object.entries(exidsOf(before)), ...exids]);
  requireDistinct(source, "exid", [...ids], exids);
  const numbers = new Map([...siteAlgorithms(before).map((a) => [a.name, a.number] as const), ...named]);
  requireDistinct(source, "algorithms", [...numbers], named);
  if (numbers.size > SITE_ALGORITHMS) {
    const hint = `a host has room for ${SITE_ALGORITHMS}${keep ? ", those in force included" : ""}`;
    throw problem(source, ["algorithms"], `there are ${numbers.size}`, hint);
  }
  const wanted = [...numbers].map(([name, number]) => ({ name, number }));
  const algorithms = placed(present.site.algorithms, wanted, present.inUse);
  if (!algorithms) {
    const hint = "unset the rules with algorithms that are not in the file first";
    throw problem(source, ["algorithms"], "rules still need the places of others", hint);
  }
  const changed = identifiers().filter(({ name, documented }) => ids.get(name) !== documented);
  return { exids: Object.fromEntries(changed.map(({ name }) => [name, ids.get(name)!])), algorithms };
}

/** A key that TOML takes as it is, or quoted. */
const keyText = (name: string) => (/^[A-Za-z0-9_-]+$/.test(name) ? name : `"${name}"`);

/** The two tables; "" where the host has none. */
export function printSite(site: Site): string {
  const ids = changedExids(site).map((one) => `${one.name} = ${hex(exidOf(one, site))}\n`);
  const sorted = siteAlgorithms(site).sort((a, b) => a.number - b.number);
  const algorithms = sorted.map(({ name, number }) => `${keyText(name)} = ${hex(number)}\n`);
  const tables = [["exid", ids] as const, ["algorithms", algorithms] as const];
  return tables.map(([key, lines]) => (lines.length > 0 ? `\n[${key}]\n${lines.join("")}` : "")).join("");
}
