// SPDX-License-Identifier: MIT
// The loaded ACK thinner: its maps, its attachments, its counters. Nothing of it is pinned: when the
// process ends, so does thinning.

import { type Bridge, cstr, Errno, unwrap } from "../bridge/bridge.ts";
import { EGRESS, INGRESS } from "../bridge/maps.ts";
import { openObject } from "../bridge/open-object.ts";
import { ThinCounter } from "../layout/layout.generated.ts";
import { decode, encode, sizeOf } from "../layout/struct.ts";
import { loadError } from "../loader/load-error.ts";

/** Entries of the counters that are read at once; the map holds no more. */
const RULES_MOST = 16384;

/** An ACK is held for this long at most: wait so long between detaching and stopping the thread. */
export const HELD_MOST_MS = 200;

/** In the order of the numbers that counters() returns. */
export const THIN_COUNTER_NAMES = Object.entries(ThinCounter)
  .filter(([name]) => name !== "COUNT")
  .map(([name]) => name.toLowerCase());

/** Descriptors of the pinned maps; without them the thinner has maps of its own. */
export interface ThinnerMaps {
  conns?: number;
  served?: number;
}

export interface ThinnerConfig {
  /** After how many milliseconds without a held ACK a connection's timer goes. */
  idleMs: number;
  /** When the agent reads nothing for so many milliseconds, nothing is held back any more. */
  stallMs: number;
}

const THINNER_DEFAULTS: ThinnerConfig = { idleMs: 30_000, stallMs: 500 };

export class Thinner implements Disposable {
  /** Links by cgroup id: ingress, egress. */
  private readonly links = new Map<bigint, number[]>();

  private constructor(
    private readonly lib: Bridge,
    private readonly object: bigint,
  ) {}

  /** @throws TcpxError with exit code 3 when the kernel refuses the programs (before 5.15) */
  static async load(lib: Bridge, maps: ThinnerMaps = {}, config = THINNER_DEFAULTS): Promise<Thinner> {
    lib.tcpx_raise_memlock();
    const thinner = new Thinner(lib, await openObject(lib, "thinner"));
    try {
      thinner.configure(maps, config);
      const loaded = lib.tcpx_object_load(thinner.object);
      if (loaded < 0)
        throw await loadError(lib, new Errno("load", -loaded), [
          "socket_storage",
          "ring_buffer",
          "bpf_timers",
        ]);
      return thinner;
    } catch (error) {
      thinner[Symbol.dispose]();
      throw error;
    }
  }

  private configure(maps: ThinnerMaps, { idleMs, stallMs }: ThinnerConfig): void {
    const ns = (ms: number) => BigInt(Math.round(ms * 1e6));
    const rodata = encode("tcpx_thin_config", { idle_ns: ns(idleMs), stall_ns: ns(stallMs) });
    unwrap("configure", this.lib.tcpx_object_rodata(this.object, rodata, BigInt(rodata.length)));
    for (const [name, fd] of Object.entries(maps) as [string, number | undefined][]) {
      if (fd === undefined) continue;
      unwrap(`reuse ${name}`, this.lib.tcpx_object_reuse_map(this.object, cstr(name), fd));
    }
  }

  private program(name: string): number {
    return unwrap(`program ${name}`, this.lib.tcpx_object_prog_fd(this.object, cstr(name)));
  }

  /** Descriptor of a map; it stays the thinner's. */
  map(name: "conns" | "flows" | "held" | "holds" | "served" | "thinned"): number {
    return unwrap(`map ${name}`, this.lib.tcpx_object_map_fd(this.object, cstr(name)));
  }

  /** The programs' descriptors, for their run statistics. */
  get programs(): { ingress: number; egress: number } {
    return { ingress: this.program("ack_ingress"), egress: this.program("ack_egress") };
  }

  /** The ring buffer that the agent's thread reads. */
  get heldFd(): number {
    return this.map("held");
  }

  get holdsFd(): number {
    return this.map("holds");
  }

  get servedFd(): number {
    return this.map("served");
  }

  /** Ids of the cgroups that it is attached to. */
  get attached(): bigint[] {
    return [...this.links.keys()];
  }

  /**
   * Attaches both programs to a cgroup; nothing happens when they are already.
   * @param id of the cgroup, the inode number of its directory
   * @param cgroupFd the open directory; may be closed afterwards
   * @throws Errno EPERM when a foreign program attached without BPF_F_ALLOW_MULTI blocks it
   */
  attach(id: bigint, cgroupFd: number): void {
    if (this.links.has(id)) return;
    const links: number[] = [];
    this.links.set(id, links);
    try {
      // what arrives is looked at before anything is held back
      for (const [name, type] of [["ack_ingress", INGRESS] as const, ["ack_egress", EGRESS] as const]) {
        const made = this.lib.tcpx_link_create(this.program(name), cgroupFd, type);
        links.push(unwrap(`attach ${name}`, made));
      }
    } catch (error) {
      this.detach(id);
      throw error;
    }
  }

  /** From its return on nothing more is held back there. What is held is still sent. */
  detach(id: bigint): void {
    const links = this.links.get(id) ?? [];
    this.links.delete(id);
    for (const link of links.reverse()) {
      this.lib.tcpx_link_detach(link);
      this.lib.tcpx_close(link);
    }
  }

  /** What was counted by rule id, in the order of THIN_COUNTER_NAMES. */
  counters(): Map<number, number[]> {
    const cpus = unwrap("possible CPUs", this.lib.tcpx_possible_cpus());
    const size = sizeOf("tcpx_thin_counters");
    const fd = this.map("thinned");
    let room = 64;
    let keys = new Uint32Array(room);
    let values = new Uint8Array(room * size * cpus);
    let count = unwrap("counters", this.lib.tcpx_map_lookup_batch(fd, keys, values, room));
    while (count === room && room < RULES_MOST) {
      room *= 4;
      keys = new Uint32Array(room);
      values = new Uint8Array(room * size * cpus);
      count = unwrap("counters", this.lib.tcpx_map_lookup_batch(fd, keys, values, room));
    }
    const rules = new Map<number, number[]>();
    for (let rule = 0; rule < count; rule++) {
      const sums = THIN_COUNTER_NAMES.map(() => 0);
      for (let cpu = 0; cpu < cpus; cpu++) {
        const slot = decode("tcpx_thin_counters", values, (rule * cpus + cpu) * size);
        for (const [i, n] of slot.count.entries()) sums[i]! += Number(n);
      }
      rules.set(keys[rule]!, sums);
    }
    return rules;
  }

  /** Detaches everything; ACKs that are held at this moment are lost, see HELD_MOST_MS. */
  [Symbol.dispose](): void {
    for (const id of this.attached) this.detach(id);
    this.lib.tcpx_object_close(this.object);
  }
}
