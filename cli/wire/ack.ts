// SPDX-License-Identifier: MIT
// Acknowledgment strategies on the wire: the 16 bits behind the experiment identifiers of our own
// request and answer (delay8, segments8), and TARR (draft-ietf-tcpm-ack-rate-request).

import { bitsHex } from "./site.ts";

/** draft-ietf-tcpm-ack-rate-request */
export const TARR_EXID = 0x00ac;

/** What is asked for, or granted; 0 in a field: unspecified, or refused. */
export interface AckPair {
  /** Segments per ACK, 0..255; 1: each one at once. */
  every: number;
  /** The longest delay is the RTT by this, 0..255. */
  divisor: number;
}

/** The most segments per ACK that TARR's 7 bits can say. */
export const TARR_MOST = 127;

/** The 16 bits of a request or answer. */
export function encodeAck({ every, divisor }: AckPair): number {
  return (divisor << 8) | every;
}

export function decodeAck(bits: number): AckPair {
  return { every: bits & 255, divisor: bits >> 8 };
}

/** The option with which an end says that it understands TARR. */
export const tarrCapability = (exid: number = TARR_EXID) => `fe04${bitsHex(exid)}`;

/** R for so many segments per ACK (1..TARR_MOST): at once is 0. */
export function encodeTarr(every: number): number {
  return every === 1 ? 0 : every;
}

/** Segments per ACK that R (0..127) asks for; both 0 and 1 are each one at once. */
export function decodeTarr(r: number): number {
  return r === 0 ? 1 : r;
}

/** TARR's five bytes as hex: kind, length, identifier, then R (7 bits) and a reserved bit. */
export function tarrHex(every: number, exid: number = TARR_EXID): string {
  return `fe05${bitsHex(exid)}${(encodeTarr(every) << 1).toString(16).padStart(2, "0")}`;
}

/** "an ACK every 8 segments, after rtt/4 at the latest"; undefined when nothing is specified. */
function pairWords({ every, divisor }: AckPair): string | undefined {
  const delay = `rtt/${divisor} at the latest`;
  if (every === 0) return divisor === 0 ? undefined : `ACKs after ${delay}`;
  const rate = every === 1 ? "an ACK for every segment" : `an ACK every ${every} segments`;
  return divisor === 0 ? rate : `${rate}, after ${delay}`;
}

/** Our request in words. */
export function askWords(bits: number): string {
  return `asks for ${pairWords(decodeAck(bits)) ?? "no ACK strategy"}`;
}

/** Our answer in words. */
export function answerWords(bits: number): string {
  const words = pairWords(decodeAck(bits));
  return words ? `grants ${words}` : "ACK strategy refused";
}

/** TARR in words, by what follows its identifier; undefined for lengths that it does not have. */
export function tarrWords(payload: Uint8Array): string | undefined {
  if (payload.length === 0) return "understands ACK rate requests (TARR)";
  if (payload.length !== 1) return undefined;
  return `asks for ${pairWords({ every: decodeTarr(payload[0]! >> 1), divisor: 0 })} (TARR)`;
}
