// SPDX-License-Identifier: MIT
// Files that are damaged anywhere, the same ones each time.

/** Cut off, or with bytes changed; now and then a word, for lengths and offsets. */
export function* damagedCopies(originals: readonly Uint8Array[], count: number): Generator<Uint8Array> {
  let state = 1;
  const random = (n: number) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
    return (state >>> 8) % n;
  };
  for (let n = 0; n < count; n++) {
    const bytes = Buffer.from(originals[n % originals.length]!);
    if (n % 10 === 0) {
      yield bytes.subarray(0, random(bytes.length));
      continue;
    }
    // heads of the file and of its sections more often than what is in them
    const at = () =>
      n % 3 === 0 ? random(64) : n % 3 === 1 ? bytes.length - 1 - random(1600) : random(bytes.length);
    for (let i = 0; i <= n % 4; i++) bytes[at()] = [0, 255, 127, 128, random(256)][random(5)]!;
    if (n % 7 === 0)
      bytes.writeUInt32LE([0xffffffff, 0x7fffffff, 0x1000000][random(3)]!, random(bytes.length - 4));
    yield bytes;
  }
}

/** Where fields of a section's header are, and how many bytes they have. */
const FIELDS = {
  name: [0, 4],
  type: [4, 4],
  flags: [8, 8],
  at: [24, 8],
  size: [32, 8],
  link: [40, 4],
} as const;
const MORE = { info: [44, 4], align: [48, 8], entry: [56, 8] } as const;
export const HEADER_FIELDS = { ...FIELDS, ...MORE };

/** An object with a field of a section's header set to something else. */
export function withHeader(
  object: Uint8Array,
  section: number,
  field: keyof typeof HEADER_FIELDS,
  value: number,
): Uint8Array {
  const bytes = Buffer.from(object);
  const [offset, size] = HEADER_FIELDS[field];
  const at = Number(bytes.readBigUInt64LE(40)) + section * 64 + offset;
  if (size === 4) bytes.writeUInt32LE(value, at);
  else bytes.writeBigUInt64LE(BigInt(value), at);
  return bytes;
}

/** Each field of each section's header, with what a reader may fall over. */
export function* damagedHeaders(object: Uint8Array): Generator<Uint8Array> {
  const count = Buffer.from(object).readUInt16LE(60);
  const fields = Object.keys(HEADER_FIELDS) as (keyof typeof HEADER_FIELDS)[];
  for (let section = 1; section < count; section++)
    for (const field of fields)
      for (const value of [0, 1, 2, 3, 4, 7, 8, 9, 0x800, object.length, 0x7fffffff, 0xffffffff])
        yield withHeader(object, section, field, value);
}
