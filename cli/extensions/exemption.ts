// SPDX-License-Identifier: MIT
// The value `none`, the same for every extension.

import type { RuleDraft } from "./types.ts";

/** A rule that exempts what it selects. */
export function exemption(kind: RuleDraft["kind"]): RuleDraft {
  return { kind, none: true, force: false, value: [0, 0] };
}
