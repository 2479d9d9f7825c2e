// SPDX-License-Identifier: MIT
// SHA256SUMS, in the format of sha256sum(1).

import { createHash } from "node:crypto";

export function sha256(data: Uint8Array | string): string {
  return createHash("sha256").update(data).digest("hex");
}

/** One line per name, sorted by its bytes, so that the same files give the same text everywhere. */
export function sumsText(sums: ReadonlyMap<string, string>): string {
  const names = [...sums.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)));
  return names.map((name) => `${sums.get(name)}  ${name}\n`).join("");
}
