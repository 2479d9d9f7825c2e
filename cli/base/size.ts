// SPDX-License-Identifier: MIT
// Rates and sizes on the command line: 10M (bits per second, in powers of 1000), 64k (bytes, in powers of 1024).

/** Rates are kept as bytes per second, since that is what the kernel's settings are. */
const BITS = 8;

const POWERS = ["", "k", "M", "G"];
const STEP = { rate: 1000, bytes: 1024 };
/** As far as these are exact. */
const DIGITS = 12;

export type SizeKind = keyof typeof STEP;

/** "64k", "10M": the largest power that is exact. */
function formatPowers(n: number, step: number): string {
  let power = 0;
  let left = n;
  while (left > 0 && left % step === 0 && power + 1 < POWERS.length) {
    left /= step;
    power++;
  }
  return `${left}${POWERS[power]}`;
}

/** @param size bytes, or bytes per second */
export const formatSize = (size: number, kind: SizeKind): string =>
  formatPowers(kind === "rate" ? size * BITS : size, STEP[kind]);

/** Bytes of "64k", bytes per second of "10M"; undefined: it is neither, or no whole number of bytes per second. */
export function sizeOf(text: string, kind: SizeKind): number | undefined {
  const [, digits, letter = ""] = new RegExp(`^(\\d{1,${DIGITS}})([kKMG]?)$`).exec(text) ?? [];
  if (digits === undefined) return undefined;
  const n = Number(digits) * STEP[kind] ** POWERS.indexOf(letter === "K" ? "k" : letter);
  if (kind === "bytes") return n;
  return n % BITS === 0 ? n / BITS : undefined;
}

/** "10M" for "10mbit", "10 Mbit/s", "0.01G"; undefined when nothing suggests itself. */
export function meantSize(text: string, kind: SizeKind): string | undefined {
  const plain = text.replaceAll(/[\s_]/g, "").toLowerCase();
  const unit = kind === "rate" ? "(?:bit(?:s|/s|ps)?|bps|b/s)?" : "(?:i?b|bytes?)?";
  const [, whole, part = "", letter = ""] =
    new RegExp(`^(\\d{1,9})(?:\\.(\\d{1,3}))?([kmg]?)${unit}$`).exec(plain) ?? [];
  if (whole === undefined) return undefined;
  const step = STEP[kind];
  const n = Number(`${whole}.${part || 0}`) * step ** ["", "k", "m", "g"].indexOf(letter);
  const found = formatPowers(Math.round(n), step);
  return Math.abs(Math.round(n) - n) < 1e-6 && sizeOf(found, kind) !== undefined ? found : undefined;
}
