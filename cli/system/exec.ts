// SPDX-License-Identifier: MIT
// Becoming another program, as env(1) does.

import { accessSync, constants, readdirSync, readFileSync, readlinkSync, statSync } from "node:fs";
import { join } from "node:path";
import { RunExit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";

/** The C library's, for when PATH is not set. */
const DEFAULT_PATH = "/bin:/usr/bin";

function cannotRun(name: string, code: string): TcpxError {
  const missing = code === "ENOENT";
  const exit = missing ? RunExit.MISSING : RunExit.DENIED;
  const missingHint = name.includes("/") ? "there is no such file" : "no directory of PATH has it";
  return new TcpxError(exit, `cannot run '${name}'${missing ? ": not found" : ` (${code})`}`, {
    value: name,
    hint: missing ? missingHint : "it must be an executable file",
    exit,
  });
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false;
  }
}

/**
 * Looks for a command before anything is done for it.
 * @throws TcpxError with 127 or 126 when it will not run
 */
export function requireCommand(name: string): void {
  const folders = (process.env.PATH ?? DEFAULT_PATH).split(":");
  const places = name.includes("/") ? [name] : folders.map((folder) => join(folder || ".", name));
  if (name !== "" && places.some(isExecutable)) return;
  const exists =
    name !== "" && places.some((path) => statSync(path, { throwIfNoEntry: false }) !== undefined);
  throw cannotRun(name, exists ? "EACCES" : "ENOENT");
}

/**
 * Files that we were started with, apart from the standard ones and number 3: the runtime marks them
 * close-on-exec at its start (close_range(4, ...), Bun 1.4.5). Its own are epoll and event descriptors.
 * Call it before anything is opened.
 */
export function inheritedFiles(): number[] {
  const fds = readdirSync("/proc/self/fd").map(Number);
  return fds.filter((fd) => {
    try {
      return fd > 3 && !readlinkSync(`/proc/self/fd/${fd}`).startsWith("anon_inode:[event");
    } catch {
      return false; // the list itself
    }
  });
}

/** Strings back to back, as the kernel shows them; a program may have arguments that are no UTF-8. */
function lastWords(count: number): Uint8Array {
  const text = readFileSync("/proc/self/cmdline");
  let at = text.length - 1;
  for (let n = 0; n < count; n++) at = text.lastIndexOf(0, at - 1);
  return text.subarray(at + 1);
}

/**
 * Replaces this process by the last `count` words of its own command line, with the environment, signals,
 * limits and files that it was started with. Returns only by throwing.
 * @param files as inheritedFiles() has found them
 * @throws TcpxError with 126 or 127
 */
export function become(lib: Bridge, name: string, count: number, files: number[]): never {
  const argv = lastWords(count);
  const environment = readFileSync("/proc/self/environ");
  const [envp, size] = environment.length > 0 ? [environment, environment.length] : [new Uint8Array(1), 0];
  for (const fd of files) lib.tcpx_exec_keep(fd);
  const error = lib.tcpx_exec(argv, argv.length, envp, size);
  throw cannotRun(name, new Errno("exec", -error).code);
}
