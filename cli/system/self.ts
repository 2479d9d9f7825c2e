// SPDX-License-Identifier: MIT

/** How to start this very program again, compiled or from a checkout. */
export function self(): string[] {
  const compiled = Bun.main.startsWith("/$bunfs/");
  return compiled ? [process.execPath] : [process.execPath, Bun.main];
}
