// SPDX-License-Identifier: MIT
// What install.sh may meet where others have been: folders of theirs, and programs that tell when they are run.

import { expect } from "bun:test";
import { chmodSync, chownSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Ended, Place } from "./installer.ts";

/** The user whose things they are. */
export const NOBODY = 65534;

/** For the beginning of a command: as that user, without groups. */
export const AS_NOBODY = ["setpriv", `--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups", "--"];

export const SHELLS = [["dash"], ["bash"], ["bash", "--posix"], ["busybox", "sh"]];

/** Makes what is there that user's. */
export function give(...paths: string[]): void {
  for (const path of paths) chownSync(path, NOBODY, NOBODY);
}

/** A folder below the place, of this mode, or that user's. */
export function folder(place: Place, name: string, mode: number | "theirs"): string {
  const path = join(place.root, name);
  mkdirSync(path, { recursive: true });
  if (mode === "theirs") give(path);
  else chmodSync(path, mode);
  return path;
}

/** Writes a program there that leaves its name in the file `ran` of the place, and then is the real one. */
export function plant(place: Place, where: string, name: string, real = Bun.which(name)): void {
  const text = `#!/bin/sh\necho ${name} >>'${join(place.root, "ran")}'\nexec ${real} "$@"\n`;
  writeFileSync(join(where, name), text, { mode: 0o755 });
}

/** Whether such a program was run. */
export const ran = (place: Place) => existsSync(join(place.root, "ran"));

/** It said one line, which matches, and nothing else went wrong. */
export function refused(ended: Ended, says: RegExp): void {
  expect(ended.errors).toEqual([expect.stringMatching(says)]);
  expect(ended.code).toBe(1);
}
