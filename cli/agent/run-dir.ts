// SPDX-License-Identifier: MIT
// The agent's directory: nobody else can enter it, so whoever reaches the socket may use it.

import { lstatSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { makeDirectory } from "../system/files.ts";

export const RUN_DIR = "/run/tcpx";
export const SOCKET = join(RUN_DIR, "agent.sock");
/** Why an agent that was started in the background could not begin; whoever started it takes it away. */
export const FAILURE = join(RUN_DIR, "agent.error");

function codeOf(error: unknown): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** Is it there, and ours? @throws TcpxError (permission) for somebody else's, or one that others can enter */
export function checkRunDir(path = RUN_DIR): boolean {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info) return false;
  if (info.isDirectory() && info.uid === process.geteuid?.() && (info.mode & 0o077) === 0) return true;
  throw new TcpxError(Exit.PERMISSION, `${path} is not a directory of ours alone`, {
    value: path,
    hint: "it must be owned by root with mode 0700: look at it, then remove it",
  });
}

/** Makes it unless it is there. @throws TcpxError (unsupported) where /run cannot be written */
export function ensureRunDir(path = RUN_DIR): void {
  try {
    makeDirectory(path, 0o700);
  } catch (error) {
    if (codeOf(error) === "EROFS" || codeOf(error) === "ENOENT") {
      throw new TcpxError(Exit.UNSUPPORTED, `${path} cannot be made (${codeOf(error)})`, {
        value: path,
        hint: "the agent needs a writable /run",
        cause: error,
      });
    }
    if (codeOf(error) !== "EEXIST") throw error;
  }
  checkRunDir(path);
}

/** Removes the files, and the directory when nothing else is in it. Call it with the agent's lock held. */
export function clearRunDir(path = RUN_DIR): void {
  for (const file of [SOCKET, FAILURE].map((name) => join(path, name.slice(RUN_DIR.length + 1)))) {
    try {
      unlinkSync(file);
    } catch {
      // was not there
    }
  }
  try {
    rmdirSync(path);
  } catch {
    // somebody's file is in it, or it is systemd's to remove
  }
}
