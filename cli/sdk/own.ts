// SPDX-License-Identifier: MIT
// Whose an extension's folder is, where root works with it. Root reads more than others may, and packs and quotes what
// it has read: so all of the folder is root's, or of whoever has called sudo, and none of it leads elsewhere.

import { lstatSync, readdirSync, type Stats, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";

/** Files and folders in one that is looked through. */
const MOST_ENTRIES = 10_000;
/** Of whoever has called sudo; that one has root already. */
const sudoId = (name: "SUDO_UID" | "SUDO_GID") => Number(process.env[name] ?? -1);
const NOBODY = 65_534;

/** Who a program runs as. */
export interface User {
  uid: number;
  gid: number;
}

function isTrusted({ uid, gid, mode }: Stats): boolean {
  const owner = uid === 0 || uid === sudoId("SUDO_UID");
  const group = (mode & 0o020) === 0 || gid === 0 || gid === sudoId("SUDO_GID");
  return owner && group && (mode & 0o002) === 0;
}

/** In it nobody else can put another folder in the place of one that is there. */
const isSafeAbove = (info: Stats): boolean =>
  isTrusted(info) || (info.uid === 0 && (info.mode & 0o1000) !== 0);

function refused(shown: string, what: string): TcpxError {
  return new TcpxError(Exit.PERMISSION, `${shown} ${what}`, {
    value: shown,
    hint: "look at it, then: chown and chmod go-w, or a copy in its place; `tcpx ext build` needs no root",
  });
}

const CHANGED = "can be changed by others, and root would read it, and run its test.sh";

/** What is wrong with an entry; undefined: nothing. @param uid of the folder's owner */
function weakness(info: Stats, uid: number): string | undefined {
  if (info.isSymbolicLink()) return "is a link, and root would read what it leads to";
  if (!isTrusted(info)) return CHANGED;
  if (info.isDirectory()) return undefined;
  if (!info.isFile()) return "is neither a file nor a folder";
  return info.nlink > 1 && info.uid !== uid ? "is a file of somebody else under one more name" : undefined;
}

/** All that can be read of it. What begins with a dot is the editors' and git's. */
function requireTree(shown: string, path: string, uid: number): void {
  const left = [""];
  for (let seen = 0; left.length > 0; ) {
    const inside = left.pop()!;
    for (const name of readdirSync(join(path, inside))) {
      if (name.startsWith(".")) continue;
      seen += 1;
      if (seen > MOST_ENTRIES)
        throw usageError(`${shown} has more than ${MOST_ENTRIES} files`, shown, "name that of one extension");
      const entry = join(inside, name);
      const info = lstatSync(join(path, entry), { throwIfNoEntry: false });
      const wrong = info && weakness(info, uid); // it may have gone meanwhile
      if (wrong !== undefined) throw refused(join(shown, entry), wrong);
      if (info?.isDirectory()) left.push(entry);
    }
  }
}

/**
 * What root reads, and runs test.sh of.
 * @param shown as it was named
 * @param path where it really is
 * @returns its owner, where that is not root
 * @throws TcpxError (permission) for what others may write to, and for links
 */
export function requireOwn(shown: string, path: string): User | undefined {
  const info = lstatSync(path);
  if (!isTrusted(info)) throw refused(shown, CHANGED);
  for (let above = dirname(path); ; above = dirname(above)) {
    if (!isSafeAbove(statSync(above))) throw refused(above, CHANGED);
    if (above === "/") break;
  }
  requireTree(shown, path, info.uid);
  if (info.uid === 0) return undefined;
  const gid = sudoId("SUDO_GID");
  return { uid: info.uid, gid: gid >= 0 ? gid : NOBODY };
}
