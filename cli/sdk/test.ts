// SPDX-License-Identifier: MIT
// From a folder to its trial: who may have it run, what is built, what the private host gets.

import { lstatSync, type Stats, statSync } from "node:fs";
import { join, resolve } from "node:path";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import type { Io } from "../output/io.ts";
import { type BuiltExtension, type BuiltProgram, buildAny, isExtension } from "./build.ts";
import { requireFree } from "./collide.ts";
import { flagsOf } from "./flags.ts";
import { readFolder } from "./folder.ts";
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

/** Of whoever has called sudo; that one has root already. */
const sudoId = (name: "SUDO_UID" | "SUDO_GID") => Number(process.env[name] ?? -1);

function isTrusted({ uid, gid, mode }: Stats): boolean {
  const owner = uid === 0 || uid === sudoId("SUDO_UID");
  const group = (mode & 0o020) === 0 || gid === 0 || gid === sudoId("SUDO_GID");
  return owner && group && (mode & 0o002) === 0;
}

/**
 * Root runs the folder's test.sh: it has to be root's, or of whoever has called sudo.
 * @throws TcpxError: usage for no folder, permission for one that others may write to
 */
export function requireOwn(dir: string): void {
  const { path } = readFolder(dir);
  const script = join(path, "test.sh");
  const all = [
    [dir, statSync(path)],
    [join(dir, "test.sh"), lstatSync(script, { throwIfNoEntry: false })],
  ] as const;
  const bad = all.find(([, info]) => info && (info.isSymbolicLink() || !isTrusted(info)))?.[0];
  if (bad === undefined) return;
  throw new TcpxError(Exit.PERMISSION, `${bad} can be changed by others, and root would run test.sh of it`, {
    value: bad,
    hint: "look at it, then: chown and chmod go-w, or copy the folder",
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

function givenOf(dir: string, built: BuiltExtension | BuiltProgram, goOn: boolean): Given {
  const program = !isExtension(built);
  const name = program ? built.name : built.manifest.name;
  const wish: Wish = { name, shown: dir, folder: resolve(dir), program, goOn };
  const files = made(built).map((file) => [file.name, file.bytes] as const);
  return { ...Object.fromEntries(files), "wish.json": JSON.stringify(wish) };
}

/** Builds and tries the folder once; what came of it is told. @returns the exit code */
export async function testOnce(
  dir: string,
  { clang, commands, io, signal, goOn = false }: TestOptions,
): Promise<ExitCode> {
  const said = (lines: readonly string[]) => io.quote(lines);
  const built = await buildAny(dir, { clang, said });
  if (isExtension(built)) await requireFree(built.manifest, commands);
  const given = givenOf(dir, built, goOn);
  signal.throwIfAborted();
  return onPrivateHost(["internal-ext-test", ...flagsOf(io)], given, resolve(dir), signal);
}
