// SPDX-License-Identifier: MIT
// Text that a user hands us, from a file or stdin, of which nothing is known yet.

import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { NoPlainFile, readPlain } from "./plain-file.ts";

function cannotRead(name: string, error: unknown): TcpxError {
  const code = (error as NodeJS.ErrnoException).code ?? String(error);
  const why: Record<string, string> = {
    ENOENT: "does not exist",
    EISDIR: "is a directory",
    EACCES: "may not be read",
  };
  const what = error instanceof NoPlainFile ? error.message : why[code];
  return usageError(
    `${name} ${what ?? `cannot be read (${code})`}`,
    name,
    "accepted is a file, or - for stdin",
  );
}

/** At most `most` bytes. @throws TcpxError (usage) when there are more */
function readBytes(path: string, name: string, most: number): Uint8Array {
  let bytes: Uint8Array | undefined;
  try {
    bytes = readPlain(path, most);
  } catch (error) {
    throw cannotRead(name, error);
  }
  if (bytes) return bytes;
  throw usageError(`${name} is too long`, name, `accepted is up to ${most >> 20} MB`);
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
