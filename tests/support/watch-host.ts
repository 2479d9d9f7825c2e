// SPDX-License-Identifier: MIT
// Two hosts and their watchers, and what the pinned maps say of these.
import { expect } from "bun:test";
import { join } from "node:path";
import { type Bridge, bridge } from "../../cli/bridge/bridge.ts";
import { lookup, openPin } from "../../cli/bridge/maps.ts";
import { structs, WatchSlot } from "../../cli/layout/layout.generated.ts";
import { decode } from "../../cli/layout/struct.ts";
import { layoutDir } from "../../cli/loader/pins.ts";
import { LONGEST, Watched } from "../../cli/observe/watched.ts";
import { findBpffs } from "../../cli/system/host.ts";
import { type Connection, connectPeers } from "./lab.ts";
import { UtoLab } from "./uto-lab.ts";
import { Watch, type WatchOptions } from "./watch-lab.ts";

export class WatchHost implements AsyncDisposable {
  private open: Watch[] = [];

  private constructor(
    readonly u: UtoLab,
    private readonly lib: Bridge,
  ) {}

  static async create(): Promise<WatchHost> {
    return new WatchHost(await UtoLab.create(), await bridge());
  }

  /** Ends what a test has left: watchers, and rules. */
  async clear(): Promise<void> {
    for (const watch of this.open.splice(0)) await watch.end("SIGKILL");
    await this.u.clear();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.u[Symbol.asyncDispose]();
  }

  scope(): string[] {
    return ["--cgroup", this.u.client.cgroup];
  }

  async watch(args: readonly string[] = this.scope(), options: WatchOptions = {}): Promise<Watch> {
    const started = await Watch.start(this.u.lab, args, options);
    this.open.push(started);
    return started;
  }

  connect(): Promise<Connection> {
    return connectPeers(this.u.client.peer, this.u.server.peer, this.u.server.v4);
  }

  private pinned(name: string) {
    return openPin(this.lib, join(layoutDir(findBpffs(this.lib)!), name))!;
  }

  /** What the maps say of the watcher. */
  wish(slot: keyof typeof WatchSlot) {
    using map = this.pinned("watch");
    const key = new Uint8Array(new Uint32Array([WatchSlot[slot]]).buffer);
    return decode("tcpx_watch", lookup(this.lib, map.fd, key, structs.tcpx_watch.size));
  }

  /** Takes away what nobody has read: how many events. */
  unread(): number {
    using map = this.pinned("events");
    const out = new BigUint64Array(1);
    expect(this.lib.tcpx_ring_open(map.fd, out)).toBe(0);
    const bytes = new Uint8Array(100 * LONGEST);
    let count = 0;
    for (let n = 1; n > 0; ) {
      n = this.lib.tcpx_ring_take(out[0]!, bytes, LONGEST, bytes.length);
      const list = new Watched(bytes.subarray(0, n));
      for (let at = 0; at < n; at = list.after(at)) count += list.count(at);
    }
    this.lib.tcpx_ring_close(out[0]!);
    return count;
  }

  now(): bigint {
    const out = new BigUint64Array(1);
    expect(this.lib.tcpx_monotonic(out)).toBe(0);
    return out[0]!;
  }
}
