// SPDX-License-Identifier: MIT
// Drafts of an extension at their selectors.

import type { Netns, Rule, Selector } from "../policy/rule.ts";
import { inDirection } from "../policy/selector.ts";
import type { Extension, RuleDraft } from "./types.ts";

/**
 * The rules that these drafts become.
 * @throws TcpxError (usage) for an address in a direction that a kind of rule is not for
 */
export function placeRules(
  extension: Extension,
  selectors: Selector[],
  drafts: RuleDraft[],
  netns: Netns | null,
): Rule[] {
  return drafts.flatMap((draft) => {
    const direction = extension.directions?.[draft.kind];
    const what = `${extension.name} ${draft.kind} rules`;
    const places = direction ? inDirection(selectors, direction, what) : selectors;
    const { kind, none, force, value } = draft;
    return places.map((selector) => ({ ext: extension.name, kind, selector, netns, none, force, value }));
  });
}
