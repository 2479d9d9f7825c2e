// SPDX-License-Identifier: MIT
// A new extension's folder: there whole, or not at all.

import { chmodSync, lstatSync, mkdtempSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import type { NewFile } from "./templates.ts";

const HINT = "choose another name, or another place with --dir";

function cannotWrite(dir: string, error: unknown): TcpxError {
  const code = (error as NodeJS.ErrnoException).code ?? `${error}`;
  const exit = code === "EACCES" || code === "EPERM" ? Exit.PERMISSION : Exit.FAILED;
  return new TcpxError(exit, `cannot write to ${dir} (${code})`, { value: dir, hint: HINT, cause: error });
}

/**
 * Writes the folder `name` in `parent`; its path.
 * @throws TcpxError when something is there already, or it cannot be written
 */
export function writeNew(parent: string, name: string, files: readonly NewFile[]): string {
  const to = join(parent, name);
  if (!statSync(parent, { throwIfNoEntry: false })?.isDirectory())
    throw usageError(
      `there is no folder ${parent}`,
      parent,
      "--dir names the folder that the new one will be in",
    );
  if (lstatSync(to, { throwIfNoEntry: false })) throw usageError(`${to} is there already`, to, HINT);
  let draft: string | undefined;
  try {
    draft = mkdtempSync(join(parent, `.${name}-`));
    for (const { name: file, text, mode } of files) writeFileSync(join(draft, file), text, { mode });
    chmodSync(draft, 0o777 & ~process.umask());
    renameSync(draft, to);
    return to;
  } catch (error) {
    if (draft !== undefined) rmSync(draft, { recursive: true, force: true });
    throw cannotWrite(parent, error);
  }
}
