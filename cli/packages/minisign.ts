// SPDX-License-Identifier: MIT
// Signatures of minisign (https://jedisct1.github.io/minisign/), verified with the keys of this host. Nothing is signed
// here: that is the program's.

import { lstatSync, readdirSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { readOwnedFile, requireOwnedFolders } from "../system/owned-file.ts";

/** Root puts keys there, each in a file NAME.pub as minisign writes it. */
export const KEYS = "/etc/tcpx/keys";

const MOST_BYTES = 4096;
const MOST_KEYS = 100;
const LENGTH = { algorithm: 2, id: 8, key: 32, signature: 64 };
/** Of a message, and of its BLAKE2b-512. */
const [LEGACY, HASHED] = ["Ed", "ED"];

export interface Key {
  /** Its file, without the ending. */
  name: string;
  id: string;
  bytes: Uint8Array;
}

export interface Signature {
  /** The signature is of the message's hash. */
  isHashed: boolean;
  keyId: string;
  bytes: Uint8Array;
  /** What its signer says with it; it is signed, too. */
  comment: Uint8Array;
  /** Of both. */
  whole: Uint8Array;
}

/** As minisign prints it: the number, which is stored with its least byte first. */
const idOf = (bytes: Uint8Array) =>
  Buffer.from(bytes)
    .reverse()
    .toString("hex")
    .toUpperCase()
    .replace(/^0+(?=.)/, "");

/** Strict: what an encoder would not have made is none. */
function base64(text: string, length: number): Uint8Array | undefined {
  const bytes = Buffer.from(text, "base64");
  return bytes.length === length && bytes.toString("base64") === text ? new Uint8Array(bytes) : undefined;
}

/** Lines, each of which ends; a last line break may be missing. */
function linesOf(text: string): string[] {
  const lines = text.split("\n").map((line) => line.replace(/\r$/, ""));
  if (lines.at(-1) === "") lines.pop();
  return lines;
}

const UNTRUSTED = "untrusted comment: ";
const TRUSTED = "trusted comment: ";

/** A public key as minisign writes it; undefined: it is none. */
export function parseKey(text: string, name: string): Key | undefined {
  const [comment = "", encoded = "", ...more] = linesOf(text);
  if (!comment.startsWith(UNTRUSTED) || more.length > 0) return undefined;
  const { algorithm, id, key } = LENGTH;
  const bytes = base64(encoded, algorithm + id + key);
  if (!bytes || Buffer.from(bytes.subarray(0, algorithm)).toString("latin1") !== LEGACY) return undefined;
  const at = algorithm + id;
  return { name, id: idOf(bytes.subarray(algorithm, at)), bytes: bytes.subarray(at) };
}

/** undefined: it is none. */
export function parseSignature(text: string): Signature | undefined {
  const [comment = "", encoded = "", trusted = "", whole = "", ...more] = linesOf(text);
  if (!comment.startsWith(UNTRUSTED) || !trusted.startsWith(TRUSTED) || more.length > 0) return undefined;
  const { algorithm, id, signature } = LENGTH;
  const bytes = base64(encoded, algorithm + id + signature);
  const global = base64(whole, signature);
  if (!bytes || !global) return undefined;
  const kind = Buffer.from(bytes.subarray(0, algorithm)).toString("latin1");
  if (kind !== LEGACY && kind !== HASHED) return undefined;
  return {
    isHashed: kind === HASHED,
    keyId: idOf(bytes.subarray(algorithm, algorithm + id)),
    bytes: bytes.subarray(algorithm + id),
    comment: new TextEncoder().encode(trusted.slice(TRUSTED.length)),
    whole: global,
  };
}

/** Is it this key's signature of these bytes, and of its comment? */
export async function isSignedBy(key: Key, signature: Signature, bytes: Uint8Array): Promise<boolean> {
  if (signature.keyId !== key.id) return false;
  const { createPublicKey, verify } = await import("node:crypto");
  const x = Buffer.from(key.bytes).toString("base64url");
  const publicKey = createPublicKey({ format: "jwk", key: { kty: "OKP", crv: "Ed25519", x } });
  const message = signature.isHashed ? new Bun.CryptoHasher("blake2b512").update(bytes).digest() : bytes;
  return (
    verify(null, message, publicKey, signature.bytes) &&
    verify(null, Buffer.concat([signature.bytes, signature.comment]), publicKey, signature.whole)
  );
}

/** The files of the folder; none where it is not there. @throws TcpxError (permission) when it is not root's alone */
function keyFiles(folder: string): string[] {
  if (!lstatSync(folder, { throwIfNoEntry: false })) return [];
  requireOwnedFolders(folder);
  const names = readdirSync(folder).filter((name) => name.endsWith(".pub"));
  if (names.length <= MOST_KEYS) return names.sort();
  throw new TcpxError(Exit.FAILED, `${folder} has more than ${MOST_KEYS} keys`, { value: folder });
}

/**
 * The keys that root has put on this host.
 * @throws TcpxError (permission) when others can write there, (failed) when one is none
 */
export function hostKeys(folder = KEYS): Key[] {
  return keyFiles(folder).map((file) => {
    const path = join(folder, file);
    const text = new TextDecoder().decode(readOwnedFile(path, MOST_BYTES));
    const key = parseKey(text, file.slice(0, -".pub".length));
    if (key) return key;
    throw new TcpxError(Exit.FAILED, `${path} is no public key of minisign`, {
      value: path,
      hint: "mend or remove it",
    });
  });
}

/**
 * Whose signature it is.
 * @param where what was signed, in messages
 * @returns undefined: this host does not have the key
 * @throws TcpxError (usage) when it is no signature, or not of these bytes
 */
export async function signerOf(
  text: string,
  bytes: Uint8Array,
  keys: readonly Key[],
  where: string,
): Promise<{ signer: Key | undefined; keyId: string; comment: string }> {
  const signature = parseSignature(text);
  if (!signature)
    throw usageError(
      `${where}: its signature is none of minisign`,
      where,
      "sign SHA256SUMS with `minisign -S`",
    );
  const { keyId } = signature;
  const comment = new TextDecoder().decode(signature.comment).replaceAll("\t", " ").trim();
  const known = keys.filter(({ id }) => id === keyId);
  for (const key of known)
    if (await isSignedBy(key, signature, bytes)) return { signer: key, keyId, comment };
  if (known.length === 0) return { signer: undefined, keyId, comment };
  throw usageError(
    `${where}: its signature by key ${keyId} (${known[0]!.name}) is wrong`,
    where,
    "do not use it",
  );
}
