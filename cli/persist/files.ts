// SPDX-License-Identifier: MIT
// What `tcpx persist` has on disk, and what systemd knows of it.

import { existsSync, lstatSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { makeDirectories, replaceFile, sweepDrafts } from "../system/files.ts";
import { NoPlainFile, readPlain } from "../system/plain-file.ts";
import { isOwnUnit, UNIT, UNIT_FILE, UNIT_LINK } from "./unit.ts";

/** As much as `apply` takes. */
const MOST_BYTES = 32 << 20;

export const exists = (path: string): boolean => lstatSync(path, { throwIfNoEntry: false }) !== undefined;

/** Undefined: it is not there. */
export function read(path: string): string | undefined {
  try {
    const bytes = readPlain(path, MOST_BYTES);
    if (bytes) return new TextDecoder().decode(bytes);
    throw new NoPlainFile("is too long");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    const why = error instanceof NoPlainFile ? error.message : `cannot be read (${code})`;
    throw new TcpxError(Exit.FAILED, `${path} ${why}`, {
      value: path,
      hint: "look at it, then mend or remove it",
      cause: error,
    });
  }
}

/**
 * What systemd makes true as root at every start must be in a directory where nobody else writes.
 * @throws TcpxError (permission); nothing when it is not there
 */
export function requireOwnFolder(path: string): void {
  const info = lstatSync(path, { throwIfNoEntry: false });
  if (!info || (info.isDirectory() && info.uid === process.geteuid?.() && (info.mode & 0o022) === 0)) return;
  const link = info.isSymbolicLink() ? "a symbolic link" : undefined;
  const what = link ?? (info.isDirectory() ? "a directory that others can write to" : "no directory");
  throw new TcpxError(Exit.PERMISSION, `${path} is ${what}: rules that are kept there would not be ours`, {
    value: path,
    hint: "it must be a directory of root's that only root can write to: look at it, then mend or remove it",
  });
}

/** In one step, and only when it differs; everybody may read it. */
export function write(path: string, text: string): boolean {
  if (read(path) === text) return false;
  try {
    makeDirectories(dirname(path), 0o755);
    replaceFile(path, text, 0o644);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    throw new TcpxError(Exit.FAILED, `${path} cannot be written (${code})`, { value: path, cause: error });
  }
  return true;
}

function systemctl(...args: string[]): { code: number; out: string; said: string } {
  const program = programOf("systemctl") ?? "systemctl";
  const env = childEnvironment();
  const child = Bun.spawnSync([program, ...args], { env, stdin: "ignore", timeout: 60_000 });
  return { code: child.exitCode, out: child.stdout.toString(), said: child.stderr.toString().trim() };
}

function must(...args: string[]): void {
  const { code, said } = systemctl(...args);
  if (code === 0) return;
  throw new TcpxError(Exit.FAILED, `systemctl ${args.join(" ")}: ${said.split("\n")[0] || `exit ${code}`}`);
}

export const hasSystemd = (): boolean => existsSync("/run/systemd/system") && programOf("systemctl") !== null;

export const isEnabled = (): boolean => systemctl("is-enabled", UNIT).out.trim() === "enabled";

/** Writes the unit and enables it; false when all of it was so. */
export function enable(text: string): boolean {
  const written = write(UNIT_FILE, text);
  if (!written && isEnabled()) return false;
  must("daemon-reload");
  must("enable", "--quiet", UNIT);
  return true;
}

/** The link that enables a unit which is not there; anything else of that name is not ours. */
function hasLeftLink(): boolean {
  return Boolean(lstatSync(UNIT_LINK, { throwIfNoEntry: false })?.isSymbolicLink()) && !existsSync(UNIT_LINK);
}

/**
 * Disables and removes the unit, also where systemd does not run: what lies there would start with it. Rules in
 * force stay.
 * @returns none: there was no unit; foreign: one that we have not written, which is left alone
 */
export function disable(): "removed" | "none" | "foreign" {
  const info = lstatSync(UNIT_FILE, { throwIfNoEntry: false });
  if (!info && !hasLeftLink()) return "none";
  const text = info?.isFile() ? read(UNIT_FILE) : undefined;
  if (info && !isOwnUnit(text ?? "")) return "foreign";
  const runs = hasSystemd();
  if (runs && text !== undefined) must("disable", "--quiet", "--now", UNIT);
  rmSync(UNIT_FILE, { force: true });
  sweepDrafts(UNIT_FILE);
  if (hasLeftLink()) rmSync(UNIT_LINK);
  if (runs) must("daemon-reload");
  return "removed";
}

/** How the unit's last run ended: "success", "exit-code"...; undefined when it has not run since boot. */
export function lastResult(): string | undefined {
  const { out } = systemctl("show", "--property=Result,ExecMainExitTimestampMonotonic", UNIT);
  const of = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(out)?.[1] ?? "";
  return Number(of("ExecMainExitTimestampMonotonic")) > 0 ? of("Result") : undefined;
}
