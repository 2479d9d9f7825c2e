// SPDX-License-Identifier: MIT
// Packet filters of this network namespace that are in the way of TCP options.

import { programOf } from "../system/child.ts";
import { type Listing, listingOf } from "../system/listing.ts";
import { readOrEmpty } from "../system/viewpoint.ts";
import { type FilterRule, iptablesRules, KINDS, nftRules } from "./filter-rules.ts";
import { type Check, notTried } from "./types.ts";

const CHECK = { name: "packet filter", core: false } as const;
/** That are named; JSON has all. */
const SHOWN = 3;

interface Seen {
  /** What was looked at. */
  by: string[];
  rules: FilterRule[];
  /** Why something was not. */
  unseen: string[];
}

function take(seen: Seen, by: string, listing: Listing, rulesOf: (text: string) => FilterRule[]): void {
  if ("why" in listing) {
    seen.unseen.push(listing.why);
    return;
  }
  try {
    seen.rules.push(...rulesOf(listing.text));
    seen.by.push(by);
  } catch (error) {
    seen.unseen.push(`${by}: ${(error as Error).message}`);
  }
}

/** The older tables: only those that are there, since a look at another one would make it. */
async function lookAtLegacy(seen: Seen): Promise<void> {
  for (const [family, names, tool] of [
    ["ip", "ip_tables_names", "iptables"],
    ["ip6", "ip6_tables_names", "ip6tables"],
  ] as const) {
    const tables = readOrEmpty(`/proc/net/${names}`)
      .split("\n")
      .filter((name) => /^[a-z]+$/.test(name));
    const program = [`${tool}-legacy-save`, `${tool}-save`].find(programOf) ?? `${tool}-legacy-save`;
    for (const table of tables) {
      const listing = await listingOf(program, "-t", table);
      take(seen, `${tool} (${table})`, listing, (text) => iptablesRules(text, family));
    }
  }
}

const wordsOf = ({ by, table_family: family, table, chain, handle, effect }: FilterRule): string =>
  `${by} table ${family} ${table}, chain ${chain}, ${by === "nft" ? "handle" : "rule"} ${handle} ${effect}`;

/** Options of ours, as this namespace's filters treat them. */
export async function filterCheck(obstacle: string | undefined): Promise<Check> {
  if (obstacle !== undefined) return { ...CHECK, verdict: "skip", detail: notTried(obstacle) };
  const seen: Seen = { by: [], rules: [], unseen: [] };
  take(seen, "nft", await listingOf("nft", "-j", "list", "ruleset"), nftRules);
  await lookAtLegacy(seen);
  const { rules } = seen;
  const unseen = seen.unseen.length > 0 ? `not checked: ${seen.unseen.join("; ")}` : "";
  if (rules.length > 0) {
    const more = rules.length > SHOWN ? [`and ${rules.length - SHOWN} more (--json)`] : [];
    const detail = [...rules.slice(0, SHOWN).map(wordsOf), ...more, unseen].filter(Boolean).join("; ");
    return { ...CHECK, verdict: "warn", detail, filters: rules };
  }
  if (unseen) return { ...CHECK, verdict: "skip", detail: unseen, filters: rules };
  const detail = `no rule here takes TCP options ${KINDS.join(", ")} away (${seen.by.join(", ")})`;
  return { ...CHECK, verdict: "ok", detail, filters: rules };
}
