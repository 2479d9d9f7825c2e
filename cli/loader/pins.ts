// SPDX-License-Identifier: MIT
// Where things are pinned in bpffs, and how they go again.
//
//   tcpx/v<layout>/conns, handover          shared by all scopes
//   tcpx/v<layout>/<cgroup id>/link         the attachment: this pin is the commit
//   tcpx/v<layout>/<cgroup id>/counters     survive a change of rules
//   tcpx/v<layout>/<cgroup id>/gen-<program id>/rules, config
//
// The link names the program, the program's id names the generation: whatever a killed command
// leaves behind, the link shows either the old rules or the new ones.

import { mkdirSync, rmdirSync, unlinkSync } from "node:fs";
import { join } from "node:path";
import { LAYOUT_VERSION } from "./layout.generated.ts";
import { listPins } from "./maps.ts";

export const SHARED = ["conns", "handover"] as const;

export const topDir = (bpffs: string) => join(bpffs, "tcpx");
export const layoutDir = (bpffs: string) => join(topDir(bpffs), `v${LAYOUT_VERSION}`);
export const scopeDir = (bpffs: string, id: bigint) => join(layoutDir(bpffs), String(id));
export const generationDir = (scope: string, progId: number) => join(scope, `gen-${progId}`);

/** Ids of the scopes that have a directory. */
export function scopeIds(bpffs: string): bigint[] {
  return listPins(layoutDir(bpffs))
    .filter((name) => /^\d+$/.test(name))
    .map(BigInt);
}

/** Creates a directory in bpffs unless it is there. */
export function ensureDir(path: string): void {
  mkdirSync(path, { recursive: true, mode: 0o700 });
}

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
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}

/** Removes the generations that the link does not use. */
export function removeOldGenerations(scope: string, currentProgId: number | undefined): void {
  for (const name of listPins(scope)) {
    if (name.startsWith("gen-") && name !== `gen-${currentProgId}`) removeTree(join(scope, name));
  }
}

/** Detaches a scope and removes all that belongs to it. The link goes first: that is the commit. */
export function removeScope(bpffs: string, id: bigint): void {
  const dir = scopeDir(bpffs, id);
  if (listPins(dir).includes("link")) unlinkSync(join(dir, "link"));
  removeTree(dir);
}

/** Removes all of it, whatever layout: links first, so that nothing runs on half of its maps. */
export function removeEverything(bpffs: string): void {
  for (const id of scopeIds(bpffs)) removeScope(bpffs, id);
  removeTree(topDir(bpffs));
}

/** Removes our directories and shared maps when no scope is left. */
export function prune(bpffs: string): void {
  if (scopeIds(bpffs).length > 0) return;
  removeTree(layoutDir(bpffs));
  if (listPins(topDir(bpffs)).length === 0) removeTree(topDir(bpffs));
}
