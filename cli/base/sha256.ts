// SPDX-License-Identifier: MIT

/** As sha256sum(1) writes it: 64 small digits. */
export const sha256 = (bytes: Uint8Array): string =>
  new Bun.CryptoHasher("sha256").update(bytes).digest("hex");
