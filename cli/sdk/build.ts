// SPDX-License-Identifier: MIT
// From an extension's folder to what the kernel takes: compiled, and linked once, so that what is no extension is
// refused here. Nothing is written to the folder.

import { Exit, TcpxError } from "../base/errors.ts";
import { bridge } from "../bridge/bridge.ts";
import { FIRST_SLOT } from "../extensions/slots.ts";
import { extensionFrom } from "../manifest/extension.ts";
import { readManifest } from "../manifest/read.ts";
import type { Manifest } from "../manifest/types.ts";
import { checkObject } from "../packages/candidate.ts";
import { hooksOf } from "../packages/trial.ts";
import { type Compiled, CompileError, compile, findClang } from "./clang.ts";
import { type Folder, programName, readFolder, sourceOf } from "./folder.ts";
import { linesOf, rulesFor } from "./rules.ts";

export interface BuildOptions {
  /** As --clang names it. */
  clang?: string | undefined;
  /** Gets what clang says, also when it fails. */
  said?: (lines: readonly string[]) => void;
}

/** An extension. */
export interface BuiltExtension {
  manifest: Manifest;
  manifestText: string;
  object: Uint8Array;
  readme?: string;
}

/** A whole program: sock_ops, or a congestion control. */
export interface BuiltProgram {
  name: string;
  object: Uint8Array;
}

export const isExtension = (built: BuiltExtension | BuiltProgram): built is BuiltExtension =>
  "manifest" in built;

async function compiled(folder: Folder, source: string, { clang, said }: BuildOptions): Promise<Compiled> {
  try {
    const done = await compile(findClang(clang), folder, source);
    said?.(done.said);
    return done;
  } catch (error) {
    if (error instanceof CompileError) said?.(error.said);
    throw error;
  }
}

/** The rules of `ext test` have to be rules. @throws TcpxError (usage) */
function requireLines(manifest: Manifest): void {
  const extension = extensionFrom(manifest, FIRST_SLOT);
  for (const line of Object.values(linesOf(manifest))) rulesFor(extension, line);
}

/** Refuses what no scope could have. */
async function tryLink(source: string, name: string, object: Uint8Array): Promise<void> {
  checkObject(undefined, { name, object });
  if ((await hooksOf(await bridge(), name, object)).length > 0) return;
  const hint = "write one, as TCPX_HOOK(established) { return 0; }";
  throw new TcpxError(Exit.FAILED, `${source} has no hook`, { value: name, hint });
}

async function buildExtension(
  folder: Folder & { manifestText: string },
  options: BuildOptions,
): Promise<BuiltExtension> {
  const { manifestText, readme } = folder;
  const manifest = readManifest(manifestText, `${folder.shown}/extension.toml`);
  requireLines(manifest);
  const source = sourceOf(folder, manifest.name);
  const { object } = await compiled(folder, source, options);
  await tryLink(source, manifest.name, object);
  return { manifest, manifestText, object, ...(readme !== undefined && { readme }) };
}

/**
 * Builds the extension of a folder.
 * @throws TcpxError: usage for the folder or its manifest, unsupported without clang, failed for the program
 */
export function buildFolder(dir: string, options: BuildOptions = {}): Promise<BuiltExtension> {
  const folder = readFolder(dir);
  const { manifestText } = folder;
  if (manifestText !== undefined) return buildExtension({ ...folder, manifestText }, options);
  const name = programName(folder);
  const hint = `\`tcpx ext build\` it, and \`tcpx ext load ${name}.bpf.o\``;
  throw new TcpxError(Exit.USAGE, `${dir} has a whole program, not an extension`, { value: dir, hint });
}

/** The same, or the whole program that a folder without a manifest has. */
export async function buildAny(
  folder: Folder,
  options: BuildOptions = {},
): Promise<BuiltExtension | BuiltProgram> {
  const { manifestText } = folder;
  if (manifestText !== undefined) return buildExtension({ ...folder, manifestText }, options);
  const name = programName(folder);
  const { object } = await compiled(folder, sourceOf(folder, name), options);
  return { name, object };
}
