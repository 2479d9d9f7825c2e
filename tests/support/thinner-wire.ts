// SPDX-License-Identifier: MIT
// A sender in user space whose segments are counted one by one, against a receiver that is thinned.

import { attempts, type Peer, until, type Wire, type WirePacket } from "./lab.ts";
import type { Strategy, ThinCounters, ThinnerLab } from "./thinner-lab.ts";

/** Payload of a full-sized segment. */
export const MSS = 1000;
/** Round-trip time that the receiver measures in the handshake, milliseconds, when nothing is late. */
const RTT_MS = 150;
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

interface Opened {
  wire: Wire;
  flow: number;
  fd: number;
  rtt: number;
}

/** A connection whose handshake takes RTT_MS. */
async function shakeHands(wire: Wire, peer: Peer, how: WireFlow): Promise<Opened> {
  const { v6 = false, syn = "", options = "-" } = how;
  const family = v6 ? "v6" : "v4";
  const { fd: listener, port } = await peer.listen(wire.kernel[family]);
  const flow = await wire.syn(
    { addr: wire.own[family], port: 4000 },
    { addr: wire.kernel[family], port },
    syn,
  );
  await wire.expect(flow);
  await Bun.sleep(RTT_MS);
  await wire.ack(flow, options);
  const { fd } = await peer.accept(listener);
  return { wire, flow, fd, rtt: (await peer.tcpInfo(fd)).min_rtt! / 1000 };
}

export class WireSender {
  private constructor(
    private readonly t: ThinnerLab,
    private readonly how: WireFlow,
    private readonly opened: Opened,
  ) {}

  static async open(t: ThinnerLab, ack: Strategy, how: WireFlow = {}): Promise<WireSender> {
    const { v6 = false, at = t.receiver, assign } = how;
    const { peer } = at;
    const wire = await t.lab.wire(at.netns);
    const kernel = v6 ? wire.kernel.v6 : wire.kernel.v4;
    // the receiver acknowledges every segment: what goes missing is the thinner's doing
    const subnet = v6 ? kernel.replace(/::.*/, "::/64") : kernel.replace(/\.\d+$/, ".0/24");
    const route = ["route", "replace", subnet, "dev", wire.device, "quickack", "1"];
    await t.lab.exec(at.netns, ["ip", v6 ? "-6" : "-4", ...route]);
    // an address of IPv6 is not there at once
    await until(() => peer.listen(kernel).then(Boolean, () => false), 1000);
    // the handshake is the only sample that the receiver ever has
    const isTimely = ({ rtt }: Opened) => rtt < RTT_MS + 50;
    const opened = await attempts(5, () => shakeHands(wire, peer, how), isTimely);
    if (!isTimely(opened)) throw new Error(`a handshake of ${RTT_MS} ms took ${opened.rtt} ms`);
    await peer.sink(opened.fd);
    await (assign ? assign(peer, opened.fd, ack) : t.strategy(peer, opened.fd, ack));
    return new WireSender(t, how, opened);
  }

  get wire(): Wire {
    return this.opened.wire;
  }

  get flow(): number {
    return this.opened.flow;
  }

  /** The receiver's socket. */
  get fd(): number {
    return this.opened.fd;
  }

  /** Round-trip time that the receiver has measured, milliseconds. */
  get rtt(): number {
    return this.opened.rtt;
  }

  /**
   * Past the first ACKs and the growth of the first round trips. The last round is small: however late
   * a busy machine makes the others, the rate does not seem to grow after it.
   */
  async warmUp(rounds = [24, 24, 8], patience = 1000): Promise<void> {
    for (const n of rounds) {
      await this.full(n);
      await this.acks(patience);
    }
  }

  /**
   * Warms up and works, up to five times: on a busy machine segments come in clumps, and where it stands
   * still there is a pause, and slow start after it.
   */
  afterWarmUp<T>(work: () => Promise<T>, isWhole: (seen: T) => boolean, rounds?: number[]): Promise<T> {
    const measure = async () => {
      await this.warmUp(rounds);
      return await work();
    };
    return attempts(5, measure, isWhole);
  }

  /** Sends n full-sized segments. */
  async full(n: number): Promise<void> {
    for (let i = 0; i < n; i++) await this.wire.data(this.flow, MSS, this.how.options);
  }

  /**
   * What comes until all is acknowledged, and for a round trip after the first one at least, so that its
   * bytes are counted. No longer, even after a held ACK: two would be a pause, and slow start after it.
   * @param patience how long to wait for the last ones, milliseconds; 0 when nobody sends what is held
   */
  async acks(patience = 1000): Promise<WirePacket[]> {
    const { sndNxt, sndUna } = await this.wire.numbers(this.flow);
    const list: WirePacket[] = [];
    const end = performance.now() + this.rtt + 20 + patience;
    let next = performance.now() + this.rtt + 20;
    for (let isAll = sndUna === sndNxt; ; ) {
      const left = (isAll || !patience ? next : end) - performance.now();
      const p = await this.wire.maybe(this.flow, Math.max(0, Math.ceil(left)));
      if (!p) return list;
      if (list.push(p) === 1) next = performance.now() + this.rtt + 20;
      isAll ||= p.ack === sndNxt;
    }
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
