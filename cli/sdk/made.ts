// SPDX-License-Identifier: MIT
// The files that a build makes, in memory and in the folder.

import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { packExtension } from "../packages/package.ts";
import { replaceFile } from "../system/files.ts";
import { type BuiltExtension, type BuiltProgram, isExtension } from "./build.ts";
import type { Folder } from "./folder.ts";

export interface MadeFile {
  name: string;
  bytes: Uint8Array;
  sha256: string;
}

const file = (name: string, bytes: Uint8Array): MadeFile => ({
  name,
  bytes,
  sha256: sha256(bytes),
});

/** The object; and the package of an extension. */
export function made(built: BuiltExtension | BuiltProgram): MadeFile[] {
  const { object } = built;
  if (!isExtension(built)) return [file(`${built.name}.bpf.o`, object)];
  const { manifest, manifestText, readme } = built;
  const parts = {
    manifest: manifestText,
    name: manifest.name,
    object,
    ...(readme !== undefined && { readme }),
  };
  return [file(`${manifest.name}.bpf.o`, object), file(`${manifest.name}.tcpx`, packExtension(parts))];
}

/** @throws TcpxError when the folder cannot be written to */
export function writeMade({ shown, path }: Folder, files: readonly MadeFile[]): void {
  for (const { name, bytes } of files) {
    try {
      replaceFile(join(path, name), bytes, 0o644);
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code ?? `${error}`;
      const exit = code === "EACCES" || code === "EPERM" ? Exit.PERMISSION : Exit.FAILED;
      const hint = "build in a folder that you may write to";
      throw new TcpxError(exit, `cannot write ${join(shown, name)} (${code})`, {
        value: shown,
        hint,
        cause: error,
      });
    }
  }
}
