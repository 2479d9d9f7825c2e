// SPDX-License-Identifier: MIT
// The host's folder of extensions: a file for each, which is there by one rename and gone with one unlink.

import { lstatSync, readdirSync, rmdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { FIRST_SLOT, SLOTS } from "../extensions/slots.ts";
import { makeDirectories, removeFile, replaceFile, sweepDrafts } from "../system/files.ts";
import { requireOwnedFolders } from "../system/owned-file.ts";
import { EXTENSIONS } from "./present.ts";

export { EXTENSIONS };

/** A file of the folder, by its name. */
export interface Stored {
  id: number;
  name: string;
  path: string;
}

/** Those that a host can have at once. */
export const IDS: readonly number[] = Array.from({ length: SLOTS }, (_, slot) => FIRST_SLOT + slot);

export const pathOf = (id: number, name: string): string => join(EXTENSIONS, `${id}-${name}.tcpx`);

/** What a name there says; undefined: it is no extension's. */
export function storedAs(file: string): Stored | undefined {
  const [, id, name] = /^(\d{1,2})-([a-z][a-z0-9-]{0,31})\.tcpx$/.exec(file) ?? [];
  if (name === undefined || !IDS.includes(Number(id)) || id !== String(Number(id))) return undefined;
  return { id: Number(id), name, path: join(EXTENSIONS, file) };
}

/** By their ids. */
export function stored(): Stored[] {
  const info = lstatSync(EXTENSIONS, { throwIfNoEntry: false });
  const files = info?.isDirectory() ? readdirSync(EXTENSIONS) : [];
  return files
    .flatMap((file) => storedAs(file) ?? [])
    .sort((a, b) => a.id - b.id || (a.name < b.name ? -1 : 1));
}

/** Removes what writers that were killed have left, of whichever package. */
function sweep(): void {
  for (const file of readdirSync(EXTENSIONS)) {
    const [, of] = /^\.([^/]+\.tcpx)\.tcpx-/.exec(file) ?? [];
    if (of !== undefined) sweepDrafts(join(EXTENSIONS, of));
  }
}

function failed(path: string, what: string, error: unknown): TcpxError {
  if (error instanceof TcpxError) return error;
  const { code = error } = error as NodeJS.ErrnoException;
  return new TcpxError(Exit.FAILED, `${path} cannot be ${what} (${code})`, { value: path, cause: error });
}

/** Before anything is changed. @throws TcpxError (permission) when others than root can write there */
export function requireOwnFolder(): void {
  const there = [EXTENSIONS, dirname(EXTENSIONS)].find((path) => lstatSync(path, { throwIfNoEntry: false }));
  requireOwnedFolders(there ?? "/etc");
}

/** Puts a package there, in place of the one that is. @throws TcpxError; the old one is there then */
export function store(id: number, name: string, bytes: Uint8Array): void {
  const path = pathOf(id, name);
  try {
    makeDirectories(EXTENSIONS, 0o755);
    requireOwnedFolders(EXTENSIONS); // what is there is loaded while the system starts
    sweep();
    replaceFile(path, bytes, 0o644);
  } catch (error) {
    throw failed(path, "written", error);
  }
}

/** Takes one away, and the folder with the last one. */
export function unstore({ path }: Stored): void {
  try {
    requireOwnedFolders(EXTENSIONS);
    removeFile(path);
    sweep();
  } catch (error) {
    throw failed(path, "removed", error);
  }
  try {
    rmdirSync(EXTENSIONS);
  } catch {
    // others are there
  }
}
