// SPDX-License-Identifier: MIT
// From a folder to its trial: what is built, and what the private host gets.

import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import type { Io } from "../output/io.ts";
import { type BuiltExtension, type BuiltProgram, buildAny, isExtension } from "./build.ts";
import { requireFree } from "./collide.ts";
import { flagsOf } from "./flags.ts";
import { type Folder, readFolder } from "./folder.ts";
import { made } from "./made.ts";
import type { Wish } from "./perform.ts";
import { type Given, onPrivateHost } from "./private-host.ts";

/** @throws TcpxError (permission) */
export function requireRoot(): void {
  if (process.geteuid?.() === 0) return;
  throw new TcpxError(Exit.PERMISSION, "not permitted: programs are loaded, and namespaces made", {
    hint: "run it as root, for example with sudo; `tcpx ext build` needs no root",
  });
}

export interface TestOptions {
  clang?: string | undefined;
  /** Of tcpx. */
  commands: readonly string[];
  io: Io;
  signal: AbortSignal;
  /** The trial is followed by connections and their events, until the signal. */
  goOn?: boolean;
}

function givenOf({ path }: Folder, built: BuiltExtension | BuiltProgram, goOn: boolean): Given {
  const program = !isExtension(built);
  const name = program ? built.name : built.manifest.name;
  const wish: Wish = { name, folder: path, program, goOn };
  const files = made(built).map((file) => [file.name, file.bytes] as const);
  return { ...Object.fromEntries(files), "wish.json": JSON.stringify(wish) };
}

/** Builds and tries the folder once; what came of it is told. @returns the exit code */
export async function testOnce(
  dir: string,
  { clang, commands, io, signal, goOn = false }: TestOptions,
): Promise<ExitCode> {
  const said = (lines: readonly string[]) => io.quote(lines);
  const folder = readFolder(dir);
  const built = await buildAny(folder, { clang, said });
  if (isExtension(built)) await requireFree(built.manifest, commands);
  const given = givenOf(folder, built, goOn);
  signal.throwIfAborted();
  return onPrivateHost(["internal-ext-test", ...flagsOf(io)], given, folder.path, signal);
}
