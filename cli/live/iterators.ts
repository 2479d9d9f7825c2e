// SPDX-License-Identifier: MIT
// The iterators of embedded-bpf/live.bpf.c, loaded for one command and gone with it.

import { statSync } from "node:fs";
import { join } from "node:path";
import { type Bridge, cstr, Errno, isErrno, unwrap } from "../bridge/bridge.ts";
import { type Fd, indexes, lookup, openPin, update } from "../bridge/maps.ts";
import { openObject } from "../bridge/open-object.ts";
import { encodeLiveSlot, FIRST_SLOT } from "../extensions/slots.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { decode, encode, encodeAll, type Struct, sizeOf } from "../layout/struct.ts";
import { layoutDir, scopeDir } from "../loader/pins.ts";
import { encodeExids, encodeSite } from "../loader/records.ts";
import { readSite } from "../loader/site-map.ts";
import { SlotMaps } from "../loader/slot-maps.ts";
import type { SlotObject } from "../loader/slots.ts";
import { findBpffs } from "../system/host.ts";
import { type Namespace, ownNamespace } from "../system/netns.ts";
import { openSlot } from "./slot.ts";

const FIRST_BUFFER = 1 << 20;
const LAST_BUFFER = 1 << 30;

export type Order = Partial<Struct<"tcpx_live_order">>;
export type Target = Partial<Struct<"tcpx_live_target">>;
export type Tally = Struct<"tcpx_live_tally">;

/** The connections' state and a scope's counters; a change of rules may unpin them meanwhile. */
export class State implements Disposable {
  private constructor(
    readonly conns: Fd | undefined,
    readonly counters: Fd | undefined,
    readonly slots = SlotMaps.NONE,
  ) {}

  /** Maps of an object's own. */
  static readonly NONE = new State(undefined, undefined);

  /** What is pinned now; nothing when there are no rules at all. */
  static open(lib: Bridge, scope: bigint): State {
    const bpffs = findBpffs(lib);
    if (bpffs === undefined) return new State(undefined, undefined);
    const conns = openPin(lib, join(layoutDir(bpffs), "conns"));
    const counters = openPin(lib, join(scopeDir(bpffs, scope), "counters"));
    return new State(conns, counters, SlotMaps.open(lib, bpffs));
  }

  [Symbol.dispose](): void {
    this.conns?.[Symbol.dispose]();
    this.counters?.[Symbol.dispose]();
    this.slots[Symbol.dispose]();
  }
}

export type LiveProgram = "arm" | "change" | "list" | "restore";

export interface Load {
  program: LiveProgram;
  /** Cgroup id. */
  scope: bigint;
  state: State;
  /** Ids of the cgroups that have rules. */
  scopes?: bigint[];
  orders?: Order[];
  /** By socket cookie. */
  targets?: Map<bigint, Target>;
  /** The extension that it is for, when tcpx does not ship it. */
  slot?: SlotObject | undefined;
}

/** One loaded iterator. */
export class LiveObject implements Disposable {
  private constructor(
    private readonly lib: Bridge,
    private readonly object: bigint,
    private readonly load: Load,
  ) {}

  /** @throws Errno when this kernel does not take it, TcpxError when an extension's object cannot be linked */
  static async load(lib: Bridge, load: Load): Promise<LiveObject> {
    lib.tcpx_raise_memlock();
    const object = load.slot ? await openSlot(lib, load.slot) : await openObject(lib, "live");
    const live = new LiveObject(lib, object, load);
    try {
      live.configure();
      unwrap("load", lib.tcpx_object_load(live.object));
      live.fill();
      return live;
    } catch (error) {
      live[Symbol.dispose]();
      throw error;
    }
  }

