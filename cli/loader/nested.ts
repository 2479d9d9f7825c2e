// SPDX-License-Identifier: MIT
// Scopes in one another. The innermost one that has a rule for a connection does the work for all of them, so its
// program has to know the extensions that rules around it are for.

import { extensions } from "../extensions/index.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import type { ScopeHead } from "./state.ts";

type Placed = Pick<ScopeHead, "id" | "path">;

/** Where a path cannot be seen, they might be. */
function isBelow(inner: Placed, outer: Placed): boolean {
  if (inner.id === outer.id) return false;
  if (inner.path === undefined || outer.path === undefined) return true;
  return inner.path.startsWith(outer.path.endsWith("/") ? outer.path : `${outer.path}/`);
}

const all = () => extensions.reduce((bits, { id }) => bits | (1 << id), 0);

/** Bits of the extensions that a program knows; one of another layout may know any. */
const usesOf = ({ uses, layout, damaged }: ScopeHead) =>
  damaged || layout !== LAYOUT_VERSION ? all() : uses;

/** Extensions that rules around a scope are for. */
export function usesAround(scope: Placed, heads: readonly ScopeHead[]): number {
  return heads
    .filter((head) => head.alive && isBelow(scope, head))
    .reduce((bits, head) => bits | usesOf(head), 0);
}

/** The scopes below whose programs do not know all of these extensions yet. */
export function unaware(scope: Placed, uses: number, heads: readonly ScopeHead[]): ScopeHead[] {
  return heads.filter(
    (head) =>
      head.alive &&
      !head.damaged &&
      head.layout === LAYOUT_VERSION &&
      isBelow(head, scope) &&
      (head.uses & uses) !== uses,
  );
}
