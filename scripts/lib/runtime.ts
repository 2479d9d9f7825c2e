// SPDX-License-Identifier: MIT
// Bun's executable without what its environment could do to tcpx: what the executable is made of.

import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { cached } from "./cache.ts";
import { takeNames } from "./runtime-patch.ts";

const RECIPE = [
  ...["runtime.ts", "runtime-names.ts", "runtime-patch.ts"].map((name) => join(import.meta.dir, name)),
  join(import.meta.dir, "../../cli/system/runtime-env.ts"),
];

/**
 * The path of a changed copy of this Bun.
 * @throws Error when this Bun has one of the names in other places than the ones that are known
 */
export async function runtimeWithoutNames(bun: string): Promise<string> {
  const inputs = [...RECIPE, bun].map((path) => `file:${path}`);
  const folder = await cached("runtime", inputs, async (out) => {
    const data = await readFile(bun);
    try {
      takeNames(data);
    } catch (error) {
      const hint = "see what this Bun does with these, then scripts/lib/runtime-names.ts";
      throw new Error(`${bun} is not the Bun that is known: ${(error as Error).message}; ${hint}`);
    }
    await writeFile(join(out, "bun"), data, { mode: 0o755 });
  });
  return join(folder, "bun");
}
