// SPDX-License-Identifier: MIT
// The extensions that this host has added: read from its folder, and made known to all other parts of tcpx. Their
// objects are looked at when they are needed.

import { lstatSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import { sha256 } from "../base/sha256.ts";
import { addExtension, extensions } from "../extensions/index.ts";
import { FIRST_SLOT, SLOTS } from "../extensions/slots.ts";
import type { Extension } from "../extensions/types.ts";
import { provideSlots, type SlotObject } from "../loader/slots.ts";
import { collisionOf, type Present } from "../manifest/collision.ts";
import { extensionFrom } from "../manifest/extension.ts";
import { readAdded } from "../manifest/read.ts";
import { describeSlot } from "../manifest/slot.ts";
import type { Manifest } from "../manifest/types.ts";
import { readOwnedFile } from "../system/owned-file.ts";
import { DEFAULT_SITE } from "../wire/site.ts";
import { checkObject } from "./candidate.ts";
import { MOST, type Package, unpackExtension } from "./package.ts";
import { EXTENSIONS, packageFiles } from "./present.ts";
import { readArchive } from "./ustar.ts";

/** A file of the folder. */
export interface Installed {
  path: string;
  /** As the file's name says; undefined: it says nothing. */
  id: number | undefined;
  name: string | undefined;
  /** Of one that is in use. */
  manifest?: Manifest;
  manifestText?: string;
  extension?: Extension;
  /** Why it is not. */
  problem?: TcpxError;
}

type Known = Required<Omit<Installed, "problem">> & { id: number; name: string };

const isKnown = (one: Installed): one is Known => one.manifest !== undefined;

const MEMBERS = 5;
const FILE = /^([1-9]\d?)-([a-z][a-z0-9-]{0,31})\.tcpx$/;

function refused(path: string, what: string, hint?: string): TcpxError {
  return new TcpxError(Exit.FAILED, `${path} ${what}`, { value: path, ...(hint !== undefined && { hint }) });
}

/** What a file's name says; nothing where it is no package's. */
function namedIn(file: string): Pick<Installed, "path" | "id" | "name"> {
  const [, number, name] = FILE.exec(file) ?? [];
  const id = Number(number);
  const isOne = id >= FIRST_SLOT && id < FIRST_SLOT + SLOTS;
  return { path: `${EXTENSIONS}/${file}`, ...(isOne ? { id, name } : { id: undefined, name: undefined }) };
}

/** The manifest's text; the sums are compared when the object is needed. */
function manifestTextOf(path: string): string {
  const members = readArchive(readOwnedFile(path, MOST.all), path, MEMBERS);
  const found = members.find(({ name }) => name === "extension.toml");
  if (!found) throw refused(path, "has no extension.toml");
  if (found.bytes.length > MOST.manifest)
    throw refused(path, `has a manifest of more than ${MOST.manifest} bytes`);
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(found.bytes);
  } catch {
    throw refused(path, "has a manifest that is not UTF-8");
  }
}

/** Reads one. @param before those that are known already */
function look(file: string, before: readonly Known[], present: Present): Installed {
  const one = namedIn(file);
  const { path, id, name } = one;
  try {
    if (id === undefined || name === undefined)
      throw refused(path, `is not called ID-NAME.tcpx, ID from ${FIRST_SLOT} to ${FIRST_SLOT + SLOTS - 1}`);
    const twin = before.find((other) => other.id === id || other.name === name);
    if (twin)
      throw refused(path, `has the ${twin.id === id ? `number ${id}` : `name ${name}`} of ${twin.path}`);
    const manifestText = manifestTextOf(path);
    const manifest = readAdded(manifestText, `${path}: extension.toml`);
    if (manifest.name !== name) throw refused(path, `has the manifest of ${manifest.name}`);
    const collision = collisionOf(manifest, present);
    if (collision !== undefined) throw refused(path, `cannot be used: ${collision}`);
    return { ...one, manifest, manifestText, extension: extensionFrom(manifest, id) };
  } catch (error) {
    const problem = error instanceof TcpxError ? error : refused(path, `cannot be read (${error})`);
    return { ...one, problem };
  }
}

