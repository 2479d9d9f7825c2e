// SPDX-License-Identifier: MIT
// Puts programs of others into force, gives them another one, and takes them away. Call all of it with the lock held.
// Only what is pinned in our own folder is ever touched.
//
// One call of bpf(2) is the commit each time: a link that is pinned or updated. What a killed command leaves beside
// it, the next one removes.

import { join } from "node:path";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno, unwrap } from "../bridge/bridge.ts";
import { Fd, listPins, mapType, openPin, pin, SOCK_OPS } from "../bridge/maps.ts";
import { attachError } from "../loader/attach-error.ts";
import { inCgroup } from "../loader/cgroup-open.ts";
import { ensureDir, removePin, removeTree } from "../loader/pins.ts";
import { programsDir, servicePin } from "../loader/program-services.ts";
import type { Lock } from "../loader/store.ts";
import { availableAlgorithms } from "../system/algorithms.ts";
import type { Scope } from "../system/host.ts";
import { serviceOf } from "../system/unit-hook.ts";
import { type About, writeAbout } from "./about.ts";
import { aboutPath, homeOf, places } from "./place.ts";
import type { Prepared } from "./prepared.ts";
import { isLeft, type LoadedProgram, readPrograms } from "./state.ts";

/** enum bpf_attach_type: BPF_STRUCT_OPS */
const STRUCT_OPS = 44;
const KEY = new Uint8Array(4);
/** The kernel takes a name away within milliseconds after its last pin. */
const PATIENCE_MS = 2000;

/** So many are remembered. */
const EARLIER_MOST = 64;

/** Where a program goes; undefined: it is a congestion control. */
export type Target = Scope | undefined;

/** In place of a pin of what is not in force any more. */
function pinAnew(lib: Bridge, fd: number, path: string): void {
  removePin(path);
  pin(lib, fd, path);
}

function attachSockOps(lib: Bridge, { fd }: Prepared, scope: Scope, home: string): void {
  inCgroup(scope, (cgroup, path) => {
    const result = lib.tcpx_link_create(fd, cgroup, SOCK_OPS);
    if (result < 0) throw attachError(lib, { ...scope, path }, new Errno("attach", -result));
    using link = new Fd(lib, result);
    pinAnew(lib, link.fd, join(home, "link"));
  });
}

const inUse = (name: string, cause: unknown) =>
  new TcpxError(
    Exit.FAILED,
    `the kernel did not take congestion control '${name}' (${(cause as Errno).code})`,
    {
      value: name,
      hint: "it may have one of that name, or miss one of the functions that it needs: ssthresh, undo_cwnd, cong_avoid or cong_control",
      cause,
    },
  );

/** What no link holds: pinned first, since nothing would hold it, should we be killed in between. */
function register(lib: Bridge, prepared: Prepared, home: string): void {
  pinAnew(lib, prepared.fd, join(home, "ops"));
  try {
    prepared.set();
  } catch (error) {
    removePin(join(home, "ops"));
    throw error;
  }
}

function attachControl(lib: Bridge, prepared: Prepared, name: string, home: string): void {
  try {
    if (!prepared.isLinked) {
      register(lib, prepared, home);
      return;
    }
    prepared.set();
    using link = new Fd(lib, unwrap("register", lib.tcpx_link_create(prepared.fd, 0, STRUCT_OPS)));
    pinAnew(lib, link.fd, join(home, "link"));
  } catch (error) {
    throw error instanceof Errno ? inUse(name, error) : error;
  }
}

/** Gives what is in force another program, in one step. @returns false: nothing is in force */
function replaced(lib: Bridge, prepared: Prepared, present: LoadedProgram | undefined): boolean {
  if (!present?.isInForce) return false;
  using link = openPin(lib, join(present.home, "link"));
  if (!link) throw new RangeError("nothing that could be updated"); // planProgram() has refused it
  if (present.kind === "congestion") prepared.set();
  unwrap("link update", lib.tcpx_link_update(link.fd, prepared.fd));
  return true;
}

function removeOthers(home: string, id: number): void {
  for (const name of listPins(home))
    if (name.startsWith("gen-") && name !== `gen-${id}`) removeTree(join(home, name));
}

/**
 * Makes a verified object the program of that name. A failure or a kill on the way leaves the old one, or none.
 * @throws TcpxError when the kernel does not attach it
 */
