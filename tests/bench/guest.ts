// SPDX-License-Identifier: MIT
// Guests for benches: the executable under test in QEMU, under virtual time.

import { join } from "node:path";
import { boot, type Guest } from "../../scripts/vm/boot.ts";
import { missingTool, vmFolder } from "../../scripts/vm/host.ts";
import { buildInitrd } from "../../scripts/vm/initrd.ts";
import { kernels } from "../../scripts/vm/kernels.ts";
import { tcpxPath } from "../support/tcpx.ts";

const SERIES = "6.12";

/**
 * Lets `use` boot guests, and returns what it returns. A guest's console is what it has printed.
 * @param programs of this host that they have, too
 * @param more puts what else they need below their root
 */
export async function withGuests<T>(
  use: (start: (guest: Guest) => Promise<string>) => Promise<T>,
  programs: readonly string[] = [],
  more?: (root: string) => Promise<void>,
): Promise<T> {
  const absent = programs.find((name) => Bun.which(name) === null);
  const missing = missingTool() ?? (absent && `the program ${absent}`);
  if (missing !== undefined) throw new Error(`it needs ${missing}`);
  const kernel = (await kernels()).find(({ series }) => series === SERIES)!;
  if ("reason" in kernel) throw new Error(`it needs ${kernel.reason}`);
  const { path, cleanUp } = vmFolder();
  try {
    const initrd = join(path, "initrd");
    await buildInitrd(tcpxPath(), initrd, [], programs, more);
    return await use(async (guest) => {
      const { problem, console } = await boot(kernel, initrd, guest);
      if (!problem) return console;
      throw new Error(`${guest.plan ?? guest.script}, seed ${guest.seed}: ${problem}\n${console}`);
    });
  } finally {
    cleanUp();
  }
}
