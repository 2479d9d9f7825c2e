// SPDX-License-Identifier: MIT
// Where a package is from: a file, a folder that is built first, or a URL.

import { lstatSync, readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { usageError } from "../base/errors.ts";
import { readManifest } from "../manifest/read.ts";
import type { Io } from "../output/io.ts";
import { download, isUrl, requireFetchable } from "../packages/download.ts";
import { hostKeys, KEYS } from "../packages/minisign.ts";
import { MOST, MOST_TEXT, packExtension } from "../packages/package.ts";
import { buildFolder } from "../sdk/build.ts";
import { readFolder } from "../sdk/folder.ts";
import { readOwnedFile, requireOwnedTree } from "../system/owned-file.ts";
import { NoPlainFile, readPlain } from "../system/plain-file.ts";
import { absolutePath } from "../system/working-directory.ts";

/** Characters of a path that a system call takes. */
const PATH_MAX = 4096;

export interface Given {
  bytes: Uint8Array;
  /** Nobody here answers for it: a sum or a signature has to. */
  isForeign: boolean;
}

/** A path that has a meaning whatever the working directory is. @throws TcpxError (usage) */
export function wholePath(path: string): string {
  const whole = absolutePath(path);
  if (whole === undefined)
    throw usageError(`${path}: the working directory has no name`, path, "give the whole path");
  if (path === "" || whole.length >= PATH_MAX)
    throw usageError(`'${path}' is no path`, path, "accepted is a file");
  return whole;
}

/** A package that is only looked at, whoever's it is. @throws TcpxError (usage) */
export function readPackage(file: string): Uint8Array {
  let bytes: Uint8Array | undefined;
  try {
    bytes = readPlain(wholePath(file), MOST.all);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === undefined && !(error instanceof NoPlainFile)) throw error;
    const why = { ENOENT: "does not exist", ENOTDIR: "does not exist", EACCES: "may not be read" }[
      code ?? ""
    ];
    const what = error instanceof NoPlainFile ? error.message : (why ?? `cannot be read (${code})`);
    throw usageError(`${file} ${what}`, file, "accepted is a package, NAME.tcpx");
  }
  if (!bytes) throw usageError(`${file} is too long`, file, `accepted is up to ${MOST_TEXT}`);
  return bytes;
}

/** When the newest of a folder's files was changed, but for those that a build makes. */
function changedAt(folder: string, made: readonly string[]): number {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const sources = entries.filter((entry) => entry.isFile() && !made.includes(entry.name));
  return Math.max(0, ...sources.map(({ parentPath, name }) => lstatSync(join(parentPath, name)).mtimeMs));
}

/** The object that lies in the folder, where it is not older than what it was made of. */
function objectIn(folder: string, name: string): Uint8Array | undefined {
  const [object, made] = [join(folder, `${name}.bpf.o`), [`${name}.bpf.o`, `${name}.tcpx`]];
  const info = lstatSync(object, { throwIfNoEntry: false });
  if (!info || info.mtimeMs < changedAt(folder, made)) return undefined;
  return readOwnedFile(object, MOST.all);
}

/** A folder as a package; built, unless it has been. */
async function packFolder(folder: string, io: Io): Promise<Uint8Array> {
  requireOwnedTree(folder);
  const { manifestText, readme } = readFolder(folder);
  const name = manifestText && readManifest(manifestText, join(folder, "extension.toml")).name;
  const object = name ? objectIn(folder, name) : undefined;
  const said = (lines: readonly string[]) => {
    for (const line of lines) io.messages.info(line);
  };
  const built = name && object ? { manifestText, object, readme, name } : undefined;
  if (built) io.messages.info(`${built.name}.bpf.o is newer than its sources: not compiled again`);
  const { object: bytes, ...of } = built ?? (await buildFolder(folder, { said }));
  return packExtension({
    manifest: of.manifestText!,
    name: built?.name ?? ("manifest" in of ? of.manifest.name : ""),
    object: bytes,
    ...(of.readme !== undefined && { readme: of.readme }),
  });
}

/** What nothing would vouch for is not fetched. @throws TcpxError (usage) */
function fromUrl(url: string, sum: boolean): Promise<Uint8Array> {
  requireFetchable(url, sum);
  if (sum || hostKeys().length > 0) return download(url, sum);
  const hint = `give --sha256, or put its author's key below ${KEYS}`;
  throw usageError(`nothing says whose ${url} is`, url, hint);
}

/**
 * What `ext add` is given, read once.
 * @param sum its sum is known
 * @throws TcpxError (permission) when others than root can change it
 */
export async function given(what: string, sum: boolean, io: Io): Promise<Given> {
  if (isUrl(what)) return { bytes: await fromUrl(what, sum), isForeign: true };
  const path = wholePath(what);
  const isFolder = statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
  const bytes = isFolder ? await packFolder(path, io) : readOwnedFile(path, MOST.all);
  return { bytes, isForeign: false };
}
