// SPDX-License-Identifier: MIT
// What extensions that tcpx does not ship keep of connections, as it is pinned for the host.

import { join } from "node:path";
import type { Bridge } from "../bridge/bridge.ts";
import { type Fd, openPin, valueSize } from "../bridge/maps.ts";
import { SLOTS } from "../extensions/slots.ts";
import { sizeOf } from "../layout/struct.ts";
import { layoutDir } from "./pins.ts";
import { slotMap } from "./slots.ts";

/** By slot; only those that connections may have state in, and that this build reads. */
export class SlotMaps implements Disposable {
  private constructor(readonly at: ReadonlyMap<number, Fd>) {}

  static readonly NONE = new SlotMaps(new Map());

  static open(lib: Bridge, bpffs: string): SlotMaps {
    const dir = layoutDir(bpffs);
    const found = new Map<number, Fd>();
    for (let slot = 0; slot < SLOTS; slot++) {
      const map = openPin(lib, join(dir, slotMap(slot)));
      if (map && valueSize(lib, map.fd) === sizeOf("tcpx_slot_conn")) found.set(slot, map);
      else map?.[Symbol.dispose]();
    }
    return new SlotMaps(found);
  }

  [Symbol.dispose](): void {
    for (const map of this.at.values()) map[Symbol.dispose]();
  }
}
