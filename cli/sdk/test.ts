// SPDX-License-Identifier: MIT
// From a folder to its trial: who may have it run, what is built, what the private host gets.

import { lstatSync, realpathSync, type Stats, statSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
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

/** In it nobody else can put another folder in the place of one that is there. */
const isSafeAbove = (info: Stats): boolean =>
  isTrusted(info) || (info.uid === 0 && (info.mode & 0o1000) !== 0);

/** What of a folder others could change, or put something else in the place of; undefined: nothing. */
function weakSpot(dir: string): string | undefined {
  const path = realpathSync(dir);
  const script = lstatSync(join(path, "test.sh"), { throwIfNoEntry: false });
  if (!isTrusted(statSync(path))) return dir;
  if (script && (!script.isFile() || !isTrusted(script))) return join(dir, "test.sh");
  for (let above = dirname(path); ; above = dirname(above)) {
    if (!isSafeAbove(statSync(above))) return above;
    if (above === "/") return undefined;
  }
}

/**
 * Root runs the folder's test.sh: it has to be root's, or of whoever has called sudo.
 * @throws TcpxError: usage for no folder, permission for one that others may write to
 */
export function requireOwn(dir: string): void {
  const weak = weakSpot(readFolder(dir).path);
  if (weak === undefined) return;
  throw new TcpxError(Exit.PERMISSION, `${weak} can be changed by others, and root would run test.sh of it`, {
    value: weak,
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
