// SPDX-License-Identifier: MIT
// Directories and files that others read: their permissions are what we say, not what the caller's umask
// leaves of it, and a file is the old one or the new one, even after a crash of the machine.

import {
  chmodSync,
  closeSync,
  constants,
  fchmodSync,
  fsyncSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import { basename, dirname, join } from "node:path";

/** File systems that keep nothing have nothing to write back. */
const NO_FSYNC = ["EINVAL", "ENOSYS", "ENOTSUP", "EOPNOTSUPP"];
/** How old a draft of somebody in another pid namespace must be to be a leftover, milliseconds. */
const LEFT_MS = 3_600_000;

const codeOf = (error: unknown) => (error as NodeJS.ErrnoException).code ?? "";

/** @throws with EEXIST when something is there already */
export function makeDirectory(path: string, mode: number): void {
  mkdirSync(path, { mode });
  const had = lstatSync(path).mode & 0o7777;
  if ((had & 0o777) !== mode) chmodSync(path, (had & 0o7000) | mode);
}

/** And those above it, as far as they are not there. */
export function makeDirectories(path: string, mode: number): void {
  if (statSync(path, { throwIfNoEntry: false })?.isDirectory()) return;
  try {
    makeDirectories(dirname(path), mode);
    makeDirectory(path, mode);
  } catch (error) {
    // somebody else was faster
    if (codeOf(error) !== "EEXIST" || !statSync(path).isDirectory()) throw error;
  }
}

function or<T>(get: () => T, otherwise: T): T {
  try {
    return get();
  } catch {
    return otherwise; // no /proc
  }
}

/** Whose pids are meant: those of this boot and this pid namespace. */
function where(): string {
  const boot = or(() => readFileSync("/proc/sys/kernel/random/boot_id", "utf8").slice(0, 8), "0");
  return `${boot}-${or(() => /\d+/.exec(readlinkSync("/proc/self/ns/pid"))?.[0], "0")}`;
}

/** When a process began, in ticks since the boot: a pid alone may be another process's soon. */
function begin(pid: string): string | undefined {
  return or(
    () =>
      readFileSync(`/proc/${pid}/stat`, "utf8")
        .replace(/^.*\) /s, "")
        .split(" ")[19],
    undefined,
  );
}

/** Beside the file, hidden, and without its ending: neither systemd nor an exporter takes it for one. */
export function draftOf(path: string, pid = String(process.pid)): string {
  const writer = `${where()}-${pid}-${begin(pid) ?? 0}`;
  return join(dirname(path), `.${basename(path)}.tcpx-${writer}-${crypto.randomUUID().slice(0, 8)}`);
}

function isLeft(dir: string, draft: string, [, place, pid = "", since]: string[]): boolean {
  if (place === where()) return pid === String(process.pid) || begin(pid) !== since;
  const made = lstatSync(join(dir, draft), { throwIfNoEntry: false })?.mtimeMs;
  return made !== undefined && Date.now() - made > LEFT_MS;
}

/** Removes what a writer of this file that was killed has left beside it. */
export function sweepDrafts(path: string): void {
  const [dir, start] = [dirname(path), `.${basename(path)}.tcpx-`];
  for (const name of or(() => readdirSync(dir), [])) {
    const parts =
      name.startsWith(start) && /^([\da-f]+-\d+)-(\d+)-(\d+)-[\da-f]{8}$/.exec(name.slice(start.length));
    // what cannot be removed, such as a directory of somebody's, is in nobody's way
    if (parts && isLeft(dir, name, parts)) or(() => rmSync(join(dir, name), { force: true }), undefined);
  }
}

function sync(fd: number): void {
  try {
    fsyncSync(fd);
  } catch (error) {
    if (!NO_FSYNC.includes(codeOf(error))) throw error;
  }
}

/** Opens, and closes whatever happens meanwhile. */
function withFile(path: string, flags: number, mode: number, action: (fd: number) => void): void {
  const fd = openSync(path, flags, mode);
  try {
    action(fd);
  } finally {
    closeSync(fd);
  }
}

/**
 * Puts text or bytes where the path says, in place of the file or symbolic link that is there. Once it returns it
 * is on the disk. When it throws there is the old one or the new one, and nothing beside it.
 * @throws what the system call that failed has said
 */
export function replaceFile(path: string, text: string | Uint8Array, mode: number): void {
  sweepDrafts(path);
  const draft = draftOf(path);
  const { O_WRONLY, O_CREAT, O_EXCL, O_NOFOLLOW } = constants;
  try {
    withFile(draft, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode, (fd) => {
      fchmodSync(fd, mode);
      writeFileSync(fd, text);
      sync(fd);
    });
    renameSync(draft, path);
  } catch (error) {
    or(() => unlinkSync(draft), undefined);
    throw error;
  }
  syncDirectory(dirname(path));
}

/** What was put there or removed is so after a crash of the machine, too. */
function syncDirectory(path: string): void {
  try {
    withFile(path, constants.O_RDONLY | constants.O_DIRECTORY, 0, sync);
  } catch (error) {
    if (codeOf(error) !== "EACCES") throw error; // a directory that may be written to, and not read
  }
}

/** Removes a file, once and for all; that it is not there is no error. */
export function removeFile(path: string): void {
  rmSync(path, { force: true });
  syncDirectory(dirname(path));
}
