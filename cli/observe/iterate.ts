// SPDX-License-Identifier: MIT
// Has the kernel list the sockets: embedded-bpf/list.bpf.c, once per network namespace.

import { readFileSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Bridge, cstr, Errno, isErrno, unwrap } from "../bridge/bridge.ts";
import { type Fd, mapId, openPin, valueSize } from "../bridge/maps.ts";
import { openObject } from "../bridge/open-object.ts";
import { SLOTS } from "../extensions/slots.ts";
import { encode, sizeOf } from "../layout/struct.ts";
import { loadError } from "../loader/load-error.ts";
import { layoutDir } from "../loader/pins.ts";
import { siteIfReadable } from "../loader/site-map.ts";
import { SlotMaps } from "../loader/slot-maps.ts";
import { slotMap } from "../loader/slots.ts";
import { findBpffs } from "../system/host.ts";
import { type Namespace, ownNamespace } from "../system/netns.ts";
import { Listed } from "./listed.ts";
import { recordSize } from "./listed-slots.ts";
import { askRoutes } from "./routed.ts";

/** The pinned state of connections; undefined without rules, or when another build made it; null: it is not for us. */
function openConns(lib: Bridge, bpffs: string | undefined): Fd | undefined | null {
  let map: Fd | undefined;
  try {
    map = bpffs === undefined ? undefined : openPin(lib, join(layoutDir(bpffs), "conns"));
  } catch (error) {
    if (isErrno(error, "EACCES", "EPERM")) return null;
    throw error;
  }
  if (!map || valueSize(lib, map.fd) === sizeOf("tcpx_conn")) return map;
  map[Symbol.dispose]();
  return undefined;
}

interface Program {
  name: string;
  /** Without what only the helpers that read memory can see: kernel lockdown may forbid them. */
  noReads: boolean;
}

/** For kernels from 5.11 on, locked down, or older. */
const PROGRAMS: readonly Program[] = [
  { name: "list", noReads: false },
  { name: "list", noReads: true },
  { name: "list_by_hand", noReads: false },
];

/** What the program has to know of slots. */
function encodeSlots(lib: Bridge, { at }: SlotMaps): Uint8Array {
  const ids = Array.from({ length: SLOTS }, (_, slot) => (at.has(slot) ? mapId(lib, at.get(slot)!.fd) : 0));
  const used = [...at.keys()].reduce((bits, slot) => bits | (1 << slot), 0);
  return encode("tcpx_list_slots", { used, reserved: 0, ids });
}

/** The loaded program; it and its map end with the object. */
class Lister implements Disposable {
  private constructor(
    private readonly lib: Bridge,
    private readonly object: bigint,
    private readonly program: Program,
  ) {}

  static async load(
    lib: Bridge,
    scope: bigint,
    conns: Fd | undefined,
    slots: SlotMaps,
    programs: readonly Program[],
  ): Promise<Lister> {
    lib.tcpx_raise_memlock();
    const config = {
      scope,
      conns_id: conns ? mapId(lib, conns.fd) : 0,
      jiffy_us: unwrap("tick", lib.tcpx_jiffy_us()),
    };
    let result = 0;
    for (const program of programs) {
      const object = await openObject(lib, slots.at.size > 0 ? "list-slots" : "list");
      const lister = new Lister(lib, object, program);
      const no_reads = program.noReads ? 1n : 0n;
      result = lister.tryLoad(encode("tcpx_list_config", { ...config, no_reads }), conns, slots);
      if (result >= 0) return lister;
      lister[Symbol.dispose]();
    }
    throw await loadError(lib, new Errno("load", -result), ["socket_iterator"]);
  }

  private tryLoad(config: Uint8Array, conns: Fd | undefined, slots: SlotMaps): number {
    const { lib, object } = this;
    const constants = slots.at.size > 0 ? Buffer.concat([config, encodeSlots(lib, slots)]) : config;
    unwrap("autoload", lib.tcpx_object_autoload(object, null, 0));
    unwrap("autoload", lib.tcpx_object_autoload(object, cstr(this.program.name), 1));
    unwrap("configure", lib.tcpx_object_rodata(object, constants, BigInt(constants.length)));
    if (conns) unwrap("reuse conns", lib.tcpx_object_reuse_map(object, cstr("conns"), conns.fd));
    for (const [slot, { fd }] of slots.at)
      unwrap("reuse slots", lib.tcpx_object_reuse_map(object, cstr(slotMap(slot)), fd));
    return lib.tcpx_object_load(object);
  }

