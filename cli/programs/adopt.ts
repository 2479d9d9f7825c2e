// SPDX-License-Identifier: MIT
// Programs of a service that was started anew: its next cgroup gets them, before the service's own program begins.

import { join } from "node:path";
import { type Bridge, Errno, unwrap } from "../bridge/bridge.ts";
import { Fd, openPin, pin, SOCK_OPS } from "../bridge/maps.ts";
import { attachError } from "../loader/attach-error.ts";
import { inCgroup } from "../loader/cgroup-open.ts";
import { ensureDir, removeTree } from "../loader/pins.ts";
import { serviceIn, servicePin } from "../loader/program-services.ts";
import type { Lock } from "../loader/store.ts";
import type { Scope } from "../system/host.ts";
import { serviceOf } from "../system/unit-hook.ts";
import { writeAbout } from "./about.ts";
import { aboutPath, homeOf } from "./place.ts";
import { type LoadedProgram, readPrograms } from "./state.ts";

/** The very program goes on, with its maps: the link of the cgroup before holds it. */
function moveTo(
  lib: Bridge,
  { id, about }: LoadedProgram,
  scope: Scope,
  service: string,
  home: string,
): void {
  using program = new Fd(lib, unwrap("open program", lib.tcpx_prog_open(id)));
  const { v: _, ...rest } = about!;
  writeAbout(lib, aboutPath(home, id), { v: 1, ...rest, cgroup: scope.name });
  ensureDir(join(home, servicePin(service)));
  inCgroup(scope, (cgroup, path) => {
    const result = lib.tcpx_link_create(program.fd, cgroup, SOCK_OPS);
    if (result < 0) throw attachError(lib, { ...scope, path }, new Errno("attach", -result));
    using link = new Fd(lib, result);
    pin(lib, link.fd, join(home, "link"));
  });
}

function isThere(lib: Bridge, home: string): boolean {
  using link = openPin(lib, join(home, "link"));
  return link !== undefined;
}

/**
 * Gives a service's new cgroup the programs of the one before, unless it has others of these names. A kill on the way
 * leaves each program with one of them. Call it with the lock held.
 * @returns names of programs that it got
 */
export function adoptPrograms(lib: Bridge, held: Lock, scope: Scope): string[] {
  const service = serviceOf(scope.name);
  if (service === undefined || scope.waiting) return [];
  const adopted: string[] = [];
  for (const program of readPrograms(lib, held.bpffs)) {
    if (!program.isGone || program.where === scope.id || serviceIn(program.home) !== service) continue;
    const home = homeOf(held.bpffs, scope.id, program.name);
    if (!isThere(lib, home) && program.about) {
      removeTree(home); // a killed command's
      moveTo(lib, program, scope, service, home);
      adopted.push(program.name);
    }
    removeTree(program.home);
  }
  return adopted;
}
