// SPDX-License-Identifier: MIT

import { mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** A folder that only we can look into. Root's is where nobody else can put another one: TMPDIR may be the caller's. */
export const workFolder = (prefix: string): string =>
  mkdtempSync(join(process.geteuid?.() === 0 ? "/tmp" : tmpdir(), prefix));
