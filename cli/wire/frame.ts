// SPDX-License-Identifier: MIT
// TCP options out of an Ethernet frame, for people to look at.

export interface TcpFrame {
  family: "v4" | "v6";
  sourcePort: number;
  destinationPort: number;
  isSyn: boolean;
  isAck: boolean;
  options: Uint8Array[];
}

/** Every option with its kind and length bytes (RFC 9293 3.1); an illegal length ends the list. */
export function splitOptions(bytes: Uint8Array): Uint8Array[] {
  const options: Uint8Array[] = [];
  for (let at = 0; at < bytes.length; ) {
    const kind = bytes[at]!;
    const length = kind < 2 ? 1 : (bytes[at + 1] ?? 0);
    if (kind === 0 || length < (kind < 2 ? 1 : 2) || at + length > bytes.length) break;
    options.push(bytes.subarray(at, at + length));
    at += length;
  }
  return options;
}

/** Where TCP begins in a packet; undefined: somewhere else, or there is none. */
function tcpAt(ip: Uint8Array): number | undefined {
  const version = ip[0]! >> 4;
  if (version === 6) return ip[6] === 6 ? 40 : undefined; // behind extension headers nobody looks
  const length = (ip[0]! & 15) * 4;
  return version === 4 && length >= 20 && ip[9] === 6 ? length : undefined;
}

/** A TCP segment in an Ethernet frame; undefined for anything else. */
export function parseFrame(frame: Uint8Array): TcpFrame | undefined {
  const ip = frame.subarray(14);
  const at = ip.length < 20 ? undefined : tcpAt(ip);
  if (at === undefined || ip.length < at + 20) return undefined;
  const view = new DataView(ip.buffer, ip.byteOffset, ip.length);
  const end = at + (ip[at + 12]! >> 4) * 4;
  const flags = ip[at + 13]!;
  return {
    family: ip[0]! >> 4 === 6 ? "v6" : "v4",
    sourcePort: view.getUint16(at),
    destinationPort: view.getUint16(at + 2),
    isSyn: (flags & 2) !== 0,
    isAck: (flags & 16) !== 0,
    options: splitOptions(ip.subarray(at + 20, end)),
  };
}

const NAMES: Record<number, string> = { 1: "nop", 2: "mss", 3: "wscale", 4: "sackOK", 8: "timestamps" };
/** Lengths that these kinds have to have. */
const LENGTHS: Record<number, number> = { 1: 1, 2: 4, 3: 3, 4: 2, 8: 10 };

/** "mss 1460"; options that Linux does not send by itself are numbers. */
export function describePlain(option: Uint8Array): string {
  const kind = option[0]!;
  if (LENGTHS[kind] !== option.length) return `kind ${kind} (${option.toHex()})`;
  const number = (option[2]! << 8) | option[3]!;
  const name = NAMES[kind]!;
  return kind === 2 ? `${name} ${number}` : kind === 3 ? `${name} ${option[2]}` : name;
}
