// SPDX-License-Identifier: MIT
// A program that somebody wants to be loaded, and what that means for those that are.

import { basename } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { availableAlgorithms } from "../system/algorithms.ts";
import type { Scope } from "../system/host.ts";
import { readOwnedFile } from "../system/owned-file.ts";
import { ALGORITHMS } from "../wire/site.ts";
import { OBJECT_MOST, type ProgramObject, readProgram } from "./object.ts";
import { CONGESTION, PROGRAM_NAME } from "./place.ts";
import { type Prepared, prepare } from "./prepared.ts";
import type { LoadedProgram } from "./state.ts";
import { type Settings, settingsText, settled } from "./variables.ts";

/** As a command line or a policy file has it. */
export interface ProgramWish {
  /** An absolute path. */
  file: string;
  name?: string | undefined;
  sha256?: string | undefined;
  set: Settings;
}

export interface WantedProgram {
  name: string;
  object: ProgramObject;
  sha256: string;
  set: Settings;
  /** Undefined: a congestion control. */
  scope: Scope | undefined;
}

export interface PlannedProgram {
  wanted: WantedProgram;
  /** What has its name now. */
  present: LoadedProgram | undefined;
  isChange: boolean;
}

const NAME_HINT = "accepted are up to 32 letters, digits, _ and -";
const wrongName = (name: string) => usageError(`'${name}' is no name of a program`, name, NAME_HINT);

/** What a file's name says. */
const stem = (file: string) =>
  basename(file)
    .replace(/\.o$/, "")
    .replace(/\.bpf$/, "");

function nameOf({ file, name }: ProgramWish, { ops }: ProgramObject): string {
  if (ops && name !== undefined && name !== ops.algorithm) {
    const hint = "leave --name out, or change the member 'name' in its source";
    throw usageError(
      `the congestion control of ${file} is called '${ops.algorithm}', not '${name}'`,
      name,
      hint,
    );
  }
  const found = ops?.algorithm ?? name ?? stem(file);
  if (PROGRAM_NAME.test(found)) return found;
  if (name !== undefined) throw wrongName(found);
  throw usageError(`'${found}' is no name of a program`, found, `give it one with --name: ${NAME_HINT}`);
}

/**
 * Reads a file, and looks at what it is.
 * @param scope of a sock_ops program
 * @throws TcpxError in one line, whatever stands there
 */
export function readWanted(lib: Bridge, wish: ProgramWish, scope: Scope | undefined): WantedProgram {
  const { file, sha256: claimed } = wish;
  if (wish.name !== undefined && !PROGRAM_NAME.test(wish.name)) throw wrongName(wish.name);
  const bytes = readOwnedFile(file, OBJECT_MOST);
  const sum = sha256(bytes);
  if (claimed !== undefined && claimed.toLowerCase() !== sum)
    throw new TcpxError(Exit.FAILED, `${file} has another sum than it should: ${sum}`, { value: claimed });
  const object = readProgram(lib, file, bytes);
  const set = settled(object.variables, wish.set);
  return { name: nameOf(wish, object), object, sha256: sum, set, scope: object.ops ? undefined : scope };
}

/** @throws TcpxError (usage): the kernel has one of this name, or will have */
function requireFree(name: string, present: LoadedProgram | undefined): void {
  const taken = (why: string) =>
    usageError(`'${name}' is in use: ${why}`, name, "give the congestion control of the object another name");
  if (ALGORITHMS.includes(name)) throw taken("a congestion control of the kernel's own is called so");
  if (!present?.isInForce && availableAlgorithms().includes(name))
    throw taken(
      "the kernel has a congestion control of this name, and it is not one that `tcpx ext load` has loaded",
    );
}

/** What a program of the other kind is called need not be asked twice. */
function requireOneKind({ name, object }: WantedProgram, all: readonly LoadedProgram[]): void {
  const other = all.find((one) => one.name === name && one.kind !== object.kind);
  if (!other) return;
  const what =
    other.kind === CONGESTION ? "a congestion control" : `a program of cgroup ${other.cgroup ?? other.where}`;
  throw usageError(`'${name}' is in use: ${what} is called so`, name, "give another --name");
}

/** What is registered without a link can only be taken away, and another one put in its place. */
function notAtOnce(name: string): TcpxError {
  const what = `congestion control '${name}' is there already, and this kernel cannot replace it in one step`;
  const hint = `\`tcpx ext unload ${name}\` first: links that can be updated came with Linux 6.4`;
  return new TcpxError(Exit.UNSUPPORTED, what, { value: name, hint });
}

/** @throws TcpxError (usage) where the name is another one's, (unsupported) where it cannot be replaced */
export function planProgram(wanted: WantedProgram, all: readonly LoadedProgram[]): PlannedProgram {
  const { name, object, scope, sha256, set } = wanted;
  const present = all.find((one) => one.name === name && one.where === scope?.id && one.kind === object.kind);
  requireOneKind(wanted, all);
  if (object.ops) requireFree(name, present);
  const { about, isInForce } = present ?? {};
  const isSame =
    about?.file === object.file && about.sha256 === sha256 && settingsText(about.set) === settingsText(set);
  const isChange = !(isInForce && isSame);
  if (isChange && isInForce && present?.linkId === 0) throw notAtOnce(name);
  return { wanted, present, isChange };
}

/** Has the kernel verify it. @throws TcpxError when it refuses */
export const prepareWanted = (lib: Bridge, { object, set }: WantedProgram): Promise<Prepared> =>
  prepare(lib, object, set);
