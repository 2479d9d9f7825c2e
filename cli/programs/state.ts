// SPDX-License-Identifier: MIT
// Programs of others that are loaded, as the kernel has them.

import { join } from "node:path";
import { type Bridge, isErrno, unwrap } from "../bridge/bridge.ts";
import { Fd, linkInfo, mapId, openPin, progInfo } from "../bridge/maps.ts";
import { placeOf } from "../loader/cgroup-place.ts";
import { topDir } from "../loader/pins.ts";
import { serviceIn } from "../loader/program-services.ts";
import { findBpffs, requireOwn } from "../system/host.ts";
import { isHooked } from "../system/unit-hook.ts";
import { readOrEmpty } from "../system/viewpoint.ts";
import { type About, readAbout } from "./about.ts";
import type { ProgramKind } from "./object.ts";
import { aboutPath, homeOf, places, type Where } from "./place.ts";

/** enum bpf_struct_ops_state: registered without a link. */
const IN_USE = 1;

export interface LoadedProgram {
  name: string;
  kind: ProgramKind;
  where: Where;
  /** Its directory in bpffs. */
  home: string;
  /** Path of its cgroup; undefined: a congestion control, or the cgroup is gone for good, or not seen from here. */
  cgroup: string | undefined;
  /** The kernel has no such cgroup any more. */
  isGone: boolean;
  /** It was of a service, whose next cgroup gets the program. */
  isWaiting: boolean;
  /** False: somebody has detached it, or a command was killed before it was attached. */
  isInForce: boolean;
  /** 0: without a link. */
  linkId: number;
  /** Of the program, or of a congestion control's map: of the generation in force. */
  id: number;
  /** Undefined: its pins were removed by hand. */
  about: About | undefined;
}

type Held = Pick<LoadedProgram, "isInForce" | "linkId" | "id">;
const NOTHING: Held = { isInForce: false, linkId: 0, id: 0 };

function heldBy(lib: Bridge, home: string, where: Where): Held {
  try {
    using link = openPin(lib, join(home, "link"));
    if (link) {
      const { linkId, progId, cgroupId } = linkInfo(lib, link.fd);
      return { linkId, id: progId, isInForce: where === undefined ? progId !== 0 : cgroupId !== 0n };
    }
    using map = where === undefined ? openPin(lib, join(home, "ops")) : undefined;
    if (map) return { linkId: 0, id: mapId(lib, map.fd), isInForce: lib.tcpx_ops_state(map.fd) === IN_USE };
  } catch (error) {
    if (isErrno(error, "EPERM", "EACCES")) throw error; // else: no link, but something else of that name
  }
  return NOTHING;
}

function stateOf(lib: Bridge, bpffs: string, { where, name }: { where: Where; name: string }): LoadedProgram {
  const home = homeOf(bpffs, where, name);
  const held = heldBy(lib, home, where);
  const place = where === undefined ? {} : placeOf(lib, where);
  const about = readAbout(lib, aboutPath(home, held.id));
  const isGone = place === "gone";
  const isWaiting =
    isGone && typeof about?.cgroup === "string" && serviceIn(home) !== undefined && isHooked(about.cgroup);
  return {
    ...{ name, where, home, about, isGone, isWaiting, ...held },
    isInForce: held.isInForce && !isGone, // the kernel says a while later that the link is nobody's
    kind: where === undefined ? "congestion" : "sock_ops",
    cgroup: isWaiting ? (about?.cgroup ?? undefined) : isGone ? undefined : place.name,
  };
}

const order = ({ where, cgroup, name }: LoadedProgram) =>
  `${where === undefined ? 0 : 1}\0${cgroup ?? "~"}\0${where ?? ""}\0${name}`;

/** Congestion controls first, then by cgroup. */
export function readPrograms(lib: Bridge, bpffs = findBpffs(lib)): LoadedProgram[] {
  if (bpffs === undefined) return [];
  requireOwn(topDir(bpffs));
  const found = places(bpffs).map((place) => stateOf(lib, bpffs, place));
  return found.sort((a, b) => (order(a) < order(b) ? -1 : 1));
}

/** Is this a leftover: of a killed command, or of a cgroup that has gone? */
export const isLeft = ({ isGone, isWaiting, isInForce, linkId, id }: LoadedProgram): boolean =>
  (isGone && !isWaiting) || id === 0 || (linkId === 0 && !isInForce);

/** What a program has done; null: the kernel does not count. */
export interface Runs {
  name: string;
  id: number;
  runs: number | null;
  runNs: number | null;
}

/** Only while kernel.bpf_stats_enabled is on, which is the administrator's to say: counting costs every program. */
export const countsRuns = (): boolean => readOrEmpty("/proc/sys/kernel/bpf_stats_enabled").trim() === "1";

/** A sock_ops program is that of its link; those of a congestion control are held by its map. */
const isHeld = ({ kind, id: held, isInForce, linkId }: LoadedProgram, id: number): boolean =>
  kind === "sock_ops" ? id === held : held !== 0 && (isInForce || linkId !== 0);

/** Numbers are given anew once programs have gone: none counts that is not the one that was loaded. */
export function runsOf(lib: Bridge, loaded: LoadedProgram): Runs[] {
  const counted = countsRuns();
  return (loaded.about?.programs ?? []).map(({ name, id, tag }) => {
    const unknown = { name, id, runs: null, runNs: null };
    if (!isHeld(loaded, id)) return unknown;
    try {
      using program = new Fd(lib, unwrap("open program", lib.tcpx_prog_open(id)));
      const { runs, runNs, tag: own } = progInfo(lib, program.fd);
      if (tag !== undefined && tag !== own) return unknown;
      const isKnown = counted || runs > 0n;
      return { name, id, runs: isKnown ? Number(runs) : null, runNs: isKnown ? Number(runNs) : null };
    } catch {
      return unknown; // it has gone meanwhile
    }
  });
}
