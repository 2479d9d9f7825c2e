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
