// SPDX-License-Identifier: MIT
// The site's table for people and for scripts.

import { changedExids, exidsOf } from "../extensions/options.ts";
import { DEFAULT_SITE, exidOf, hex, type Site, sameSite, siteAlgorithms } from "../wire/site.ts";

/** Null: what is documented. */
export function siteJson(site: Site): Record<string, unknown> | null {
  if (sameSite(site, DEFAULT_SITE)) return null;
  const algorithms = siteAlgorithms(site).map(({ name, number }) => [name, number]);
  return { exid: exidsOf(site), algorithm_numbers: Object.fromEntries(algorithms) };
}

/** What a change adds (+) and removes (-). */
export function siteLines(present: Site, wanted: Site): string[] {
  const exids = changedExids(wanted, present).map(
    (one) => `+ exid ${one.name} ${hex(exidOf(one, wanted))} (was ${hex(exidOf(one, present))})`,
  );
  const [before, after] = [present, wanted].map(
    (site) => new Map(siteAlgorithms(site).map(({ name, number }) => [name, number])),
  ) as [Map<string, number>, Map<string, number>];
  const added = [...after].filter(([name, number]) => before.get(name) !== number);
  const removed = [...before].filter(([name]) => !after.has(name));
  const was = (name: string) => (before.has(name) ? ` (was ${hex(before.get(name)!)})` : "");
  return [
    ...exids,
    ...added.map(([name, number]) => `+ algorithm ${name} ${hex(number)}${was(name)}`),
    ...removed.map(([name, number]) => `- algorithm ${name} ${hex(number)}`),
  ];
}

/** "" for what is documented. */
export function siteText(site: Site): string {
  const exids = changedExids(site).map((one) => `exid ${one.name} ${hex(exidOf(one, site))}`);
  const algorithms = siteAlgorithms(site).map(({ name, number }) => `algorithm ${name} ${hex(number)}`);
  const lines = [...exids, ...algorithms].map((line) => `  ${line}`);
  return lines.length > 0 ? ["the site's own:", ...lines].join("\n") : "";
}
