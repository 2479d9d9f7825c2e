// SPDX-License-Identifier: MIT
// Programs of the system that tcpx runs as root, whoever has called it: sudo may pass the caller's environment.

import { realpathSync, statSync } from "node:fs";
import { dirname } from "node:path";

const USUAL = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/** Does it belong to root, or to us? Not sticky: can nobody else write to it? Sticky: nor replace what is in it? */
function isSafe(path: string, stickyToo: boolean): boolean {
  const { uid, mode } = statSync(path);
  if (uid !== 0 && uid !== process.geteuid?.()) return false;
  return (mode & 0o022) === 0 || (stickyToo && (mode & 0o1000) !== 0);
}

/** The directory that it really is, when nobody but root and us decides what is in it. */
function safeFolder(path: string): string[] {
  if (!path.startsWith("/")) return [];
  try {
    const real = realpathSync(path);
    if (!statSync(real).isDirectory() || !isSafe(real, false)) return [];
    for (let above = dirname(real); ; above = dirname(above)) {
      if (!isSafe(above, true)) return [];
      if (above === "/") return [real];
    }
  } catch {
    return []; // is not there
  }
}

/** Those directories of `path` in which nobody else can put programs, and then the usual ones. */
export function safePath(path = process.env.PATH ?? ""): string {
  return [...new Set([...path.split(":").flatMap(safeFolder), ...USUAL])].join(":");
}

/** May others than root put another program in place of this file? */
export function othersMayReplace(path: string): boolean {
  return safeFolder(dirname(path)).length === 0 || !isSafe(path, false);
}

/** The path of a program of the system; null where there is none. */
export const programOf = (name: string): string | null => Bun.which(name, { PATH: safePath() });

/** All that such a program gets of our environment: MODPROBE_OPTIONS and its like are commands, too. */
export const childEnvironment = (): Record<string, string> => ({ PATH: safePath(), LC_ALL: "C" });
