// SPDX-License-Identifier: MIT
// The thread of the bridge that sends held ACKs and serves namespaces, started by this process itself.
import { type Denied, parseDenied } from "../../cli/agent/denied.ts";
import { type Bridge, cstr, unwrap } from "../../cli/bridge/bridge.ts";

export class Agent {
  private handle = 0n;

  constructor(
    private readonly lib: Bridge,
    heldFd: number,
    servedFd: number,
    noticesFd = -1,
    holdsFd = -1,
  ) {
    const out = new BigUint64Array(1);
    unwrap("agent", lib.tcpx_agent_start(heldFd, noticesFd, servedFd, out));
    this.handle = out[0]!;
    if (holdsFd >= 0) unwrap("holds", lib.tcpx_agent_holds(this.handle, holdsFd));
  }

  serve(netns: string): void {
    unwrap("serve", this.lib.tcpx_agent_serve(this.handle, cstr(`/run/netns/${netns}`)));
  }

  /** Returns when the routes of every served namespace are copied. */
  atOnce(markBits: number): void {
    unwrap("at once", this.lib.tcpx_agent_at_once(this.handle, markBits));
  }

  /** What it does not do, and where. */
  denied(): Denied[] {
    const text = new Uint8Array(8192);
    const length = unwrap("denied", this.lib.tcpx_agent_denied(this.handle, text, text.length));
    return parseDenied(new TextDecoder().decode(text.subarray(0, length)));
  }

  stats() {
    const out = new BigUint64Array(15);
    unwrap("stats", this.lib.tcpx_agent_stats(this.handle, out));
    const [flushed, failed, notices, namespaces, cpuNs] = [...out].map(Number) as [
      number,
      number,
      number,
      number,
      number,
    ];
    return { flushed, failed, notices, namespaces, cpuNs, outdated: Number(out[10]) };
  }

  stop(): void {
    if (this.handle) unwrap("stop", this.lib.tcpx_agent_stop(this.handle));
    this.handle = 0n;
  }
}