  /** Bytes written to the buffer; undefined: it was too small; null: we are not let into the namespace. */
  run({ path, inode }: Namespace, into: Uint8Array): number | undefined | null {
    const program = unwrap("program", this.lib.tcpx_object_prog_fd(this.object, cstr(this.program.name)));
    const own = inode === ownNamespace().inode; // needs no leave to enter
    const wrote = this.lib.tcpx_iterate(program, own ? null : cstr(path), into, into.length);
    const error = wrote < 0 ? new Errno("list sockets", -wrote) : undefined;
    if (!error) return wrote;
    if (isErrno(error, "ENOSPC")) return undefined;
    if (!own && isErrno(error, "EPERM", "EACCES")) return null;
    throw error;
  }

  [Symbol.dispose](): void {
    this.lib.tcpx_object_close(this.object);
  }
}

/** TCP sockets of a namespace by its own count, which knows of those in no hash table, too. */
function countSockets({ path }: Namespace): number {
  const net = join(dirname(dirname(path)), "net");
  const inUse = (file: string, word: string) => {
    try {
      return Number(
        new RegExp(`^${word}: inuse (\\d+)`, "m").exec(readFileSync(join(net, file), "utf8"))?.[1],
      );
    } catch {
      return 0; // its process has ended
    }
  };
  return (inUse("sockstat", "TCP") || 0) + (inUse("sockstat6", "TCP6") || 0);
}

/** Room for a namespace's sockets, and for those that come meanwhile. */
const roomFor = (sockets: number, record: number) => (Math.ceil(sockets * 1.1) + 256) * record;

function withRoom(buffer: Uint8Array, used: number, room: number): Uint8Array {
  if (buffer.length - used >= room) return buffer;
  const larger = new Uint8Array(used + room);
  larger.set(buffer.subarray(0, used));
  return larger;
}

/**
 * Lists the sockets of these namespaces, and all listeners in them.
 * @param scope id of the cgroup that they were made in, or below; 0: all
 * @param programs the first one that loads does it
 * @throws TcpxError when the kernel refuses the program
 */
export async function listSockets(
  lib: Bridge,
  scope: bigint,
  where: readonly Namespace[],
  programs: readonly Program[] = PROGRAMS,
): Promise<Listed> {
  const bpffs = findBpffs(lib);
  using conns = openConns(lib, bpffs);
  using maps = conns && bpffs !== undefined ? SlotMaps.open(lib, bpffs) : SlotMaps.NONE;
  using lister = await Lister.load(lib, scope, conns ?? undefined, maps, programs);
  const slots = [...maps.at.keys()];
  const record = recordSize(slots);
  const tickUs = unwrap("tick", lib.tcpx_jiffy_us());
  let buffer: Uint8Array = new Uint8Array(0);
  let used = 0;
  let refused = 0;
  for (const namespace of where) {
    // a process may have ended since, and its pid be another one's
    if (statSync(namespace.path, { throwIfNoEntry: false })?.ino !== namespace.inode) continue;
    let room = roomFor(countSockets(namespace), record);
    for (;;) {
      buffer = withRoom(buffer, used, room);
      const wrote = lister.run(namespace, buffer.subarray(used));
      if (wrote !== undefined) {
        const got = buffer.subarray(used, used + (wrote ?? 0));
        if (wrote) askRoutes(lib, new Listed(got, tickUs, undefined, undefined, slots), namespace);
        used += wrote ?? 0;
        if (wrote === null) refused++;
        break;
      }
      room *= 2;
    }
  }
  const lacks = { refused, blind: conns === null };
  return new Listed(buffer.subarray(0, used), tickUs, siteIfReadable(lib), lacks, slots);
}
