// SPDX-License-Identifier: MIT
// Where things are pinned in bpffs, and how they go again.
//
//   tcpx/v<layout>/conns, handover, ...     shared by all scopes
//   tcpx/v<layout>/site                     the site's table, when it is not the documented one
//   tcpx/v<layout>/<cgroup id>/link         the attachment: this pin is the commit
//   tcpx/v<layout>/<cgroup id>/reset        attached as well, while some rule asks (reset-link.ts)
//   tcpx/v<layout>/<cgroup id>/NAME-TYPE    and programs of other types, while rules of NAME are there (sock-links.ts)
//   tcpx/v<layout>/<cgroup id>/counters     survive a change of rules
//   tcpx/v<layout>/<cgroup id>/gen-<program id>/rules, config, and programs of other types as NAME-TYPE
//
// The link names the program, the program's id names the generation: whatever a killed command
// leaves behind, the link shows either the old rules or the new ones.

import { lstatSync, rmdirSync, rmSync, statSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, unwrap } from "../bridge/bridge.ts";
import { Fd, linkInfo, listPins, openPin, pin } from "../bridge/maps.ts";
import { SOCK_TYPES, type SockType } from "../bridge/sock-types.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { makeDirectories } from "../system/files.ts";

/** The link of the program which holds resets back. */
export const RESET_LINK = "reset";

/** That of a program of another type than sock_ops, and its program in a generation. */
export const sockPin = (ext: string, type: SockType) => `${ext}-${type}`;

/** What a name of that form says; undefined: it is none. */
export function sockPinOf(name: string): { ext: string; type: SockType } | undefined {
  const [, ext, type] = /^([a-z][a-z0-9-]*)-([a-z]\w+)$/.exec(name) ?? [];
  return ext && type && Object.hasOwn(SOCK_TYPES, type) ? { ext, type: type as SockType } : undefined;
}

const isLink = (name: string) => name === "link" || name === RESET_LINK || sockPinOf(name) !== undefined;

/** The links of a scope that has this directory. */
export const linksIn = (scope: string): string[] => listPins(scope).filter(isLink);

export const SHARED = ["conns", "handover", "served", "notices", "watch", "events", "paths"] as const;

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code;

export const topDir = (bpffs: string) => join(bpffs, "tcpx");
export const layoutDir = (bpffs: string, layout = LAYOUT_VERSION) => join(topDir(bpffs), `v${layout}`);
export const scopeDir = (bpffs: string, id: bigint, layout = LAYOUT_VERSION) =>
  join(layoutDir(bpffs, layout), String(id));
export const sitePath = (bpffs: string, layout = LAYOUT_VERSION) => join(layoutDir(bpffs, layout), "site");
export const generationDir = (scope: string, progId: number) => join(scope, `gen-${progId}`);

/** The layouts that have pins here, newest first: of this tcpx and of others. */
export function layouts(bpffs: string): number[] {
  const names = listPins(topDir(bpffs)).flatMap((name) => /^v(\d+)$/.exec(name)?.[1] ?? []);
  return names.map(Number).sort((a, b) => b - a);
}

/** Ids of the scopes that have a directory. */
export function scopeIds(bpffs: string, layout = LAYOUT_VERSION): bigint[] {
  return listPins(layoutDir(bpffs, layout))
    .filter((name) => /^\d+$/.test(name))
    .map(BigInt);
}

const scopeDirs = (bpffs: string, layout: number) =>
  scopeIds(bpffs, layout).map((id) => scopeDir(bpffs, id, layout));

/** Of every layout. */
export const allScopeDirs = (bpffs: string) => layouts(bpffs).flatMap((layout) => scopeDirs(bpffs, layout));

/** Has a layout anything in force, or a site's table? Else a killed command has left what there is. */
export function isInForce(bpffs: string, layout: number): boolean {
  const dir = layoutDir(bpffs, layout);
  return (
    listPins(dir).includes("site") ||
    scopeDirs(bpffs, layout).some((scope) => listPins(scope).includes("link"))
  );
}

/** Creates a directory in bpffs unless it is there. */
export function ensureDir(path: string): void {
  makeDirectories(path, 0o700);
}

/** Removes a pin, if it is there. */
export const removePin = (path: string) => rmSync(path, { force: true });

