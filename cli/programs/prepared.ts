// SPDX-License-Identifier: MIT
// An object that the kernel has verified, and that is not in force yet.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, cstr, Errno, lacksRoom, logMark, logSince, unwrap } from "../bridge/bridge.ts";
import { mapId, progInfo } from "../bridge/maps.ts";
import { openBytes } from "../bridge/open-object.ts";
import { loadError } from "../loader/load-error.ts";
import { verifierSummary } from "../objects/verifier-log.ts";
import { hasOpsLinks, hasStructOps } from "./kernel.ts";
import type { ProgramObject } from "./object.ts";
import { type Settings, writeSettings } from "./variables.ts";

export interface Prepared extends Disposable {
  /** Of the program, or of a congestion control's map. */
  fd: number;
  id: number;
  programs: { name: string; id: number; tag: string }[];
  /** A congestion control that a link is to hold. */
  isLinked: boolean;
  /** Puts a congestion control into force, or makes it ready for its link. */
  set(): void;
}

/** @throws TcpxError (unsupported) */
function requireStructOps(): void {
  if (hasStructOps() !== false) return;
  throw new TcpxError(Exit.UNSUPPORTED, "this kernel has no congestion controls of BPF programs", {
    hint: "needed is Linux >= 5.6 with CONFIG_BPF_JIT and struct_ops for tcp_congestion_ops (BTF has no bpf_struct_ops_tcp_congestion_ops)",
  });
}

/** Why the kernel did not take it. */
async function refusedBy(
  lib: Bridge,
  { file, bytes }: ProgramObject,
  result: number,
  log: string,
): Promise<TcpxError> {
  const error = new Errno("load", -result);
  if (error.code === "EPERM" || lacksRoom(error.code)) return loadError(lib, error);
  const reason = verifierSummary(log, [{ name: file, bytes }]) ?? error.code;
  return new TcpxError(Exit.UNSUPPORTED, `this kernel refuses ${file}: ${reason}`, {
    value: file,
    hint: "the verifier's words are in --verbose",
    cause: error,
  });
}

function configure(lib: Bridge, object: bigint, wanted: ProgramObject, settings: Settings): void {
  const { file, rodata, variables } = wanted;
  if (rodata && Object.keys(settings).length > 0) {
    const values = new Uint8Array(rodata);
    writeSettings(values, variables, settings);
    unwrap("variables", lib.tcpx_object_rodata(object, values, BigInt(values.length)));
  }
  if (unwrap("pins of maps", lib.tcpx_program_pinned(object)) === 0) return;
  const hint = "leave 'pinning' out of it: bpftool finds maps by their names, too";
  throw new TcpxError(Exit.USAGE, `${file} has a map that is pinned by its name`, { value: file, hint });
}

/**
 * Has the kernel verify an object.
 * @throws TcpxError when it refuses
 */
export async function prepare(lib: Bridge, wanted: ProgramObject, settings: Settings): Promise<Prepared> {
  if (wanted.ops) requireStructOps();
  lib.tcpx_raise_memlock();
  const mark = logMark(lib);
  const object = openBytes(lib, wanted.bytes, "program");
  try {
    configure(lib, object, wanted, settings);
    const isLinked = wanted.ops !== undefined && hasOpsLinks();
    const variable = cstr(wanted.ops?.variable ?? "");
    if (isLinked) unwrap("link", lib.tcpx_ops_linked(object, variable));
    const result = lib.tcpx_object_load(object);
    if (result < 0) throw await refusedBy(lib, wanted, result, logSince(lib, mark));
    const programs = wanted.programs.flatMap((name) => {
      const fd = lib.tcpx_object_prog_fd(object, cstr(name));
      if (fd < 0) return [];
      const { id, tag } = progInfo(lib, fd);
      return [{ name, id, tag }];
    });
    const fd = wanted.ops
      ? unwrap("map", lib.tcpx_object_map_fd(object, variable))
      : unwrap("program", lib.tcpx_object_prog_fd(object, cstr(wanted.programs[0]!)));
    return {
      ...{ fd, programs, isLinked },
      id: wanted.ops ? mapId(lib, fd) : programs[0]!.id,
      set: () => void unwrap("register", lib.tcpx_ops_set(object, variable)),
      [Symbol.dispose]: () => lib.tcpx_object_close(object),
    };
  } catch (error) {
    lib.tcpx_object_close(object);
    throw error;
  }
}
