// SPDX-License-Identifier: MIT
// The attachment of the program that holds the first reset of a SYN back (embedded-bpf/reset.bpf.h). It needs
// nothing of the rules: a scope keeps one as long as some rule of it asks. Without it rules work all the same,
// and a path that answers an option by a reset costs one connection.

import { openSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, Errno, unwrap } from "../bridge/bridge.ts";
import { Fd, INGRESS, linkInfo, openPin, pin } from "../bridge/maps.ts";
import { findBpffs, type Scope } from "../system/host.ts";
import { RESET_LINK, removePin, scopeDir, updateLink } from "./pins.ts";

/** Its name in tcpx.bpf.c. */
export const RESET_PROGRAM = "tcpx_reset";

/** Of a link that somebody has detached nothing but its pin is there. */
export function hasResetLink(lib: Bridge, dir: string): boolean {
  using link = openPin(lib, join(dir, RESET_LINK));
  return link !== undefined && linkInfo(lib, link.fd).cgroupId !== 0n;
}

/** Are resets held back for this scope? */
export function holdsResets(lib: Bridge, id: bigint, layout: number): boolean {
  const bpffs = findBpffs(lib);
  return bpffs !== undefined && hasResetLink(lib, scopeDir(bpffs, id, layout));
}

/** Attaches the program, as far as the kernel and other programs there let us. @param older as in `replaceRules` */
export function attachReset(
  lib: Bridge,
  { path }: Scope,
  program: number,
  dir: string,
  older?: string,
): void {
  try {
    if (!hasResetLink(lib, dir)) removePin(join(dir, RESET_LINK)); // it can never have another program
    const inherited = older !== undefined && hasResetLink(lib, older) ? older : undefined;
    if (updateLink(lib, RESET_LINK, program, dir, inherited) || path === undefined) return;
    using cgroup = new Fd(lib, openSync(path, "r"));
    using created = new Fd(lib, unwrap("attach", lib.tcpx_link_create(program, cgroup.fd, INGRESS)));
    pin(lib, created.fd, join(dir, RESET_LINK));
  } catch (error) {
    if (!(error instanceof Errno)) throw error; // `tcpx status` says that it is missing
  }
}