  private configure(): void {
    const { lib, object, load } = this;
    const { conns, counters } = load.state;
    const jiffy = unwrap("tick", lib.tcpx_jiffy_us());
    const site = readSite(lib);
    const config = encode("tcpx_config", {
      ...{ layout: LAYOUT_VERSION, scope: load.scope, jiffy_us: jiffy, site: encodeSite(site) },
      ...{ uses: 0xffff_ffff, exids: encodeExids(site) },
    });
    if (load.slot) {
      const constants = Buffer.concat([config, encode("tcpx_live_slot", encodeLiveSlot(load.slot))]);
      unwrap("configure", lib.tcpx_object_rodata_begin(object, constants, BigInt(constants.length)));
    } else {
      unwrap("configure", lib.tcpx_object_rodata(object, config, BigInt(config.length)));
    }
    unwrap("autoload", lib.tcpx_object_autoload(object, null, 0));
    unwrap("autoload", lib.tcpx_object_autoload(object, cstr(load.program), 1));
    const slot0 = load.slot && load.state.slots.at.get(load.slot.id - FIRST_SLOT);
    for (const [map, fd] of Object.entries({ conns, counters, slot0 })) {
      if (fd) unwrap(`reuse ${map}`, lib.tcpx_object_reuse_map(object, cstr(map), fd.fd));
    }
    const sizes = {
      scopes: load.scopes?.length,
      orders: load.orders?.length,
      targets: load.targets?.size,
    };
    for (const [map, size] of Object.entries(sizes)) {
      if (size) unwrap(`size of ${map}`, lib.tcpx_object_max_entries(object, cstr(map), size));
    }
  }

  private fill(): void {
    const { lib, load } = this;
    const { scopes = [], orders = [], targets = new Map<bigint, Target>() } = load;
    const ids = new Uint8Array(BigUint64Array.from(scopes).buffer);
    update(lib, this.map("scopes"), ids, new Uint8Array(scopes.length).fill(1), scopes.length);
    const list = encodeAll("tcpx_live_order", orders);
    update(lib, this.map("orders"), indexes(orders.length), list, orders.length);
    const cookies = new Uint8Array(BigUint64Array.from(targets.keys()).buffer);
    const values = encodeAll("tcpx_live_target", [...targets.values()]);
    update(lib, this.map("targets"), cookies, values, targets.size);
  }

  private map(name: string): number {
    return unwrap(`map ${name}`, this.lib.tcpx_object_map_fd(this.object, cstr(name)));
  }

  /** Namespaces that we are not let into. */
  refused = 0;

  /**
   * Runs it over all sockets of a namespace.
   * @returns what it wrote; undefined when the namespace has gone, or we are not let into it
   */
  run({ path, inode }: Namespace): Uint8Array | undefined {
    // a process may have ended since, and its pid be another one's
    if (statSync(path, { throwIfNoEntry: false })?.ino !== inode) return undefined;
    const own = inode === ownNamespace().inode; // needs no leave to enter
    const program = unwrap("program", this.lib.tcpx_object_prog_fd(this.object, cstr(this.load.program)));
    for (let size = FIRST_BUFFER; ; size *= 4) {
      const bytes = new Uint8Array(size);
      const result = this.lib.tcpx_iterate(program, own ? null : cstr(path), bytes, size);
      if (result >= 0) return bytes.subarray(0, result);
      const error = new Errno(`iterate ${path}`, -result);
      if (isErrno(error, "ENOENT")) return undefined;
      if (isErrno(error, "EPERM", "EACCES")) {
        this.refused++;
        return undefined;
      }
      if (!isErrno(error, "ENOSPC") || size >= LAST_BUFFER) throw error;
    }
  }

  /** The targets with their results. */
  results(): Map<bigint, Struct<"tcpx_live_target">> {
    const count = this.load.targets?.size ?? 0;
    if (count === 0) return new Map();
    const size = sizeOf("tcpx_live_target");
    const [keys, values] = [new BigUint64Array(count), new Uint8Array(count * size)];
    const fd = this.map("targets");
    const read = unwrap("map read", this.lib.tcpx_map_lookup_batch(fd, keys, values, count));
    const pairs = Array.from({ length: read }, (_, i): [bigint, Struct<"tcpx_live_target">] => [
      keys[i]!,
      decode("tcpx_live_target", values, i * size),
    ]);
    return new Map(pairs);
  }

  tally(): Tally {
    const size = sizeOf("tcpx_live_tally");
    return decode("tcpx_live_tally", lookup(this.lib, this.map("tally"), new Uint8Array(4), size));
  }

  [Symbol.dispose](): void {
    this.lib.tcpx_object_close(this.object);
  }
}
