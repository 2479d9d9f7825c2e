// SPDX-License-Identifier: MIT
// Archives of tar(1), as far as packages need them: a few regular files in one folder. What else tar can have (links,
// long names, sparse files, attributes) is refused, not skipped: readers that differ there see two contents in one
// archive. Pure.

import { usageError } from "../base/errors.ts";

const BLOCK = 512;
/** Blocks of zeros that end an archive. */
const END = 2;
const EMPTY = new Uint8Array(BLOCK);

/** Where fields of a header are: offset and length. */
const FIELD = {
  name: [0, 100],
  mode: [100, 8],
  uid: [108, 8],
  gid: [116, 8],
  size: [124, 12],
  mtime: [136, 12],
  sum: [148, 8],
  type: [156, 1],
  link: [157, 100],
  magic: [257, 8],
  owners: [265, 64],
  devices: [329, 16],
  rest: [345, 167],
} as const;

/** POSIX's, and GNU tar's (which busybox has, too). */
const MAGICS = ["ustar\u000000", "ustar  \0"];

export interface Member {
  name: string;
  bytes: Uint8Array;
}

const latin1 = (bytes: Uint8Array) => Buffer.from(bytes).toString("latin1");
const field = (header: Uint8Array, [at, length]: readonly [number, number]) =>
  header.subarray(at, at + length);
const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0);
const padded = (size: number) => Math.ceil(size / BLOCK) * BLOCK;

/** A number as tar writes it: octal digits, and a NUL or a space behind them; NaN otherwise. */
function octal(bytes: Uint8Array): number {
  const [, digits] = /^ *([0-7]+)[ \0]+$/.exec(latin1(bytes)) ?? [];
  return digits === undefined ? Number.NaN : Number.parseInt(digits, 8);
}

/** Of all bytes, with spaces in the place of the sum. */
function sumOf(header: Uint8Array): number {
  const [at, length] = FIELD.sum;
  return header.reduce((sum, byte, i) => sum + (i >= at && i < at + length ? 0x20 : byte), 0);
}

/** A name of others in a message, which is ASCII. */
const shown = (name: string) =>
  JSON.stringify(name).replaceAll(/[\x7f-\xff]/g, (c) => `\\x${c.charCodeAt(0).toString(16)}`);

/** What a header says that stands here. @throws why it says nothing to us */
function readHeader(header: Uint8Array): { name: string; size: number } {
  if (!MAGICS.includes(latin1(field(header, FIELD.magic)))) throw new Error("it is no tar archive");
  if (octal(field(header, FIELD.sum)) !== sumOf(header))
    throw new Error("a header of the archive does not have its checksum");
  const [name = "", ...behind] = latin1(field(header, FIELD.name)).split("\0");
  if (!/^[\w.-]+$/.test(name) || behind.some((rest) => rest !== ""))
    throw new Error(`a member is called ${shown(name)}`);
  const type = latin1(field(header, FIELD.type));
  if ((type !== "0" && type !== "\0") || !isZero(field(header, FIELD.link)))
    throw new Error(`member ${name} is no regular file`);
  if (!isZero(field(header, FIELD.rest))) throw new Error(`member ${name} has a long name, or attributes`);
  const size = octal(field(header, FIELD.size));
  if (Number.isNaN(size)) throw new Error(`the size of member ${name} is no number`);
  return { name, size };
}

const isElf = (bytes: Uint8Array) => latin1(bytes.subarray(0, 4)) === "\x7fELF";

/** @throws Error that says why it is none that we take */
function members(bytes: Uint8Array, most: number): Member[] {
  if (isElf(bytes)) throw new Error("it is an object, and no package");
  const found: Member[] = [];
  for (let at = 0; ; ) {
    const header = bytes.subarray(at, at + BLOCK);
    if (header.length < BLOCK) throw new Error(at === 0 ? "it is no tar archive" : "the archive is cut off");
    if (at > 0 && isZero(header)) {
      if (!isZero(bytes.subarray(at))) throw new Error("something stands behind the end of the archive");
      if (bytes.length - at < END * BLOCK || bytes.length % BLOCK !== 0)
        throw new Error("the archive is cut off");
      return found;
    }
    const { name, size } = readHeader(header);
    const [begin, end] = [at + BLOCK, at + BLOCK + size];
    at = begin + padded(size);
    if (at > bytes.length) throw new Error(`the archive is cut off in member ${name}`);
    if (!isZero(bytes.subarray(end, at)))
      throw new Error(`something stands behind the end of member ${name}`);
    if (found.some((other) => other.name === name)) throw new Error(`member ${name} is there twice`);
    if (found.length >= most) throw new Error(`there are more than ${most} members`);
    found.push({ name, bytes: bytes.subarray(begin, end) });
  }
}

/**
 * The members of an archive; their bytes are those of `bytes`, nothing is copied.
 * @param where what it is called in messages
 * @param most members
 * @throws TcpxError (usage) when it has anything but regular files without folders, each once
 */
export function readArchive(bytes: Uint8Array, where: string, most: number): Member[] {
  try {
    return members(bytes, most);
  } catch (error) {
    throw usageError(
      `${where}: ${(error as Error).message}`,
      where,
      "accepted is what `tcpx ext build` makes",
    );
  }
}

function header({ name, bytes }: Member): Uint8Array {
  const block = Buffer.alloc(BLOCK);
  const put = ([at]: readonly [number, number], text: string) => block.write(text, at, "latin1");
  const number = (where: readonly [number, number], value: number) =>
    put(where, value.toString(8).padStart(where[1] - 1, "0"));
  put(FIELD.name, name);
  number(FIELD.mode, 0o644);
  for (const none of [FIELD.uid, FIELD.gid, FIELD.mtime]) number(none, 0);
  number(FIELD.size, bytes.length);
  put(FIELD.type, "0");
  put(FIELD.magic, MAGICS[0]!);
  put(FIELD.sum, `${sumOf(block).toString(8).padStart(6, "0")}\0 `);
  return block;
}

/** The same members give the same bytes: there are no times and no owners. */
export function writeArchive(list: readonly Member[]): Uint8Array<ArrayBuffer> {
  const blocks = list.flatMap((member) => {
    const { bytes } = member;
    return [header(member), bytes, EMPTY.subarray(0, padded(bytes.length) - bytes.length)];
  });
  // no Buffer: its slice() shares the bytes
  return new Uint8Array(Buffer.concat([...blocks, ...Array.from({ length: END }, () => EMPTY)]));
}
