// SPDX-License-Identifier: MIT
// What stands near a place without a rule, in words.

import type { Near, Wanted } from "../policy/near.ts";
import { formatSelector } from "../policy/selector.ts";

/** "with --port 5432", and how else it differs from what was asked for. */
function placeText({ selector, netns, kinds }: Near, wanted: Wanted): string {
  const text = formatSelector(selector);
  const parts = [selector.family === 0 && selector.port === 0 ? "without a selector" : `with ${text}`];
  if (netns?.cookie !== wanted.netns?.cookie)
    parts.push(netns ? `in network namespace ${netns.inode}` : "with --all-netns");
  if (wanted.kind !== undefined && !kinds.includes(wanted.kind)) parts.push(`of kind ${kinds.join(" and ")}`);
  return parts.join(" ");
}

/** "there is a rule with --port 5432"; "" when nothing is near. */
export function nearText({ near, more }: { near: Near[]; more: number }, wanted: Wanted): string {
  const places = near.map((one) => placeText(one, wanted));
  if (more > 0) places.push(`at ${more} more place(s)`);
  const last = places.pop();
  if (last === undefined) return "";
  if (places.length === 0) return `there is a rule ${last}`;
  return `there are rules ${places.join(", ")} and ${last}`;
}

/** "there is no uto rule with --port 5433", in the scope of that name. */
export function missingText({ ext, kind, selector }: Wanted, scope: string): string {
  const what = [ext, kind, "rule"].filter(Boolean).join(" ");
  const bare = selector.family === 0 && selector.port === 0;
  return `there is no ${what} ${bare ? "without a selector" : `with ${formatSelector(selector)}`}${scope === "/" ? "" : ` in cgroup ${scope}`}`;
}
