// SPDX-License-Identifier: MIT
// A package before anything is done with it: its sum, its signature, its manifest, and its object as far as bytes tell.
// The order is that of trust: what is not known to be from somebody is looked at as little as possible.

import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { HOOKS } from "../bridge/link.ts";
import { readManifest } from "../manifest/read.ts";
import { API, type Manifest } from "../manifest/types.ts";
import { type ElfObject, ObjectError, readElf } from "../objects/elf.ts";
import { guarded } from "./guard.ts";
import { hostKeys, KEYS, type Key, signerOf } from "./minisign.ts";
import { type Package, unpackExtension } from "./package.ts";

export interface Signed {
  /** The key's file, without its ending. */
  key: string;
  id: string;
  /** What its signer has said with the signature. */
  comment: string;
}

export interface Candidate {
  where: string;
  bytes: Uint8Array;
  sha256: string;
  package: Package;
  manifest: Manifest;
  /** Names of the hooks that its object has. */
  hooks: string[];
  /** null: there is no signature, or its key is not on this host. */
  signedBy: Signed | null;
  /** Of a signature by a key that this host does not have. */
  unknownKey: string | null;
}

/** What its user asks of it. */
export interface Wish {
  /** Of the whole file; 64 digits. */
  sha256?: string | undefined;
  /** It is from elsewhere: without a sum, somebody that root knows has to have signed it. */
  isForeign?: boolean;
  keys?: readonly Key[];
}

/** The value of --sha256. @throws TcpxError (usage) */
export function sumOf(text: string | undefined): string | undefined {
  if (text === undefined || /^[0-9a-f]{64}$/i.test(text)) return text?.toLowerCase();
  throw usageError(`--sha256 ${text} is no SHA-256`, text, "accepted is what sha256sum(1) prints: 64 digits");
}

function checkSum(where: string, sum: string, wanted: string | undefined): void {
  if (wanted === undefined || sum === wanted) return;
  throw usageError(`${where} is not what --sha256 says: its sum is ${sum}`, where, "do not use it");
}

/** Whose it is. @throws TcpxError when it has to be somebody's, and is not */
async function signed(where: string, { sums, minisig }: Package, wish: Wish) {
  const needsKey = wish.isForeign === true && wish.sha256 === undefined;
  if (minisig === undefined && !needsKey) return { signedBy: null, unknownKey: null };
  const keys = wish.keys ?? hostKeys();
  const found = minisig === undefined ? undefined : await signerOf(minisig, sums, keys, where);
  const signer = found?.signer;
  if (!signer && needsKey) {
    const why = found ? `is signed by key ${found.keyId}, which is not below ${KEYS}` : "is not signed";
    throw new TcpxError(Exit.PERMISSION, `${where} ${why}`, {
      value: where,
      hint: `give --sha256, or put its author's key below ${KEYS}`,
    });
  }
  return {
    signedBy: signer && found ? { key: signer.name, id: signer.id, comment: found.comment } : null,
    unknownKey: signer || !found ? null : found.keyId,
  };
}

/** Versions of tcpx_ext.h that an object was made with, by its symbols. */
function apisOf({ symbols }: ElfObject): number[] {
  const named = symbols.flatMap(({ name }) => /^tcpx(\d{1,6})_/.exec(name)?.[1] ?? []);
  return [...new Set(named.map(Number))];
}

/** In the order of their bits. */
function hooksIn({ symbols }: ElfObject): string[] {
  const named = symbols.filter(({ section }) => section !== 0).map(({ name }) => name);
  return HOOKS.filter((name) => named.includes(`tcpx${API}_slot0_${name}`));
}

/**
 * Looks at an object.
 * @returns names of its hooks
 * @throws TcpxError for one that no tcpx of this version can load
 */
export function checkObject(
  where: string | undefined,
  { name, object }: Pick<Package, "name" | "object">,
): string[] {
  const what = where === undefined ? `${name}.bpf.o` : `${where}: ${name}.bpf.o`;
  const value = where ?? name;
  let apis: number[];
  let hooks: string[];
  try {
    const elf = readElf(object);
    apis = apisOf(elf);
    hooks = hooksIn(elf);
  } catch (error) {
    if (!(error instanceof ObjectError)) throw error;
    throw usageError(`${what} ${error.message}`, value, "build it with `tcpx ext build`");
  }
  const other = apis.find((api) => api !== API);
  if (other !== undefined)
    throw usageError(
      `${what} is made for version ${other} of tcpx_ext.h, and this tcpx has ${API}`,
      value,
      other > API ? "a newer tcpx may have it" : "build it anew with `tcpx ext build`",
    );
  if (hooks.length === 0)
    throw usageError(`${what} has no hook of tcpx_ext.h`, value, "for a whole program: tcpx ext load");
  guarded(what, object, "extension");
  return hooks;
}

/**
 * Looks at a package.
 * @param where what it is called in messages
 * @throws TcpxError (usage) for what is none, (permission) when nobody answers for it, (failed) by the guard
 */
export async function examine(bytes: Uint8Array, where: string, wish: Wish = {}): Promise<Candidate> {
  const sum = sha256(bytes);
  checkSum(where, sum, wish.sha256);
  const unpacked = unpackExtension(bytes, where);
  const by = await signed(where, unpacked, wish);
  const manifest = readManifest(unpacked.manifestText, `${where}: extension.toml`);
  if (manifest.name !== unpacked.name)
    throw usageError(
      `${where}: ${unpacked.name}.bpf.o is not called ${manifest.name}, as its manifest is`,
      where,
    );
  const hooks = checkObject(where, unpacked);
  return { where, bytes, sha256: sum, package: unpacked, manifest, hooks, ...by };
}
