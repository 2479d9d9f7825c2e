// SPDX-License-Identifier: MIT
// Addresses as text, without an object per address.

/** A dotted quad from the last 4 of 16 bytes. */
function quad(bytes: Uint8Array, at: number): string {
  return `${bytes[at + 12]}.${bytes[at + 13]}.${bytes[at + 14]}.${bytes[at + 15]}`;
}

/** RFC 5952 from 16 bytes: the first longest run of two or more zero groups is "::". */
function groups(bytes: Uint8Array, at: number): string {
  const group = (i: number) => (bytes[at + 2 * i]! << 8) | bytes[at + 2 * i + 1]!;
  let [from, length] = [0, 1];
  for (let i = 0; i < 8; i++) {
    let n = 0;
    while (i + n < 8 && group(i + n) === 0) n++;
    if (n > length) [from, length] = [i, n];
    i += n;
  }
  if (length < 2) [from, length] = [8, 0];
  let text = "";
  for (let i = 0; i < 8; i++) {
    if (i === from) {
      text += i === 0 ? "::" : ":";
      i += length - 1;
    } else {
      text += group(i).toString(16) + (i < 7 ? ":" : "");
    }
  }
  return text;
}

/** @param at where the 16 bytes begin, IPv4 as ::ffff:a.b.c.d */
export function addressText(bytes: Uint8Array, at: number, family: number): string {
  return family === 4 ? quad(bytes, at) : groups(bytes, at);
}

/** 10.0.0.1:80, or [2001:db8::1]:80. */
export function endpointText(bytes: Uint8Array, at: number, family: number, port: number): string {
  return family === 4 ? `${quad(bytes, at)}:${port}` : `[${groups(bytes, at)}]:${port}`;
}
