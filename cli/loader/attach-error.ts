// SPDX-License-Identifier: MIT
// Why a cgroup did not take our program: usually somebody else's exclusive one.

import { closeSync, openSync } from "node:fs";
import { dirname, relative } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, type Errno, isErrno, unwrap } from "../bridge/bridge.ts";
import { attachedTo, Fd, progInfo, SOCK_OPS } from "../bridge/maps.ts";
import { SOCK_TYPES, type SockType } from "../bridge/sock-types.ts";
import { cgroupRoot } from "../system/host.ts";
import type { SeenScope } from "./cgroup-place.ts";

const BPF_F_ALLOW_MULTI = 2;

function programNames(lib: Bridge, ids: number[]): string {
  const names = ids.map((id) => {
    using prog = new Fd(lib, unwrap("open program", lib.tcpx_prog_open(id)));
    return `'${progInfo(lib, prog.fd).name}' (id ${id})`;
  });
  return names.join(", ");
}

/** The cgroup, from this one up to the root, whose programs were attached for exclusive use. */
function findBlocker(
  lib: Bridge,
  scope: SeenScope,
  type: number,
): { path: string; names: string; own: boolean } | undefined {
  const root = cgroupRoot();
  for (let path = scope.path; ; path = dirname(path)) {
    const fd = openSync(path, "r");
    try {
      const { ids, flags } = attachedTo(lib, fd, type);
      if (ids.length > 0 && !(flags & BPF_F_ALLOW_MULTI)) {
        return { path, names: programNames(lib, ids), own: path === scope.path };
      }
      if (ids.length > 0) return undefined; // a shared attachment: it decides for those above, too
    } finally {
      closeSync(fd);
    }
    if (path === root || relative(root, path).startsWith("..")) return undefined;
  }
}

/** The error for a refused BPF_LINK_CREATE. @param sock the type of the program, when it is not sock_ops */
export function attachError(lib: Bridge, scope: SeenScope, error: Errno, sock?: SockType): TcpxError {
  const type = sock ? SOCK_TYPES[sock] : SOCK_OPS;
  const blocker = isErrno(error, "EPERM", "EBUSY") ? findBlocker(lib, scope, type) : undefined;
  if (blocker) {
    const where = blocker.own ? "this cgroup" : blocker.path;
    const what = `${sock ?? "sock_ops"} program ${blocker.names} holds ${where} for itself`;
    return new TcpxError(Exit.UNSUPPORTED, what, {
      value: blocker.path,
      hint: "detach it, or attach it with the 'multi' flag",
      cause: error,
    });
  }
  return new TcpxError(
    Exit.UNSUPPORTED,
    `the kernel did not attach the program to ${scope.path} (${error.code})`,
    {
      value: scope.path,
      cause: error,
    },
  );
}