export function install(
  lib: Bridge,
  held: Lock,
  name: string,
  target: Target,
  prepared: Prepared,
  about: Omit<About, "v" | "programs" | "cgroup" | "before">,
): void {
  const home = homeOf(held.bpffs, target?.id, name);
  const present = readPrograms(lib, held.bpffs).find((one) => one.home === home);
  const generation = aboutPath(home, prepared.id);
  const cgroup = target?.name ?? null;
  const service = cgroup === null ? undefined : serviceOf(cgroup);
  try {
    const before = target ? [] : earlier(lib, present);
    writeAbout(lib, generation, { v: 1, programs: prepared.programs, cgroup, before, ...about });
    if (service !== undefined) ensureDir(join(home, servicePin(service)));
    held.concernsUnits ||= service !== undefined;
    if (!replaced(lib, prepared, present)) {
      if (target) attachSockOps(lib, prepared, target, home);
      else attachControl(lib, prepared, name, home);
    }
  } catch (error) {
    removeTree(join(home, `gen-${prepared.id}`));
    if (!present) removeTree(home);
    throw error;
  }
  removeOthers(home, prepared.id);
}

/** Is its name away? The kernel takes its time where only the last pin goes. */
async function untilUnnamed(name: string): Promise<void> {
  for (const end = performance.now() + PATIENCE_MS; performance.now() < end; await Bun.sleep(5))
    if (!availableAlgorithms().includes(name)) return;
}

/** enum bpf_map_type: BPF_MAP_TYPE_STRUCT_OPS */
const OPS_MAP = 26;

/** Is it there, and not another map that has got its number? */
function isMap(lib: Bridge, id: number): boolean {
  const fd = lib.tcpx_map_open(id);
  if (fd < 0) return false;
  using map = new Fd(lib, fd);
  return mapType(lib, map.fd) === OPS_MAP;
}

/** What a congestion control has replaced, and connections still have, once it is replaced itself. */
function earlier(lib: Bridge, present: LoadedProgram | undefined): number[] {
  const all = present ? [present.id, ...(present.about?.before ?? [])] : [];
  return all.filter((id) => isMap(lib, id)).slice(0, EARLIER_MOST);
}

/** Do sockets still hold a congestion control that has no name any more, or one that it had replaced? */
async function isHeld(lib: Bridge, ids: readonly number[]): Promise<boolean> {
  for (let attempt = 0; attempt < 20; attempt++, await Bun.sleep(5))
    if (!ids.some((id) => isMap(lib, id))) return false;
  return true;
}

function detach(lib: Bridge, { home }: LoadedProgram): void {
  {
    using map = openPin(lib, join(home, "ops"));
    if (map) lib.tcpx_map_delete(map.fd, KEY); // it may not have come to be registered
  }
  using link = openPin(lib, join(home, "link"));
  if (link) lib.tcpx_link_detach(link.fd); // older kernels cannot: it goes with its pin
}

/**
 * Takes a program away.
 * @returns whether sockets still use it, which keep it until they close
 */
export async function uninstall(lib: Bridge, program: LoadedProgram): Promise<boolean> {
  const { home, kind, isInForce, name, id, about } = program;
  try {
    detach(lib, program);
  } finally {
    removeTree(home);
  }
  if (kind !== "congestion" || !isInForce) return false;
  await untilUnnamed(name);
  return isHeld(lib, [id, ...(about?.before ?? [])]);
}

/** Removes what killed commands and removed cgroups have left. @returns programs that went with their cgroups */
export async function tidy(lib: Bridge, held: Lock): Promise<LoadedProgram[]> {
  const gone: LoadedProgram[] = [];
  for (const program of readPrograms(lib, held.bpffs)) {
    if (isLeft(program)) {
      await uninstall(lib, program);
      if (program.isGone && program.linkId !== 0) gone.push(program);
    } else removeOthers(program.home, program.id);
  }
  sweep(held.bpffs);
  return gone;
}

/** Directories with nothing in them. */
export function sweep(bpffs: string): void {
  const top = programsDir(bpffs);
  const left = new Set(
    places(bpffs).map(({ where }) => (where === undefined ? "congestion" : String(where))),
  );
  for (const name of listPins(top)) if (!left.has(name)) removeTree(join(top, name));
  if (left.size === 0) removeTree(top);
}

/** All of them, whatever they are: for a reset. @returns names that the kernel still has */
export async function removePrograms(lib: Bridge, bpffs: string): Promise<string[]> {
  const all = readPrograms(lib, bpffs);
  for (const program of all) {
    try {
      await uninstall(lib, program);
    } catch {
      // what is in the way there is found by whoever removes the rest
    }
  }
  const names = all
    .filter(({ kind, isInForce }) => kind === "congestion" && isInForce)
    .map(({ name }) => name);
  return names.filter((name) => availableAlgorithms().includes(name));
}
