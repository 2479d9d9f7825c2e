// SPDX-License-Identifier: MIT
// Files that somebody has named, read as files only: opening a FIFO waits for its other end, reading a device may
// never end, and opening some devices does something.

import {
  closeSync,
  constants,
  fstatSync,
  lstatSync,
  openSync,
  readSync,
  type Stats,
  statSync,
} from "node:fs";

const CHUNK = 1 << 20;

/** What else stands there: "is a directory"; undefined for a file. */
function kindOf(info: Stats): string | undefined {
  if (info.isFile()) return undefined;
  if (info.isDirectory()) return "is a directory";
  if (info.isFIFO()) return "is a named pipe";
  return info.isSocket() ? "is a socket" : "is a device";
}

/** Why a path is not read. */
export class NoPlainFile extends Error {}

/** The number of the descriptor that a path stands for: /dev/stdin, or what a shell's <(...) makes. */
function descriptorOf(path: string): number | undefined {
  if (path === "-" || path === "/dev/stdin") return 0;
  const [, number] = /^\/(?:dev|proc\/self)\/fd\/(\d{1,6})$/.exec(path) ?? [];
  return number === undefined ? undefined : Number(number);
}

function openPlain(path: string, links: boolean): number {
  const found = links ? statSync(path) : lstatSync(path);
  const before = found.isSymbolicLink() ? "is a link" : kindOf(found);
  if (before) throw new NoPlainFile(before);
  // another thing may stand there by now
  const { O_RDONLY, O_NONBLOCK, O_NOCTTY, O_NOFOLLOW } = constants;
  const fd = openSync(path, O_RDONLY | O_NONBLOCK | O_NOCTTY | (links ? 0 : O_NOFOLLOW));
  const kind = kindOf(fstatSync(fd));
  if (kind === undefined) return fd;
  closeSync(fd);
  throw new NoPlainFile(kind);
}

/** Waits where somebody has made stdin one that does not. */
function readSome(fd: number, into: Uint8Array, waits: boolean): number {
  for (;;) {
    try {
      return readSync(fd, into);
    } catch (error) {
      if (!waits || (error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Bun.sleepSync(5);
    }
  }
}

function readAll(fd: number, most: number, waits: boolean): Uint8Array | undefined {
  const chunks: Uint8Array[] = [];
  let total = 0;
  if (fstatSync(fd).size > most) return undefined;
  for (;;) {
    const chunk = new Uint8Array(CHUNK);
    const n = readSome(fd, chunk, waits);
    if (n === 0) return Buffer.concat(chunks, total);
    chunks.push(chunk.subarray(0, n));
    total += n;
    if (total > most) return undefined;
  }
}

/**
 * The bytes of a file, or of a descriptor that is open already, of whatever kind that is.
 * @param links false: a link in its place is refused
 * @returns undefined when there are more than `most`
 * @throws NoPlainFile, or what the system call that failed has said
 */
export function readPlain(path: string, most: number, links = true): Uint8Array | undefined {
  const given = descriptorOf(path);
  if (given !== undefined) return readAll(given, most, true);
  const fd = openPlain(path, links);
  try {
    return readAll(fd, most, false);
  } finally {
    closeSync(fd);
  }
}
