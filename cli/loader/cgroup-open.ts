// SPDX-License-Identifier: MIT
// The directory of a scope's cgroup, to attach to.

import { closeSync, fstatSync, openSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import { isErrno } from "../bridge/bridge.ts";
import type { Scope } from "../system/host.ts";

/** @throws TcpxError when somebody has removed it since it was found, as when a `tcpx run` is killed at its beginning */
export function openCgroup({ path, name }: Scope): number {
  try {
    if (path !== undefined) return openSync(path, "r");
  } catch (error) {
    if (!isErrno(error, "ENOENT")) throw error;
  }
  throw new TcpxError(
    Exit.FAILED,
    `cgroup ${name} is gone meanwhile`,
    path === undefined ? {} : { value: path },
  );
}

/** Does something with it, when it is still the one that the scope is of. */
export function inCgroup<T>(scope: Scope, act: (fd: number, path: string) => T): T {
  const fd = openCgroup(scope);
  const path = scope.path!;
  try {
    if (fstatSync(fd, { bigint: true }).ino !== scope.id) {
      throw new TcpxError(Exit.FAILED, `cgroup ${scope.name} was made anew meanwhile`, { value: path });
    }
    return act(fd, path);
  } finally {
    closeSync(fd);
  }
}