/** Removes a directory of bpffs with everything in it. */
export function removeTree(path: string): void {
  for (const name of listPins(path)) {
    const child = join(path, name);
    try {
      unlinkSync(child);
    } catch {
      removeTree(child); // a directory
    }
  }
  try {
    rmdirSync(path);
  } catch (error) {
    if (codeOf(error) !== "ENOENT") throw error;
  }
}

/** Gives a link another program, and a pin; without room for that it has its program before. */
function inherit(lib: Bridge, { fd }: Fd, program: number, path: string): void {
  using before = new Fd(lib, unwrap("program before", lib.tcpx_prog_open(linkInfo(lib, fd).progId)));
  unwrap("link update", lib.tcpx_link_update(fd, program));
  try {
    pin(lib, fd, path);
  } catch (error) {
    lib.tcpx_link_update(fd, before.fd);
    throw error;
  }
}

/**
 * Gives an attachment another program: that of the scope, or that which an older layout has, which is pinned here then.
 * @returns false: there is none
 */
export function updateLink(lib: Bridge, name: string, program: number, dir: string, older?: string): boolean {
  const path = join(dir, name);
  using own = openPin(lib, path);
  if (own) unwrap("link update", lib.tcpx_link_update(own.fd, program));
  using inherited = own || older === undefined ? undefined : openPin(lib, join(older, name));
  if (inherited) inherit(lib, inherited, program, path);
  return (own ?? inherited) !== undefined;
}

/** Detaches at once: kernels before 5.15 take their time when only the pin goes. */
export function detachLink(lib: Bridge, dir: string, name = "link"): void {
  using link = openPin(lib, join(dir, name));
  if (!link) return;
  lib.tcpx_link_detach(link.fd);
  unlinkSync(join(dir, name));
}

/** The rules end before what only helps them. */
function detach(lib: Bridge, dir: string): void {
  try {
    detachLink(lib, dir);
  } finally {
    for (const name of linksIn(dir)) if (name !== "link") detachLink(lib, dir, name);
  }
}

/** Removes the generations that the link does not use. @param names in the scope's directory */
export function removeOldGenerations(scope: string, currentProgId: number, names: readonly string[]): void {
  for (const name of names) {
    if (name.startsWith("gen-") && name !== `gen-${currentProgId}`) removeTree(join(scope, name));
  }
}

/** Detaches a scope and removes all that belongs to it, of whatever layout. */
export function removeScope(lib: Bridge, bpffs: string, id: bigint): void {
  for (const layout of layouts(bpffs)) {
    detach(lib, scopeDir(bpffs, id, layout));
    removeTree(scopeDir(bpffs, id, layout));
  }
}

/**
 * Removes what can be removed, but nothing of a file system that somebody has mounted there.
 * @returns what stays, and why
 */
function removeAll(path: string, device: number): string[] {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info) return [];
  if (info.dev !== device) return [`${path} (something is mounted there)`];
  try {
    if (!info.isDirectory()) {
      unlinkSync(path);
      return [];
    }
    const left = listPins(path).flatMap((name) => removeAll(join(path, name), device));
    if (left.length === 0) rmdirSync(path);
    return left;
  } catch (error) {
    return codeOf(error) === "ENOENT" ? [] : [`${path} (${codeOf(error)})`];
  }
}

/**
 * Detaches all scopes, of whatever layout, and removes every pin of ours, whatever else was made of them.
 * @returns what could not be removed, and why
 */
export function removeEverything(lib: Bridge, bpffs: string): string[] {
  for (const dir of allScopeDirs(bpffs)) {
    try {
      detach(lib, dir);
    } catch {
      // no link, or one that is about to be found in the way
    }
  }
  return removeAll(topDir(bpffs), statSync(bpffs).dev);
}

/**
 * Removes directories and shared maps of layouts that no scope is left of, newer ones excepted. The site's
 * table stays, the newest that there is: it is also for rules to come.
 */
export function prune(bpffs: string): void {
  let kept = false;
  for (const layout of layouts(bpffs)) {
    if (layout > LAYOUT_VERSION) continue;
    const names = listPins(layoutDir(bpffs, layout));
    const keeps: boolean = !kept && names.includes("site");
    kept ||= keeps;
    if (scopeIds(bpffs, layout).length > 0) continue;
    if (!keeps) removeTree(layoutDir(bpffs, layout));
    else for (const name of names) if (name !== "site") removePin(join(layoutDir(bpffs, layout), name));
  }
  if (listPins(topDir(bpffs)).length === 0) removeTree(topDir(bpffs));
}
