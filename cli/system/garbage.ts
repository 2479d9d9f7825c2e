// SPDX-License-Identifier: MIT

/** So many rules leave enough garbage that collecting it at once pays. */
const MANY = 20_000;

/** After a step that has made as many objects: by itself the runtime lets the heap double first. */
export function collectAfter(count: number): void {
  if (count > MANY) Bun.gc(true);
}
