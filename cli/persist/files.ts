// SPDX-License-Identifier: MIT
// What `tcpx persist` has on disk, and what systemd knows of it.

import { existsSync, lstatSync, readFileSync, rmSync } from "node:fs";
import { dirname } from "node:path";
import { Exit, TcpxError } from "../errors.ts";
import { childEnvironment, programOf } from "../system/child.ts";
import { makeDirectories, replaceFile, sweepDrafts } from "../system/files.ts";
import { UNIT, UNIT_FILE } from "./unit.ts";

/** Undefined: it is not there. */
export function read(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ENOENT" || code === "ENOTDIR") return undefined;
    throw new TcpxError(Exit.FAILED, `${path} cannot be read (${code})`, { value: path, cause: error });
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

/** Disables and removes the unit; false when there was none. Rules in force stay. */
export function disable(): boolean {
  if (!existsSync(UNIT_FILE)) return false;
  must("disable", "--quiet", "--now", UNIT);
  rmSync(UNIT_FILE);
  sweepDrafts(UNIT_FILE);
  must("daemon-reload");
  return true;
}

/** How the unit's last run ended: "success", "exit-code"...; undefined when it has not run since boot. */
export function lastResult(): string | undefined {
  const { out } = systemctl("show", "--property=Result,ExecMainExitTimestampMonotonic", UNIT);
  const of = (key: string) => new RegExp(`^${key}=(.*)$`, "m").exec(out)?.[1] ?? "";
  return Number(of("ExecMainExitTimestampMonotonic")) > 0 ? of("Result") : undefined;
}
