// SPDX-License-Identifier: MIT
// A file that others read at any time, such as a node exporter: the old text or the new one.

import { lstatSync } from "node:fs";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { replaceFile } from "../system/files.ts";

/** As a person would put it. */
const REASONS: Record<string, string> = {
  ENOENT: "its directory does not exist",
  ENOTDIR: "its directory is none",
  EROFS: "its file system is read-only",
  ENOSPC: "its file system is full",
};

/** The rename replaces what stands there: never a device, a pipe, a link or a directory. */
function checkTarget(path: string): void {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info || info.isFile()) return;
  const kind = info.isDirectory() ? "a directory" : info.isSymbolicLink() ? "a symbolic link" : "no file";
  throw usageError(
    `--output '${path}' is ${kind}`,
    path,
    "accepted is a regular file, or a name for a new one",
  );
}

/**
 * Replaces a file's text in one step; readable for everybody, since others run the exporter.
 * @throws TcpxError that names the file
 */
export function writeTextfile(path: string, text: string): void {
  try {
    checkTarget(path);
    replaceFile(path, text, 0o644);
  } catch (error) {
    if (error instanceof TcpxError) throw error;
    const { code = "", message } = error as NodeJS.ErrnoException;
    const exit = code === "EACCES" || code === "EPERM" ? Exit.PERMISSION : Exit.FAILED;
    const why = REASONS[code] ?? (exit === Exit.PERMISSION ? `not permitted (${code})` : message);
    throw new TcpxError(exit, `--output '${path}' cannot be written: ${why}`, { value: path, cause: error });
  }
}
