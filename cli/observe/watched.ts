// SPDX-License-Identifier: MIT
// The kernel's events (struct tcpx_watched), read in place.

import { structs } from "../loader/layout.generated.ts";

export const RECORD = structs.tcpx_watched.size;
const AT = structs.tcpx_watched.fields;
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;
/** 32-bit numbers from the scope to the namespace. */
const PLACE = (AT.netns.offset + 4 - AT.scope.offset) / 4;
/** Numbers that tell one connection, or its owner, from another. */
export const PLACE_NUMBERS = PLACE + 1;

/** One buffer of records; `at` is where a record begins. */
export class Watched {
  private readonly view: DataView;

  /** @param full there may be more where these came from */
  constructor(
    readonly bytes: Uint8Array,
    readonly full = false,
  ) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  }

  /** Nanoseconds since boot, as exact as a double can have it. */
  atNs(at: number): number {
    const [low, high] = [0, 4].map((i) => this.view.getUint32(at + AT.at_ns.offset + i, LITTLE));
    return LITTLE ? high! * 2 ** 32 + low! : low! * 2 ** 32 + high!;
  }

  /** Scope, addresses, ports and namespace as numbers, then family and direction. */
  place(at: number, i: number): number {
    if (i < PLACE) return this.view.getUint32(at + AT.scope.offset + 4 * i, LITTLE);
    return this.view.getUint16(at + AT.family.offset, LITTLE);
  }

  scope = (at: number) => this.view.getBigUint64(at + AT.scope.offset, LITTLE);
  localAt = (at: number) => at + AT.local.offset;
  remoteAt = (at: number) => at + AT.remote.offset;
  localPort = (at: number) => this.view.getUint16(at + AT.local_port.offset, LITTLE);
  remotePort = (at: number) => this.view.getUint16(at + AT.remote_port.offset, LITTLE);
  netns = (at: number) => this.view.getUint32(at + AT.netns.offset, LITTLE);
  asked = (at: number) => this.view.getUint32(at + AT.asked.offset, LITTLE);
  granted = (at: number) => this.view.getUint32(at + AT.granted.offset, LITTLE);
  family = (at: number) => this.view.getUint8(at + AT.family.offset);
  direction = (at: number) => this.view.getUint8(at + AT.direction.offset);
  ext = (at: number) => this.view.getUint8(at + AT.ext.offset);
  event = (at: number) => this.view.getUint8(at + AT.event.offset);
  reason = (at: number) => this.view.getUint8(at + AT.reason.offset);
}
