// SPDX-License-Identifier: MIT
// The number that a congestion control gets in the site's table, so that requests can name it. Pure.

import { usageError } from "../base/errors.ts";
import { hex, SITE_ALGORITHMS, SITE_FIRST, SITE_LAST, type Site, siteAlgorithms } from "../wire/site.ts";

const RANGE = `accepted is a number from ${hex(SITE_FIRST)} to ${hex(SITE_LAST)}`;

/** @throws TcpxError (usage) */
export function parseNumber(text: string): number {
  const number = /^(?:0[xX][0-9a-fA-F]{1,4}|\d{1,5})$/.test(text) ? Number(text) : -1;
  if (number >= SITE_FIRST && number <= SITE_LAST) return number;
  throw usageError(`--number '${text}' is none of a site's own`, text, RANGE);
}

function freeNumber(taken: readonly number[]): number {
  let number = SITE_FIRST;
  while (taken.includes(number)) number++;
  return number;
}

/**
 * The table with this congestion control in it.
 * @param chosen its number; left out: the one that it has, or the first that is free
 * @throws TcpxError (usage) where the number is another one's, or the table is full
 */
export function withAlgorithm(site: Site, name: string, chosen?: number): { site: Site; number: number } {
  const all = siteAlgorithms(site);
  const own = all.find((algorithm) => algorithm.name === name);
  if (own && (chosen === undefined || chosen === own.number)) return { site, number: own.number };
  if (own) {
    const what = `'${name}' has the number ${hex(own.number)} already`;
    throw usageError(what, hex(chosen!), "change it in [algorithms] of a policy file, or unload it first");
  }
  const number = chosen ?? freeNumber(all.map((algorithm) => algorithm.number));
  const owner = all.find((algorithm) => algorithm.number === number);
  if (owner) throw usageError(`--number ${hex(number)} is that of ${owner.name}`, hex(number), RANGE);
  const slot = site.algorithms.indexOf(null);
  if (slot < 0) {
    const hint = "take one out of [algorithms] of a policy file";
    throw usageError(`the site's table has room for ${SITE_ALGORITHMS} algorithms, and is full`, name, hint);
  }
  const algorithms = site.algorithms.map((held, i) => (i === slot ? { name, number } : held));
  return { site: { ...site, algorithms }, number };
}

/** The table without it. */
export const withoutAlgorithm = (site: Site, name: string): Site => ({
  ...site,
  algorithms: site.algorithms.map((held) => (held?.name === name ? null : held)),
});
