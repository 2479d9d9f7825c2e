// SPDX-License-Identifier: MIT
// Sockets as the iterator `list` writes them. There may be 100,000: struct.ts is too general for that.

import { structs } from "../layout/layout.generated.ts";
import { LITTLE, type Struct } from "../layout/struct.ts";

export type Socket = Struct<"tcpx_live_socket">;

const { size, fields: at } = structs.tcpx_live_socket;
const ADDRESS = 16;

/** Innermost first; unused places are 0. */
function scopesOf(view: DataView, from: number): bigint[] {
  const ids: bigint[] = [];
  for (let i = 0; i < at.scopes.dims[0]; i++) {
    const id = view.getBigUint64(from + at.scopes.offset + 8 * i, LITTLE);
    if (id === 0n) break;
    ids.push(id);
  }
  return ids;
}

/** By extension. */
function rulesOf(view: DataView, from: number): number[] {
  const [length] = at.local_rules.dims;
  return Array.from({ length }, (_, ext) => view.getUint32(from + 4 * ext, LITTLE));
}

/** The addresses are views of `bytes`. */
export function decodeSockets(bytes: Uint8Array): Socket[] {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const sockets: Socket[] = [];
  for (let from = 0; from + size <= bytes.length; from += size) {
    const remote = from + at.remote.offset;
    sockets.push({
      cookie: view.getBigUint64(from + at.cookie.offset, LITTLE),
      netns_cookie: view.getBigUint64(from + at.netns_cookie.offset, LITTLE),
      scopes: scopesOf(view, from),
      local_rules: rulesOf(view, from + at.local_rules.offset),
      ask_rules: rulesOf(view, from + at.ask_rules.offset),
      state: view.getUint8(from + at.state.offset),
      family: view.getUint8(from + at.family.offset),
      direction: view.getUint8(from + at.direction.offset),
      reserved: 0,
      local_port: view.getUint16(from + at.local_port.offset, LITTLE),
      remote_port: view.getUint16(from + at.remote_port.offset, LITTLE),
      remote: bytes.subarray(remote, remote + ADDRESS),
    });
  }
  return sockets;
}
