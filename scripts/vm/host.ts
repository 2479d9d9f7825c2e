// SPDX-License-Identifier: MIT
// What a test of the VM ring needs of its host: the tools, a temporary folder, and an end without traces.

import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { killBoots, TOOLS } from "./boot.ts";

/** Why no guest can be booted here. */
export function missingTool(): string | undefined {
  if (process.arch !== "x64") return `an x86-64 host (this is ${process.arch})`;
  const missing = Object.entries(TOOLS).find(([program]) => Bun.which(program) === null);
  return missing && `the program ${missing[0]} (package ${missing[1]})`;
}

/** A folder for initrds. It and all guests are gone after cleanUp, an exit, or a signal. */
export function vmFolder(): { path: string; cleanUp: () => void } {
  const path = mkdtempSync(join(tmpdir(), "tcpx-vm-"));
  const cleanUp = () => {
    killBoots();
    rmSync(path, { recursive: true, force: true });
  };
  process.on("exit", cleanUp);
  for (const [signal, code] of [["SIGINT", 130] as const, ["SIGTERM", 143] as const]) {
    process.on(signal, () => process.exit(code));
  }
  return { path, cleanUp };
}
