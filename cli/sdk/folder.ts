// SPDX-License-Identifier: MIT
// An extension's folder: what is in it, before anything is compiled.

import { existsSync, readdirSync, realpathSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { NoPlainFile, readPlain } from "../system/plain-file.ts";
import { requireOwn, type User } from "./own.ts";

const MANIFEST = "extension.toml";
const SOURCE = /^([a-z][a-z0-9_-]{0,31})\.bpf\.c$/;
/** Bytes of a source or a text of it. */
const MOST = 256 << 10;
/** Names of a folder that are listed. */
const MOST_NAMES = 4;

export interface Folder {
  /** As it was named. */
  shown: string;
  /** Where it really is. */
  path: string;
  /** Its owner, where root works with somebody else's. */
  owner?: User;
  /** Without one it is a whole program of its own. */
  manifestText?: string;
  /** Of its programs NAME.bpf.c. */
  names: string[];
  readme?: string;
}

const isRoot = () => process.geteuid?.() === 0;

/** The text of a file; undefined: there is none. @throws TcpxError (usage) */
function textOf(folder: { shown: string; path: string }, file: string): string | undefined {
  const shown = join(folder.shown, file);
  let bytes: Uint8Array | undefined;
  try {
    bytes = readPlain(join(folder.path, file), MOST, !isRoot());
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return undefined;
    const what = error instanceof NoPlainFile ? error.message : `cannot be read (${code})`;
    throw usageError(`${shown} ${what}`, shown, "accepted is a file that you may read");
  }
  if (!bytes) throw usageError(`${shown} has more than ${MOST >> 10} KiB`, shown);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw usageError(`${shown} is not UTF-8`, shown);
  }
}

/** What such a folder has; the mistake is often to be in another one. */
const HINT = "name a folder with an extension.toml, or make one with `tcpx ext new NAME`";

/** Does a part that reads it. */
function reading<T>(dir: string, part: () => T): T {
  try {
    return part();
  } catch (error) {
    if (error instanceof TcpxError) throw error;
    throw new TcpxError(Exit.PERMISSION, `${dir} cannot be read`, { value: dir, cause: error });
  }
}

/** Where it really is: what a link led to is what is looked at and used. */
function realFolder(dir: string): string {
  const path = resolve(dir);
  const info = statSync(path, { throwIfNoEntry: false });
  if (!info) throw usageError(`there is no folder ${dir}`, dir, HINT);
  if (!info.isDirectory()) throw usageError(`${dir} is no folder`, dir, HINT);
  return realpathSync(path);
}

/** @throws TcpxError: usage for what is no such folder, permission for root where others have a hand in it */
export function readFolder(dir: string): Folder {
  const path = reading(dir, () => realFolder(dir));
  const owner = reading(dir, () => (isRoot() ? requireOwn(dir, path) : undefined));
  const files = reading(dir, () => readdirSync(path));
  const at = { shown: dir, path, ...(owner && { owner }) };
  const names = files.flatMap((file) => SOURCE.exec(file)?.[1] ?? []).sort();
  const [manifestText, readme] = [textOf(at, MANIFEST), textOf(at, "README.md")];
  return {
    ...at,
    names,
    ...(manifestText !== undefined && { manifestText }),
    ...(readme !== undefined && { readme }),
  };
}

/** The source of an extension with this name. @throws TcpxError (usage) */
export function sourceOf({ shown, path, names }: Folder, name: string): string {
  const source = `${name}.bpf.c`;
  if (existsSync(join(path, source))) return source;
  const others = names.slice(0, MOST_NAMES).map((other) => `${other}.bpf.c`);
  const has = others.length > 0 ? `, but ${others.join(", ")}` : "";
  const hint = `its name in ${MANIFEST} is the name of its program, too`;
  throw usageError(`${shown} has no ${source}${has}`, name, hint);
}

/**
 * The name of a whole program: sock_ops, or a congestion control. It says its licence, which no extension does.
 * @throws TcpxError (usage) when the folder has none, or several
 */
export function programName(folder: Folder): string {
  const { shown, names } = folder;
  const whole = names.filter((name) => textOf(folder, `${name}.bpf.c`)?.includes('SEC("license")'));
  if (whole.length === 1) return whole[0]!;
  if (whole.length > 1) {
    const own = whole.find((name) => name === basename(folder.path));
    if (own !== undefined) return own;
    throw usageError(
      `${shown} has several programs: ${whole.join(", ")}`,
      shown,
      "accepted is one in a folder",
    );
  }
  throw usageError(`${shown} has no ${MANIFEST}`, shown, HINT);
}
