// SPDX-License-Identifier: MIT

/** Whether this is the executable, and not a checkout that Bun runs. */
export function compiled(): boolean {
  return Bun.main.startsWith("/$bunfs/");
}

/** How to start this very program again, compiled or from a checkout. */
export function self(): string[] {
  return compiled() ? [process.execPath] : [process.execPath, Bun.main];
}
