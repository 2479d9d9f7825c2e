// SPDX-License-Identifier: MIT

/**
 * Do the first `bits` of two addresses agree?
 * @param from where the address begins in `bytes`
 */
export function inPrefix(bytes: Uint8Array, from: number, prefix: Uint8Array, bits: number): boolean {
  const whole = bits >> 3;
  for (let i = 0; i < whole; i++) if (bytes[from + i] !== prefix[i]) return false;
  const rest = bits & 7;
  return rest === 0 || ((bytes[from + whole]! ^ prefix[whole]!) & (0xff00 >> rest) & 0xff) === 0;
}
