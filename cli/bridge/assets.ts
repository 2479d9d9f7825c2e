// SPDX-License-Identifier: MIT
// What `bun run build` has put into the executable.

import thinnerObject from "../../build/ack.bpf.o" with { type: "file" };
import headers from "../../build/headers.txt" with { type: "file" };
import bridge from "../../build/libtcpx.so" with { type: "file" };
import licences from "../../build/licences.txt" with { type: "file" };
import listObject from "../../build/list.bpf.o" with { type: "file" };
import listSlotsObject from "../../build/list-slots.bpf.o" with { type: "file" };
import liveObject from "../../build/live.bpf.o" with { type: "file" };
import liveSlotsObject from "../../build/live-slots.bpf.o" with { type: "file" };
import probeObject from "../../build/probe.bpf.o" with { type: "file" };
import siteObject from "../../build/site.bpf.o" with { type: "file" };
import tcpxObject from "../../build/tcpx.bpf.o" with { type: "file" };
import slotsObject from "../../build/tcpx-slots.bpf.o" with { type: "file" };

const ASSETS = {
  bridge,
  headers,
  licences,
  list: listObject,
  "list-slots": listSlotsObject,
  live: liveObject,
  "live-slots": liveSlotsObject,
  probe: probeObject,
  site: siteObject,
  slots: slotsObject,
  tcpx: tcpxObject,
  thinner: thinnerObject,
} as const;

export async function asset(name: keyof typeof ASSETS): Promise<Uint8Array> {
  return Bun.file(ASSETS[name] as unknown as string).bytes();
}
