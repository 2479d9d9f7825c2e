// SPDX-License-Identifier: MIT
// Does this host have extensions of its own? Every command asks that first, so it imports nothing of ours.

import { existsSync, readdirSync, statSync } from "node:fs";

/** The host's folder of extensions. */
export const EXTENSIONS = "/etc/tcpx/extensions";

/** Names of the packages there; null: there is something, and it cannot be read. */
export function packageFiles(): string[] | null {
  if (!existsSync(EXTENSIONS)) return [];
  try {
    return readdirSync(EXTENSIONS).filter((file) => /^[^.].*\.tcpx$/s.test(file));
  } catch {
    return null;
  }
}

/** Another one, when a package has come, gone or been replaced. */
export function folderStamp(): string {
  const info = statSync(EXTENSIONS, { bigint: true, throwIfNoEntry: false });
  return info ? `${info.ino} ${info.mtimeNs}` : "";
}
