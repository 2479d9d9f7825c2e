// SPDX-License-Identifier: MIT
// Text that a user hands us, from a file or stdin, of which nothing is known yet.

import { closeSync, openSync, readSync } from "node:fs";
import { Exit, TcpxError, usageError } from "../errors.ts";

const CHUNK = 1 << 20;

function cannotRead(name: string, error: unknown): TcpxError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const why: Record<string, string> = {
    ENOENT: "does not exist",
    EISDIR: "is a directory",
    EACCES: "may not be read",
  };
  return usageError(
    `${name} ${why[code] ?? `cannot be read (${code})`}`,
    name,
    "accepted is a file, or - for stdin",
  );
}

/** Waits where somebody has made stdin one that does not. */
function readSome(fd: number, into: Uint8Array): number {
  for (;;) {
    try {
      return readSync(fd, into);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") throw error;
      Bun.sleepSync(5);
    }
  }
}

/** At most `most` bytes. @throws TcpxError (usage) when there are more */
function readBytes(path: string, name: string, most: number): Uint8Array {
  const chunks: Uint8Array[] = [];
  let total = 0;
  let fd: number | undefined;
  try {
    fd = path === "-" ? 0 : openSync(path, "r");
    for (;;) {
      const chunk = new Uint8Array(CHUNK);
      const n = readSome(fd, chunk);
      if (n === 0) return Buffer.concat(chunks, total);
      chunks.push(chunk.subarray(0, n));
      total += n;
      if (total > most) break;
    }
  } catch (error) {
    throw cannotRead(name, error);
  } finally {
    if (fd !== undefined && fd > 0) closeSync(fd);
  }
  const limit = `accepted is up to ${most >> 20} MB`;
  throw usageError(`${name} is too long`, name, limit);
}

/** The first line that is no UTF-8. */
function badLine(bytes: Uint8Array): number {
  const decoder = new TextDecoder("utf-8", { fatal: true });
  for (let line = 1, at = 0; ; line++) {
    const end = bytes.indexOf(0x0a, at);
    try {
      decoder.decode(bytes.subarray(at, end < 0 ? undefined : end));
    } catch {
      return line;
    }
    if (end < 0) return line;
    at = end + 1;
  }
}

/**
 * The text of a file, or of stdin for "-".
 * @param name what it is called in messages
 * @throws TcpxError (usage) when it cannot be read, has more than `most` bytes or is no UTF-8
 */
export function readText(path: string, name: string, most: number): string {
  const bytes = readBytes(path, name, most);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    const line = badLine(bytes);
    throw new TcpxError(Exit.USAGE, `${name}:${line}: not UTF-8`, {
      place: { file: name, line, key: "" },
      hint: "accepted is text in UTF-8",
    });
  }
}
