// SPDX-License-Identifier: MIT
// --to, --from and --port: text to selectors and back.

import ipaddr from "ipaddr.js";
import { type TcpxError, usageError } from "../base/errors.ts";
import { meantCidr, networkBits } from "./address-hint.ts";
import { type Direction, placeKey, type Selector } from "./rule.ts";

const ACCEPTED =
  "accepted is an IPv4 or IPv6 address or CIDR, such as 192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";

const QUAD = /^(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})\.(0|[1-9]\d{0,2})$/;

/** ::ffff:10.0.0.1 -> ::ffff:a00:1. ipaddr.js maps ::a.b.c.d to IPv4, and reads octal tails. */
function withoutDots(host: string): string | null {
  const [, head, tail] = /^(.*:)([^:]*\.[^:]*)$/.exec(host) ?? [];
  if (head === undefined || tail === undefined) return host;
  if (!ipaddr.IPv4.isValidFourPartDecimal(tail)) return null;
  const [a = 0, b = 0, c = 0, d = 0] = ipaddr.IPv4.parse(tail).octets;
  return `${head}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
}

/** ipaddr.js takes short and octal IPv4 forms too, which people read differently than it does. */
function parseHost(host: string): { family: 4 | 6; bytes: number[] } | null {
  const quad = QUAD.exec(host); // a policy has 100,000 of them
  const bytes = quad && [Number(quad[1]), Number(quad[2]), Number(quad[3]), Number(quad[4])];
  if (bytes?.every((octet) => octet < 256)) return { family: 4, bytes };
  const plain = host.includes(":") && !host.includes("%") ? withoutDots(host) : null;
  if (plain === null || !ipaddr.IPv6.isValid(plain)) return null;
  return { family: 6, bytes: ipaddr.IPv6.parse(plain).toByteArray() };
}

function notAnAddress(text: string, flag: string): TcpxError {
  const [host = ""] = text.split("/");
  if (/^[\w:.]+%/.test(host)) {
    return usageError(
      `${flag} '${text}' has a zone id`,
      text,
      "leave it out: rules do not look at interfaces",
    );
  }
  const near = meantCidr(text);
  const hint = near === undefined ? ACCEPTED : `did you mean ${near}? ${ACCEPTED}`;
  const name = /^[a-z0-9-]+(\.[a-z0-9-]+)*\.?$/i.test(host) && /[a-z][a-z0-9-]*\.?$/i.test(host);
  return usageError(
    `${flag} '${text}' is ${name ? "a host name, not an address" : "not an address or CIDR"}`,
    text,
    hint,
  );
}

/** The address with every bit behind the first `bits` cleared. */
function mask(address: Uint8Array, bits: number): Uint8Array {
  return address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))));
}

/** 128-bit form: IPv4 as ::ffff:a.b.c.d. */
function mapped(bytes: number[]): Uint8Array {
  const address = new Uint8Array(16);
  address.set(bytes, 16 - bytes.length);
  if (bytes.length === 4) address.fill(0xff, 10, 12);
  return address;
}

/**
 * Parses one CIDR or address.
 * @throws TcpxError (usage) for host names, bad prefixes and set host bits
 */
export function parseCidr(text: string, flag: string): Pick<Selector, "family" | "address" | "prefix"> {
  const slash = text.indexOf("/");
  const [host, length] = slash < 0 ? [text] : [text.slice(0, slash), text.slice(slash + 1)];
  const parsed = length?.includes("/") ? null : parseHost(host);
  if (!parsed) throw notAnAddress(text, flag);
  const { family } = parsed;
  const most = family === 4 ? 32 : 128;
  const prefix = length === undefined ? most : /^\d{1,3}$/.test(length) ? Number(length) : -1;
  if (prefix < 0 || prefix > most) {
    const near = family === 4 ? meantCidr(text) : undefined;
    const hint = `${near === undefined ? "" : `did you mean ${near}? `}accepted is /0 to /${most}`;
    throw usageError(`${flag} '${text}' has no valid prefix length`, text, hint);
  }
  const address = mapped(parsed.bytes);
  const bits = family === 4 ? prefix + 96 : prefix;
  const network = bits === 128 ? address : mask(address, bits);
  if (network !== address && address.some((byte, i) => byte !== network[i])) {
    const meant = `${formatAddress({ family, address: network })}/${prefix}`;
    throw usageError(`${flag} '${text}' has bits set behind the prefix`, text, `did you mean ${meant}?`);
  }
  // the mapped form names the IPv4 connections that such sockets speak
  if (family === 6 && prefix >= 96 && ipaddr.fromByteArray([...address]).range() === "ipv4Mapped") {
    return { family: 4, address, prefix: prefix - 96 };
  }
  return { family, address, prefix };
}

/** @throws TcpxError (usage) unless 1..65535 */
export function parsePort(text: string): number {
  const port = /^\d{1,6}$/.test(text) ? Number(text) : 0;
  if (port < 1 || port > 65535) {
    const range = /^\d+\s*(?:[-:]|\.\.)\s*\d+$/.test(text) ? ", several by commas; there are no ranges" : "";
    throw usageError(`--port '${text}' is not a port number`, text, `accepted is 1 to 65535${range}`);
  }
  return port;
}

/** The parts of a comma-separated list; an empty member is an error. */
function members(text: string, flag: string): string[] {
  const list = text.includes(",") ? text.split(",").map((member) => member.trim()) : [text.trim()];
  if (list.includes("")) {
    throw usageError(`${flag} '${text}' has an empty member`, text, "separate members by single commas");
  }
  return list;
}

export interface SelectorArgs {
  to?: string | undefined;
  from?: string | undefined;
  port?: string | undefined;
}

/** Every combination of the lists in --to, --from and --port. Neither address: both directions. */
export function parseSelectors(args: SelectorArgs): Selector[] {
  const ports = args.port === undefined ? [0] : members(args.port, "--port").map(parsePort);
  const all: Selector[] = [];
  const add = (direction: Direction, cidr: ReturnType<typeof parseCidr>) => {
    const { family, address, prefix } = cidr;
    for (const port of ports) all.push({ direction, family, address, prefix, port });
  };
  for (const direction of ["to", "from"] as const) {
    const text = args[direction];
    if (text === undefined) continue;
    const flag = `--${direction}`;
    for (const member of members(text, flag)) add(direction, parseCidr(member, flag));
  }
  if (all.length === 0) add("both", { family: 0, address: new Uint8Array(16), prefix: 0 });
  if (all.length === 1) return all;
  // the same place can be spelled in several ways
  return [...new Map(all.map((selector) => [placeKey({ selector, netns: null }), selector])).values()];
}

/** Dotted quad, or RFC 5952 text. */
function formatAddress({ family, address }: Pick<Selector, "family" | "address">): string {
  if (family === 4) return `${address[12]}.${address[13]}.${address[14]}.${address[15]}`;
  return new ipaddr.IPv6([...address]).toRFC5952String();
}

/** The bytes of an address of that family. */
const ownBytes = (family: 4 | 6, address: Uint8Array) => (family === 4 ? address.subarray(12) : address);

/**
 * What is to be said about addresses without a prefix length that are written as those of networks are.
 * @param args after parseSelectors() has taken them
 */
export function selectorNotices(args: SelectorArgs): string[] {
  return (["to", "from"] as const).flatMap((direction) =>
    (args[direction] ?? "").split(",").flatMap((member) => {
      const text = member.trim();
      if (text === "" || text.includes("/")) return [];
      const { family, address } = parseCidr(text, `--${direction}`);
      const bits = family === 0 ? undefined : networkBits(family, ownBytes(family, address));
      if (bits === undefined) return [];
      const length = family === 4 ? 32 : 128;
      return [
        `--${direction} ${text} is read as ${text}/${length}, a single address; a network is written with its prefix length, such as ${text}/${bits}`,
      ];
    }),
  );
}

/** 10.0.0.0/8, or the bare address of a single host, unless that looks like a network's. */
export function formatCidr(selector: Selector): string {
  const { family, address, prefix } = selector;
  const bare = prefix === (family === 4 ? 32 : 128);
  const host = bare && family !== 0 && networkBits(family, ownBytes(family, address)) === undefined;
  return host ? formatAddress(selector) : `${formatAddress(selector)}/${selector.prefix}`;
}

/**
 * Selectors for a kind of rule that is for one direction only.
 * @throws TcpxError (usage) when an address was given for the other one
 */
export function inDirection(selectors: Selector[], direction: Direction, what: string): Selector[] {
  return selectors.map((selector) => {
    if (selector.family === 0) return { ...selector, direction };
    if (selector.direction === direction) return selector;
    const flag = `--${selector.direction}`;
    const kind = direction === "to" ? "opens: use --to" : "accepts: use --from";
    throw usageError(
      `${flag} is not for ${what}`,
      formatCidr(selector),
      `it is about connections that this side ${kind}`,
    );
  });
}

/** As it would be typed: `--to 10.0.0.0/8 --port 443`; "all connections" when nothing is selected. */
export function formatSelector(selector: Selector): string {
  const parts: string[] = [];
  if (selector.family !== 0) parts.push(`--${selector.direction}`, formatCidr(selector));
  if (selector.port) parts.push("--port", String(selector.port));
  return parts.length > 0 ? parts.join(" ") : "all connections";
}
