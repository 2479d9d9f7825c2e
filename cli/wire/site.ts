// SPDX-License-Identifier: MIT
// What a site may have agreed on for itself: other experiment identifiers (RFC 6994), and numbers for
// congestion controls that have none of ours. Pure; the host's table is read by loader/site-map.ts.

import { Algorithm, structs } from "../layout/layout.generated.ts";

/** An experiment identifier (RFC 6994) of an extension. */
export interface Identifier {
  /** In policy files. */
  name: string;
  /** What it is where the site says nothing else. */
  documented: number;
}

export interface SiteAlgorithm {
  /** As the kernel has it. */
  name: string;
  /** That travels. */
  number: number;
}

export interface Site {
  /** By name, those that are others than documented. */
  exids: Readonly<Record<string, number>>;
  /** By slot: rules refer to it, so that an algorithm keeps its slot; null: free. */
  algorithms: readonly (SiteAlgorithm | null)[];
}

/** Names of congestion controls as the kernel has them, by the number that travels. */
export const ALGORITHMS: readonly string[] = Object.entries(Algorithm)
  .filter(([name]) => name !== "COUNT")
  .map(([name]) => name.toLowerCase());

export const SITE_ALGORITHMS = structs.tcpx_site.fields.algorithms.dims[0];
/** Numbers that are the site's to give. */
export const SITE_FIRST = 0x8000;
export const SITE_LAST = 0xfffe;

/** The documented identifiers, and no algorithms. */
export const DEFAULT_SITE: Site = { exids: {}, algorithms: Array<null>(SITE_ALGORITHMS).fill(null) };

/** The identifier as it travels at this site. */
export const exidOf = ({ name, documented }: Identifier, { exids }: Site): number =>
  exids[name] ?? documented;

const sameAlgorithm = (a: SiteAlgorithm | null | undefined, b: SiteAlgorithm | null | undefined) =>
  a?.name === b?.name && a?.number === b?.number;

export function sameSite(a: Site, b: Site): boolean {
  return (
    Object.keys({ ...a.exids, ...b.exids }).every((name) => a.exids[name] === b.exids[name]) &&
    a.algorithms.every((algorithm, slot) => sameAlgorithm(algorithm, b.algorithms[slot]))
  );
}

/** The slots that are another one's, or nobody's, in `next`. */
export function changedSlots(present: Site, next: Site): number[] {
  return present.algorithms.flatMap((algorithm, slot) =>
    algorithm && !sameAlgorithm(algorithm, next.algorithms[slot]) ? [slot] : [],
  );
}

/** 16 bits as they stand in an option. */
export const bitsHex = (n: number) => n.toString(16).padStart(4, "0");
/** Numbers 0x8000 and the like are read so. */
export const hex = (n: number) => `0x${bitsHex(n)}`;

export const siteAlgorithms = ({ algorithms }: Site): SiteAlgorithm[] => algorithms.filter((a) => a !== null);

/** Every name that rules of this host may have. */
export const algorithmNames = (site: Site): string[] => [
  ...ALGORITHMS,
  ...siteAlgorithms(site).map(({ name }) => name),
];

/** An algorithm's place in rules; -1: there is none of this name. */
export function algorithmId(name: string, site: Site): number {
  const id = ALGORITHMS.indexOf(name);
  const slot = id < 0 ? site.algorithms.findIndex((algorithm) => algorithm?.name === name) : -1;
  return slot < 0 ? id : ALGORITHMS.length + slot;
}

/** The slot that a place in rules means; undefined: the algorithm is one of ours. */
export const slotOf = (id: number): number | undefined =>
  id < ALGORITHMS.length ? undefined : id - ALGORITHMS.length;

/** The name at a place in rules. */
export function algorithmName(id: number, site: Site): string {
  return ALGORITHMS[id] ?? site.algorithms[id - ALGORITHMS.length]?.name ?? `slot ${id - ALGORITHMS.length}`;
}

/** The number that travels for a place in rules. */
export function algorithmNumber(id: number, site: Site): number {
  return site.algorithms[id - ALGORITHMS.length]?.number ?? id;
}

/** The name of a number that has travelled; undefined: we know none. */
export function numberName(number: number, site: Site): string | undefined {
  return ALGORITHMS[number] ?? siteAlgorithms(site).find((algorithm) => algorithm.number === number)?.name;
}
