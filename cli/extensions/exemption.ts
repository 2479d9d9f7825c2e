// SPDX-License-Identifier: MIT
// The value `none`, the same for every extension.

import { usageError } from "../base/errors.ts";
import type { RuleDraft } from "./types.ts";

/** A word behind a verb, in whose place `none` may stand. */
export const orNone = (description: string) =>
  ({ type: "positional", exempts: true, description: `${description}; none exempts the selector` }) as const;

/** The word `none`, and no other. @param what it does there: ": peers there have no say" */
export const noneWord = (what: string) =>
  ({
    type: "positional",
    required: false,
    valueHint: "none",
    exempts: true,
    description: `Exempts the selector${what}`,
  }) as const;

/** A rule that exempts what it selects. */
export function exemption(kind: RuleDraft["kind"]): RuleDraft {
  return { kind, none: true, force: false, value: [0, 0] };
}

/** An exemption has nothing to give to connections that exist. @throws TcpxError (usage) */
export function noLiveExemption(drafts: RuleDraft[]): void {
  if (!drafts.every(({ none }) => none)) return;
  throw usageError("'none' takes no --live", "none", "`unset --live` gives connections back what they had");
}
