// SPDX-License-Identifier: MIT
// Keys for sockets: TCP-AO (RFC 5925) and TCP MD5 (RFC 2385), as setsockopt takes them.
import { readFileSync } from "node:fs";
import { isIPv6 } from "node:net";
import { IPPROTO_TCP } from "./constants.ts";
import { PeerError } from "./line-protocol.ts";
import type { Peer } from "./peer.ts";
import { requirement } from "./requires.ts";

const TCP_MD5SIG = 14;
const TCP_AO_ADD_KEY = 38;
const ENOPROTOOPT = 92;
const [AF_INET, AF_INET6] = [2, 10];

/** A kernel need not be built with it. */
export const md5Requirement = requirement(
  "md5",
  readFileSync("/proc/kallsyms", "utf8").includes(" tcp_md5_do_add\n"),
  "a kernel with TCP MD5",
);

const SECRET = Buffer.from("secret");
const KEY_BYTES = 80;
const EXCLUDE_OPTIONS = 2;

/** struct sockaddr_storage, of no port. */
function storage(address: string): Buffer {
  const bytes = Buffer.alloc(128);
  if (!isIPv6(address)) {
    bytes.writeUInt16LE(AF_INET);
    bytes.set(address.split(".").map(Number), 4);
    return bytes;
  }
  bytes.writeUInt16LE(AF_INET6);
  const [head = "", tail = ""] = address.split("::");
  const words = (text: string) => text.split(":").filter(Boolean);
  for (const [i, word] of words(head).entries()) bytes.writeUInt16BE(Number.parseInt(word, 16), 8 + 2 * i);
  const last = words(tail);
  for (const [i, word] of last.entries())
    bytes.writeUInt16BE(Number.parseInt(word, 16), 24 - 2 * (last.length - i));
  return bytes;
}

const bitsOf = (address: string) => (isIPv6(address) ? 128 : 32);
const padded = (bytes: Buffer, size: number) => Buffer.concat([bytes, Buffer.alloc(size - bytes.length)]);

export interface AoKey {
  /** Bytes of the signature on a segment; 4 more are its option's head. */
  maclen?: number;
  /** The signature leaves the options out: TCP_AO_KEYF_EXCLUDE_OPT. */
  withoutOptions?: boolean;
}

/** Signs all that this socket exchanges with an address. False: this kernel has no TCP-AO. */
export async function setAoKey(peer: Peer, fd: number, address: string, key: AoKey = {}): Promise<boolean> {
  const { maclen = 12, withoutOptions = false } = key;
  const fixed = Buffer.alloc(4 + 4 + 2);
  const flags = withoutOptions ? EXCLUDE_OPTIONS : 0;
  const small = Buffer.from([bitsOf(address), 100, 100, maclen, flags, SECRET.length]);
  const name = padded(Buffer.from("hmac(sha1)"), 64);
  const value = Buffer.concat([storage(address), name, fixed, small, padded(SECRET, KEY_BYTES)]);
  try {
    await peer.setBytes(fd, IPPROTO_TCP, TCP_AO_ADD_KEY, value);
    return true;
  } catch (error) {
    if (error instanceof PeerError && error.errno === ENOPROTOOPT) return false;
    throw error;
  }
}

/** The same with TCP MD5. */
export async function setMd5Key(peer: Peer, fd: number, address: string): Promise<void> {
  const head = Buffer.alloc(1 + 1 + 2 + 4);
  head.writeUInt16LE(SECRET.length, 2);
  const value = Buffer.concat([storage(address), head, padded(SECRET, KEY_BYTES)]);
  await peer.setBytes(fd, IPPROTO_TCP, TCP_MD5SIG, value);
}
