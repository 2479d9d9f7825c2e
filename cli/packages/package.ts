// SPDX-License-Identifier: MIT
// An extension as one file, NAME.tcpx: an archive of tar with its object, its manifest and their sums. Pure.

import { type TcpxError, usageError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { type Member, readArchive, writeArchive } from "./ustar.ts";

/** All of a package, its manifest, and what else is text of a few lines, in bytes. */
export const MOST = { all: 4 << 20, manifest: 256 << 10, small: 4 << 10 };
/** How much 4 MiB are, for messages. */
export const MOST_TEXT = "4 MiB";

const MANIFEST = "extension.toml";
const README = "README.md";
const SUMS = "SHA256SUMS";
const SIGNATURE = "SHA256SUMS.minisig";
const OBJECT = /^([a-z][a-z0-9-]{0,31})\.bpf\.o$/;
const MEMBERS = 5;

export interface Parts {
  /** extension.toml */
  manifest: string;
  name: string;
  object: Uint8Array;
  readme?: string;
  /** A minisign signature of sumsOf() the other parts. */
  minisig?: string;
}

export interface Package {
  /** As the object's file is called. */
  name: string;
  manifestText: string;
  object: Uint8Array;
  readme?: string;
  /** SHA256SUMS, which a signature is for. */
  sums: Uint8Array;
  minisig?: string;
}

const encoded = (text: string) => new TextEncoder().encode(text);

const membersOf = ({ manifest, name, object, readme }: Parts): Member[] => [
  { name: MANIFEST, bytes: encoded(manifest) },
  { name: `${name}.bpf.o`, bytes: object },
  ...(readme === undefined ? [] : [{ name: README, bytes: encoded(readme) }]),
];

/** SHA256SUMS of a package: what is signed. */
export const sumsOf = (parts: Parts): string =>
  membersOf(parts)
    .map(({ name, bytes }) => `${sha256(bytes)}  ${name}\n`)
    .join("");

/**
 * The same parts give the same bytes.
 * @throws TcpxError (usage) when unpackExtension() would not take them
 */
export function packExtension(parts: Parts): Uint8Array<ArrayBuffer> {
  const { minisig } = parts;
  const bytes = writeArchive([
    ...membersOf(parts),
    { name: SUMS, bytes: encoded(sumsOf(parts)) },
    ...(minisig === undefined ? [] : [{ name: SIGNATURE, bytes: encoded(minisig) }]),
  ]);
  unpackExtension(bytes, `${parts.name}.tcpx`);
  return bytes;
}

/** An error about a package. */
const refused = (where: string, what: string, hint = "accepted is what `tcpx ext build` makes"): TcpxError =>
  usageError(`${where}: ${what}`, where, hint);

function textOf(where: string, { name, bytes }: Member, most: number): string {
  if (bytes.length > most) throw refused(where, `${name} has more than ${most} bytes`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    throw refused(where, `${name} is not UTF-8`);
  }
}

/** @throws TcpxError (usage) when the sums do not name each of the members once, or one of them is another */
function checkSums(where: string, text: string, members: readonly Member[]): void {
  const left = new Map(members.map((member) => [member.name, member]));
  const lines = text.split("\n");
  if (lines.pop() !== "") throw refused(where, `${SUMS} does not end with a line`);
  for (const line of lines) {
    const [, sum, name = ""] = /^([0-9a-f]{64}) [ *]([\w.-]+)$/.exec(line) ?? [];
    const member = left.get(name);
    if (sum === undefined) throw refused(where, `${SUMS} is not what sha256sum(1) writes`);
    if (!member) throw refused(where, `${SUMS} names ${name}, which is no member, or twice`);
    if (sha256(member.bytes) !== sum)
      throw refused(where, `${name} is not what ${SUMS} says`, "the package is damaged: get it again");
    left.delete(name);
  }
  for (const name of left.keys()) throw refused(where, `${SUMS} does not name ${name}`);
}

/**
 * What is in a package. Its sums have been compared, its signature has not.
 * @param where what it is called in messages
 * @throws TcpxError (usage) when it is not exactly what a package is
 */
export function unpackExtension(bytes: Uint8Array, where: string): Package {
  if (bytes.length > MOST.all) throw refused(where, "it is too long", `accepted is up to ${MOST_TEXT}`);
  const members = readArchive(bytes, where, MEMBERS);
  const find = (name: string) => members.find((member) => member.name === name);
  const objects = members.filter(({ name }) => OBJECT.test(name));
  const known = [MANIFEST, README, SUMS, SIGNATURE];
  const other = members.find((member) => !known.includes(member.name) && !objects.includes(member));
  if (other) throw refused(where, `${other.name} is no part of a package`);
  const [manifest, sums, object] = [find(MANIFEST), find(SUMS), objects[0]];
  if (!manifest) throw refused(where, `there is no ${MANIFEST}`);
  if (!object || objects.length > 1)
    throw refused(where, object ? "there are two objects" : "there is no NAME.bpf.o");
  if (!sums) throw refused(where, `there is no ${SUMS}`);
  const summed = members.filter(({ name }) => name !== SUMS && name !== SIGNATURE);
  checkSums(where, textOf(where, sums, MOST.small), summed);
  const [readme, minisig] = [find(README), find(SIGNATURE)];
  return {
    name: OBJECT.exec(object.name)![1]!,
    manifestText: textOf(where, manifest, MOST.manifest),
    object: object.bytes,
    ...(readme && { readme: textOf(where, readme, MOST.all) }),
    sums: sums.bytes,
    ...(minisig && { minisig: textOf(where, minisig, MOST.small) }),
  };
}
