// SPDX-License-Identifier: MIT
// Where programs of others are pinned: beside the layouts, which come and go without them.
//
//   tcpx/programs/<cgroup id>/NAME/link          of a sock_ops program: this pin is the commit
//   tcpx/programs/congestion/NAME/link           of a congestion control; before Linux 6.4 its map, as `ops`
//   tcpx/programs/<cgroup id>/NAME/unit-<hex>    of a service, whose next cgroup gets it (loader/program-services.ts)
//   tcpx/programs/.../NAME/gen-<id>/about        what is known of it; the id is the program's, or the map's
//
// As with rules, the link says which generation is in force.

import { join } from "node:path";
import { listPins } from "../bridge/maps.ts";
import { programsDir } from "../loader/program-services.ts";

export const CONGESTION = "congestion";
/** A cgroup's id; undefined: a congestion control, which is for the whole host. */
export type Where = bigint | undefined;

/** Of a program; a pin has no dots. */
export const PROGRAM_NAME = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,31}$/;

const whereDir = (bpffs: string, where: Where) =>
  join(programsDir(bpffs), where === undefined ? CONGESTION : String(where));
export const homeOf = (bpffs: string, where: Where, name: string) => join(whereDir(bpffs, where), name);
export const aboutPath = (home: string, id: number) => join(home, `gen-${id}`, "about");

/** Every place that has programs, with the names there. */
export function places(bpffs: string): { where: Where; name: string }[] {
  return listPins(programsDir(bpffs))
    .filter((name) => name === CONGESTION || /^\d+$/.test(name))
    .flatMap((dir) => {
      const where = dir === CONGESTION ? undefined : BigInt(dir);
      return listPins(whereDir(bpffs, where)).map((name) => ({ where, name }));
    });
}
