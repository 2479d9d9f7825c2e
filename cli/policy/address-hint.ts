// SPDX-License-Identifier: MIT
// What somebody may have meant by an address that is written as people write them. Pure.

import ipaddr from "ipaddr.js";

/** What is longer is no address with a slip in it. */
const LONGEST = 64;

const quad = (octets: readonly number[]) => octets.join(".");

/** A network by its first octets: the bits behind the prefix are cleared. */
function network(parts: readonly number[], bits: number): string | undefined {
  if (parts.length > 4 || bits > 32 || parts.some((part) => part > 255)) return undefined;
  const octets = [0, 1, 2, 3].map((i) => {
    const kept = Math.min(8, Math.max(0, bits - i * 8));
    return (parts[i] ?? 0) & (0xff00 >> kept) & 0xff;
  });
  return bits === 32 ? quad(octets) : `${quad(octets)}/${bits}`;
}

/** Prefix length of 255.255.0.0, or of the wildcard 0.0.255.255. */
function maskBits(text: string): number | undefined {
  if (!ipaddr.IPv4.isValidFourPartDecimal(text)) return undefined;
  const bits = ipaddr.IPv4.parse(text).prefixLengthFromSubnetMask();
  if (bits !== null) return bits;
  const turned = ipaddr.IPv4.parse(text).octets.map((octet) => 255 - octet);
  return new ipaddr.IPv4(turned).prefixLengthFromSubnetMask() ?? undefined;
}

/** 10/8, 10.1, 010.0.0.1, 10.0.0.*, 10.0.0.0/255.0.0.0 */
function meantIpv4(text: string): string | undefined {
  const [, host = "", length] = /^([\d.*]+?)\.?(?:\/([\d.]*))?$/.exec(text) ?? [];
  const [, numbers = "", stars = ""] = /^(\d{1,3}(?:\.\d{1,3})*)((?:\.\*)*)$/.exec(host) ?? [];
  if (numbers === "") return undefined;
  const parts = numbers.split(".").map(Number);
  if (length === "") return undefined;
  if (length === undefined || stars !== "") return network(parts, Math.min(parts.length, 4) * 8);
  const bits = length.includes(".") ? maskBits(length) : Number(length);
  return bits === undefined ? undefined : network(parts, bits);
}

/** fd00/8, 2001:db8/32 */
function meantIpv6(text: string): string | undefined {
  const [, host = "", length] = /^([0-9a-f]{1,4}(?::[0-9a-f]{1,4})*):?(?:\/(\d{1,3}))?$/i.exec(text) ?? [];
  if (!/[a-f:]/i.test(host) || (length === undefined && !host.includes(":"))) return undefined;
  const whole = `${host}::`;
  if (!ipaddr.IPv6.isValid(whole) || Number(length ?? 0) > 128) return undefined;
  return length === undefined ? undefined : `${whole}/${Number(length)}`;
}

/** [::1]:80, 10.0.0.1:80 */
function meantWithPort(text: string): string | undefined {
  const [, six, four, port] = /^(?:\[([^\]]+)\]|([\d.]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const isAddress = six ? ipaddr.IPv6.isValid(six) : ipaddr.IPv4.isValidFourPartDecimal(four ?? "");
  if (!isAddress || (four && port === undefined)) return undefined;
  return `${six ?? four}${port === undefined ? "" : ` with --port ${port}`}`;
}

/** "10.0.0.0/8" for "10/8"; undefined when nothing suggests itself. */
export function meantCidr(text: string): string | undefined {
  const plain = text.replace(/\s+/g, "");
  if (plain.length > LONGEST) return undefined;
  if (/^(?:any|all|\*)$/i.test(plain)) return "0.0.0.0/0,::/0";
  return meantWithPort(plain) ?? meantIpv4(plain) ?? meantIpv6(plain);
}

/** Trailing bytes that are zero. */
function zeros(bytes: ArrayLike<number>): number {
  let count = 0;
  while (count < bytes.length && bytes[bytes.length - 1 - count] === 0) count++;
  return count;
}

/** So many zero bytes at the end are those of a network's address: the last octet, or the interface identifier. */
const OF_NETWORK = { 4: 1, 6: 8 } as const;

/**
 * The prefix length that suggests itself for an address that ends as those of networks do; undefined for
 * others.
 * @param bytes 4 or 16 of them
 */
export function networkBits(family: 4 | 6, bytes: ArrayLike<number>): number | undefined {
  const count = zeros(bytes);
  return count < OF_NETWORK[family] ? undefined : (bytes.length - count) * 8;
}
