// SPDX-License-Identifier: MIT
// Which route the kernel takes for connections whose mark asks for one: the socket's own may be of before a change of
// routing, or not be there yet.

import { type Bridge, cstr } from "../bridge/bridge.ts";
import { ListFlag } from "../layout/layout.generated.ts";
import { LITTLE } from "../layout/struct.ts";
import { type Namespace, ownNamespace } from "../system/netns.ts";
import { LISTEN, type Listed } from "./listed.ts";

/** Of one namespace; those beyond are judged by the route that the socket has. */
const ASKED_MOST = 4096;

/** struct tcpx_flow */
const FLOW = {
  size: 52,
  tos: 1,
  quickack: 2,
  mark: 4,
  boundIf: 8,
  uid: 12,
  local: 16,
  remote: 18,
  addresses: 20,
};

const asks = (list: Listed, at: number) =>
  list.mark(at) !== 0 && list.state(at) !== LISTEN && (list.flags(at) & ListFlag.KNOWN) !== 0;

function encode(list: Listed, places: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(places.length * FLOW.size);
  const view = new DataView(bytes.buffer);
  for (const [i, at] of places.entries()) {
    const to = i * FLOW.size;
    bytes[to] = list.family(at);
    bytes[to + FLOW.tos] = list.tos(at);
    view.setUint32(to + FLOW.mark, list.mark(at), LITTLE);
    view.setUint32(to + FLOW.boundIf, list.boundIf(at), LITTLE);
    view.setUint32(to + FLOW.uid, list.uid(at), LITTLE);
    view.setUint16(to + FLOW.local, list.localPort(at), LITTLE);
    view.setUint16(to + FLOW.remote, list.remotePort(at), LITTLE);
    const address = list.localAt(at);
    bytes.set(list.bytes.subarray(address, address + 16), to + FLOW.addresses);
    const remote = list.remoteAt(at);
    bytes.set(list.bytes.subarray(remote, remote + 16), to + FLOW.addresses + 16);
  }
  return bytes;
}

/** Asks for the connections of a namespace, whose records stand one behind the other. */
export function askRoutes(lib: Bridge, list: Listed, { path, inode }: Namespace): void {
  const places: number[] = [];
  for (let at = 0; at < list.bytes.length && places.length < ASKED_MOST; at += list.record) {
    if (asks(list, at)) places.push(at);
  }
  if (places.length === 0) return;
  const flows = encode(list, places);
  const own = inode === ownNamespace().inode;
  lib.tcpx_routes_ask(own ? null : cstr(path), flows, places.length);
  for (const [i, at] of places.entries()) {
    const quickack = flows[i * FLOW.size + FLOW.quickack]!;
    if (quickack !== 0) list.setQuickack(at, quickack);
  }
}
