// SPDX-License-Identifier: MIT
// TCP in user space, for exact bytes (wire/main.c).
import { LineClient, PeerError, pairs } from "./line-protocol.ts";
import type { Endpoint } from "./peer.ts";
import type { Child } from "./process.ts";

export interface WirePacket {
  flow: number;
  /** Letters of FSRPAUEC in that order, "SA" for a SYN-ACK. */
  flags: string;
  seq: number;
  ack: number;
  window: number;
  length: number;
  /** Raw option bytes in hex, with padding; "" for none. */
  options: string;
  /** At most the first 32 bytes of the payload, in hex. */
  data: string;
  goodChecksum: boolean;
  source: Endpoint;
}

/** A TCP endpoint in user space. Options are raw hex; see wire/main.c for "=" and the padding. */
export class Wire extends LineClient {
  constructor(
    child: Child,
    readonly device: string,
    /** The kernel's addresses on the device. */
    readonly kernel: { readonly v4: string; readonly v6: string },
    /** Addresses of this endpoint; every other one of the two subnets works as well. */
    readonly own: { readonly v4: string; readonly v6: string },
  ) {
    super(child);
  }

  /** Sends a SYN and returns the number of the new flow. */
  syn(from: Endpoint, to: Endpoint, options = "-", seq?: number): Promise<number> {
    const ends = `${from.addr} ${from.port} ${to.addr} ${to.port}`;
    return this.number(`syn ${ends} ${options || "-"} ${seq ?? ""}`);
  }

  /** SYN, SYN-ACK, ACK; the SYN-ACK is returned. */
  async connect(from: Endpoint, to: Endpoint, synOptions = "-", ackOptions = "-"): Promise<WirePacket> {
    const flow = await this.syn(from, to, synOptions);
    const synAck = await this.expect(flow);
    if (synAck.flags.replace(/[EC]/g, "") !== "SA") throw new Error(`no SYN-ACK but ${synAck.flags}`);
    await this.ack(flow, ackOptions);
    return synAck;
  }

  /** From now on SYNs to this address start flows: expect(0) shows them, synack() answers. */
  async listen(addr: string, port: number): Promise<void> {
    await this.request(`listen ${addr} ${port}`);
  }

  /** The next packet from the kernel, of one flow or (0) of any. */
  async expect(flow = 0, ms = 3000): Promise<WirePacket> {
    const p = pairs(await this.request(`expect ${flow} ${ms}`, ms));
    return {
      flow: Number(p.flow),
      flags: p.flags === "-" ? "" : (p.flags ?? ""),
      seq: Number(p.seq),
      ack: Number(p.ack),
      window: Number(p.wnd),
      length: Number(p.len),
      options: p.opt === "-" ? "" : (p.opt ?? ""),
      data: p.data === "-" ? "" : (p.data ?? ""),
      goodChecksum: p.csum === "good",
      source: { addr: p.src ?? "", port: Number(p.sport) },
    };
  }

  /** Like expect, but undefined when nothing comes. */
  async maybe(flow = 0, ms = 300): Promise<WirePacket | undefined> {
    return await this.expect(flow, ms).catch((error: unknown) => {
      if (error instanceof PeerError && error.code === "timeout") return undefined;
      throw error;
    });
  }

  synack(flow: number, options = "-"): Promise<number> {
    return this.number(`synack ${flow} ${options || "-"}`);
  }

  ack(flow: number, options = "-"): Promise<number> {
    return this.number(`ack ${flow} ${options || "-"}`);
  }

  data(flow: number, n: number, options = "-"): Promise<number> {
    return this.number(`data ${flow} ${n} ${options || "-"}`);
  }

  fin(flow: number, options = "-"): Promise<number> {
    return this.number(`fin ${flow} ${options || "-"}`);
  }

  rst(flow: number, options = "-"): Promise<number> {
    return this.number(`rst ${flow} ${options || "-"}`);
  }

  /** Any segment, without moving the flow: retransmissions, gaps, old numbers. */
  async raw(flow: number, flags: string, seq: number, ack: number, n = 0, options = "-"): Promise<void> {
    await this.request(`raw ${flow} ${flags} ${seq >>> 0} ${ack >>> 0} ${n} ${options || "-"}`);
  }

  /** What the next segments announce as the window (not scaled). */
  async window(flow: number, size: number): Promise<void> {
    await this.request(`window ${flow} ${size}`);
  }

  async numbers(flow: number) {
    const p = pairs(await this.request(`flow ${flow}`));
    return { sndNxt: Number(p.snd_nxt), sndUna: Number(p.snd_una), rcvNxt: Number(p.rcv_nxt) };
  }
}
