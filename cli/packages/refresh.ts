// SPDX-License-Identifier: MIT
// For commands that stay: extensions that are added meanwhile.

import { folderStamp } from "./present.ts";

/**
 * Makes known what has been added since it was called last. What is wrong with a package is said by others.
 * @param commands names of tcpx's own
 */
export function refresher(commands: readonly string[]): () => Promise<void> {
  let seen = folderStamp();
  return async () => {
    const now = folderStamp();
    if (now === seen) return;
    seen = now;
    const { registerInstalled } = await import("./installed.ts");
    registerInstalled(commands);
  };
}
