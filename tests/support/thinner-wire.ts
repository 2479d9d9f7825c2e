// SPDX-License-Identifier: MIT
// A sender in user space whose segments are counted one by one, against a receiver that is thinned.

import { type Peer, until, type Wire, type WirePacket } from "./lab.ts";
import type { Strategy, ThinCounters, ThinnerLab } from "./thinner-lab.ts";

/** Payload of a full-sized segment. */
export const MSS = 1000;
/** Round-trip time that the receiver measures in the handshake, milliseconds. */
export const RTT_MS = 150;
export const TIMESTAMPS = "0101080a0000000100000000";
export const SACK_PERMITTED = "0402";

export interface WireFlow {
  /** Addresses of IPv6. */
  v6?: boolean;
  /** Option bytes of the SYN, and of every segment after it. */
  syn?: string;
  options?: string;
  /** Where the receiver is, when not at the lab's. */
  at?: { netns: string; peer: Peer };
  /** Gives the socket its strategy, when that is not for this process to do. */
  assign?: (peer: Peer, fd: number, ack: Strategy) => unknown;
}

export class WireSender {
  private constructor(
    private readonly t: ThinnerLab,
    readonly wire: Wire,
    readonly flow: number,
    /** The receiver's socket. */
    readonly fd: number,
    private readonly options: string,
  ) {}

  static async open(t: ThinnerLab, ack: Strategy, how: WireFlow = {}): Promise<WireSender> {
    const { v6 = false, syn = "", options = "-", at = t.receiver, assign } = how;
    const { peer } = at;
    const wire = await t.lab.wire(at.netns);
    const [own, kernel] = v6 ? [wire.own.v6, wire.kernel.v6] : [wire.own.v4, wire.kernel.v4];
    // the receiver acknowledges every segment: what goes missing is the thinner's doing
    const subnet = v6 ? kernel.replace(/::.*/, "::/64") : kernel.replace(/\.\d+$/, ".0/24");
    const route = ["route", "replace", subnet, "dev", wire.device, "quickack", "1"];
    await t.lab.exec(at.netns, ["ip", v6 ? "-6" : "-4", ...route]);
    // an address of IPv6 is not there at once
    await until(() => peer.listen(kernel).then(Boolean, () => false), 1000);
    const { fd: listener, port } = await peer.listen(kernel);
    const flow = await wire.syn({ addr: own, port: 4000 }, { addr: kernel, port }, syn);
    await wire.expect(flow);
    await Bun.sleep(RTT_MS);
    await wire.ack(flow, options);
    const { fd } = await peer.accept(listener);
    await peer.sink(fd);
    await (assign ? assign(peer, fd, ack) : t.strategy(peer, fd, ack));
    return new WireSender(t, wire, flow, fd, options);
  }

  /**
   * Past the first ACKs and the growth of the first round trips. The last round is small: however late
   * a busy machine makes the others, the rate does not seem to grow after it.
   */
  async warmUp(rounds = [24, 24, 8]): Promise<void> {
    for (const n of rounds) {
      await this.full(n);
      await this.acks();
    }
  }

  /** Sends n full-sized segments. */
  async full(n: number): Promise<void> {
    for (let i = 0; i < n; i++) await this.wire.data(this.flow, MSS, this.options);
  }

  /**
   * What comes until nothing has come for ms: more than a round trip, so that its bytes are counted, and
   * even after a held ACK less than two, which would be a pause, and slow start after it.
   */
  async acks(ms = RTT_MS + 20): Promise<WirePacket[]> {
    const list: WirePacket[] = [];
    for (let p = await this.wire.maybe(this.flow, ms); p; p = await this.wire.maybe(this.flow, ms))
      list.push(p);
    return list;
  }

  /** What the thinner counted meanwhile, without the zeros. */
  async counted(work: () => Promise<unknown>, rule = 1): Promise<Partial<ThinCounters>> {
    const before = this.t.counters(rule);
    await work();
    const after = Object.entries(this.t.counters(rule)) as [keyof ThinCounters, number][];
    const more = after.map(([name, n]) => [name, n - before[name]] as const);
    return Object.fromEntries(more.filter(([, n]) => n !== 0));
  }

  async receivedAll(): Promise<number> {
    return (await this.wire.numbers(this.flow)).sndNxt;
  }
}

/** How many segments each ACK covers, counted from the one before. */
export function strides(acks: WirePacket[], from: number): number[] {
  return acks.map((p, i) => ((p.ack - (acks[i - 1]?.ack ?? from)) >>> 0) / MSS);
}
