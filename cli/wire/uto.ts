// SPDX-License-Identifier: MIT
// The User Timeout Option on the wire, RFC 5482 section 3.2: kind 28, length 4, G bit, 15 bits.

export const UTO_KIND = 28;
const MINUTES = 0x8000;
const MOST = 0x7fff;

/** The longest timeout that the option can state: 32767 minutes, in milliseconds. */
export const UTO_MAX_MS = MOST * 60_000;

/**
 * The option's G bit and timeout for this many milliseconds (1..UTO_MAX_MS): in seconds when
 * they fit, else in minutes; rounded up, so never zero and never less than asked.
 */
export function encodeUto(ms: number): number {
  const seconds = Math.ceil(ms / 1000);
  return seconds <= MOST ? seconds : MINUTES | Math.ceil(ms / 60_000);
}

/** Milliseconds that these 16 bits state; 0 is not a valid timeout. */
export function decodeUto(bits: number): number {
  return (bits & MOST) * (bits & MINUTES ? 60_000 : 1000);
}