const builtIn = () => extensions.filter(({ id }) => id < FIRST_SLOT);

/**
 * Every package of the folder, with what is wrong with it.
 * @param commands names of tcpx's own
 */
export function installed(commands: readonly string[], files = packageFiles()): Installed[] {
  if (files === null) return [{ ...namedIn(""), problem: refused(EXTENSIONS, "cannot be read") }];
  const found: Installed[] = [];
  const known: Known[] = [];
  const present = { commands, extensions: builtIn(), site: DEFAULT_SITE };
  const sorted = [...files].sort(
    (a, b) => Number.parseInt(a, 10) - Number.parseInt(b, 10) || (a < b ? -1 : 1),
  );
  for (const file of sorted) {
    const one = look(file, known, present);
    found.push(one);
    if (!isKnown(one)) continue;
    known.push(one);
    present.extensions.push(one.extension);
  }
  return found;
}

/** All of a package, its sums compared; undefined: it is not there any more. @throws TcpxError */
export function installedPackage({
  path,
  manifestText,
}: Pick<Installed, "path" | "manifestText">): Package | undefined {
  if (!lstatSync(path, { throwIfNoEntry: false })) return undefined;
  const unpacked = unpackExtension(readOwnedFile(path, MOST.all), path);
  if (manifestText === undefined || unpacked.manifestText === manifestText) return unpacked;
  throw refused(path, "was replaced meanwhile", "try again");
}

/** Makes those known that others have added since this command began. @param held what the folder has now */
export function registerMissing(
  commands: readonly string[],
  held: readonly Pick<Installed, "id" | "name">[],
): void {
  const isThere = ({ id, name }: Pick<Installed, "id" | "name">) =>
    extensions.some((one) => one.id === id && one.name === name);
  if (!held.every(isThere)) registerInstalled(commands);
}

/** Sums of objects that this process has looked at already. */
const sound = new Set<string>();

/** What `ext add` looks for: whoever has put the file there may have done it without. @throws TcpxError */
function requireSound(path: string, unpacked: Package): void {
  const sum = sha256(unpacked.object);
  if (sound.has(sum)) return;
  checkObject(path, unpacked);
  sound.add(sum);
}

function objectOf(one: Known): SlotObject | undefined {
  const unpacked = installedPackage(one);
  if (!unpacked) return undefined;
  if (unpacked.name !== one.name) throw refused(one.path, `has the object of ${unpacked.name}`);
  requireSound(one.path, unpacked);
  return { ...describeSlot(one.manifest, one.id), bytes: unpacked.object };
}

/** One line about those that are left out; undefined: there are none. */
function leftOut(found: readonly Installed[]): string | undefined {
  const [first, ...more] = found.flatMap(({ problem }) => problem ?? []);
  if (!first) return undefined;
  const { message, hint } = first;
  const others = more.length > 0 ? `; and ${more.length} more: \`tcpx ext list\`` : "";
  return `an extension is left out: ${message}${hint === undefined ? "" : `; ${hint}`}${others}`;
}

/**
 * Makes them known. Before anything else asks which extensions there are: lists of them are made once.
 * @param commands names of tcpx's own
 * @returns what has to be said
 */
export function registerInstalled(commands: readonly string[], files = packageFiles()): string | undefined {
  const found = installed(commands, files);
  const known = found.filter(isKnown);
  for (const { extension } of known) addExtension(extension);
  const knownAs = (id: number) => known.find((other) => other.id === id);
  provideSlots(
    (id) => {
      const one = knownAs(id);
      return one && objectOf(one);
    },
    (id) => {
      const one = knownAs(id);
      return one && describeSlot(one.manifest, one.id);
    },
  );
  return leftOut(found);
}
