// SPDX-License-Identifier: MIT
// Files that root loads code from, also while the system starts: nobody else may have a say in what stands there. So
// the file and every folder above it are root's own and not writable by others, and none of them is a link.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
  type Stats,
} from "node:fs";
import { basename, dirname, join } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";

const OTHERS_WRITE = 0o022;
/** In such a folder only its owner and an entry's can replace the entry. */
const STICKY = 0o1000;
/** Files and folders in a folder that is looked through. */
const MOST_ENTRIES = 1000;

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "?";

/** Ours is what root has, or whoever runs us. */
const isTrusted = (uid: number) => uid === 0 || uid === process.geteuid?.();

function refused(path: string, what: string, hint: string): TcpxError {
  return new TcpxError(Exit.PERMISSION, `${path} ${what}`, { value: path, hint });
}

/** A word of a shell. */
const word = (text: string) =>
  /^[\w./+:@%-]+$/.test(text) ? text : `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** Commands that make a copy which is root's, also where /etc/tcpx is missing. */
const COPY = {
  file: (path: string) =>
    `a copy that is root's: install -D -m 644 ${word(path)} ${word(`/etc/tcpx/${basename(path)}`)}`,
  folder: (path: string) =>
    `build it with \`tcpx ext build\`, and name a copy of the package that is root's: ` +
    `install -D -m 644 -t /etc/tcpx ${word(path)}/*.tcpx`,
};

/** What is root's by its place: a copy of it elsewhere is of no use. */
const HOST = "/etc/tcpx";

/** Why others could change what stands there; undefined: they cannot. @param copy what makes one that is root's */
function weakness(path: string, info: Stats, copy: string): { what: string; hint: string } | undefined {
  if (info.isSymbolicLink()) return { what: "is a symbolic link", hint: "name the file itself" };
  if (!isTrusted(info.uid)) {
    const isHosts = path === HOST || path.startsWith(`${HOST}/`);
    const hint = isHosts ? "look at it, then: chown root" : copy;
    return { what: `belongs to uid ${info.uid}, not to root`, hint };
  }
  if (info.mode & OTHERS_WRITE && !(info.isDirectory() && info.mode & STICKY))
    return { what: "can be written to by others than root", hint: "look at it, then: chmod go-w" };
  return undefined;
}

function requireTrusted(path: string, info: Stats, copy: string): void {
  const found = weakness(path, info, copy);
  if (found) throw refused(path, found.what, found.hint);
}

function statOf(path: string): Stats {
  try {
    return lstatSync(path);
  } catch (error) {
    const why = codeOf(error) === "ENOENT" ? "is not there" : `cannot be looked at (${codeOf(error)})`;
    const hint = "accepted is the path of a file or folder of this host";
    throw new TcpxError(Exit.USAGE, `${path} ${why}`, { value: path, cause: error, hint });
  }
}

/** The folder and those above it, the outermost first. @param copy for who names what is not root's @throws TcpxError (permission) */
export function requireOwnedFolders(folder: string, copy = "look at it, then: chown root"): void {
  const above = dirname(folder);
  if (above !== folder) requireOwnedFolders(above, copy);
  const info = statOf(folder);
  requireTrusted(folder, info, copy);
  if (!info.isDirectory()) throw usageError(`${folder} is not a directory`, folder);
}

/** The folder, those above it, and all that is in it. @throws TcpxError (permission) for the first that is not */
export function requireOwnedTree(folder: string): void {
  requireOwnedFolders(folder, COPY.folder(folder));
  const left = [folder];
  for (let seen = 0; left.length > 0; ) {
    const inside = left.pop()!;
    for (const name of readdirSync(inside)) {
      seen += 1;
      if (seen > MOST_ENTRIES)
        throw usageError(
          `${folder} has more than ${MOST_ENTRIES} files`,
          folder,
          "name the folder of one extension",
        );
      const entry = join(inside, name);
      const info = statOf(entry);
      requireTrusted(entry, info, COPY.folder(folder));
      if (info.isDirectory()) left.push(entry);
    }
  }
}

function readAll(fd: number, size: number): Uint8Array {
  const bytes = new Uint8Array(size);
  for (let at = 0; at < size; ) {
    const n = readSync(fd, bytes, at, size - at, at);
    if (n === 0) return bytes.subarray(0, at);
    at += n;
  }
  return bytes;
}

/**
 * The bytes of such a file.
 * @param path an absolute one
 * @throws TcpxError (usage) where there is none, or more than `most` bytes; (permission) where it is not root's own
 */
export function readOwnedFile(path: string, most: number): Uint8Array {
  const copy = COPY.file(path);
  requireOwnedFolders(dirname(path), copy);
  const before = statOf(path);
  const wrong = (what: string, hint: string) =>
    new TcpxError(Exit.USAGE, `${path} ${what}`, { value: path, hint });
  // First, so that nobody is told to change the mode of /dev/null. A link is refused as one, below.
  if (before.isDirectory()) throw wrong("is a directory", "name a file");
  if (!before.isFile() && !before.isSymbolicLink()) throw wrong("is no regular file", "name a file");
  requireTrusted(path, before, copy);
  if (before.size > most) throw wrong(`has ${before.size} bytes`, `accepted are at most ${most}`);
  const { O_RDONLY, O_NOFOLLOW, O_NONBLOCK, O_NOCTTY } = constants;
  const fd = openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  try {
    const info = fstatSync(fd);
    if (info.ino !== before.ino || info.dev !== before.dev)
      throw wrong("was replaced meanwhile", "try again");
    return readAll(fd, Math.min(info.size, most));
  } finally {
    closeSync(fd);
  }
}
