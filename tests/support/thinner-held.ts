// SPDX-License-Identifier: MIT
// Connections whose held ACKs are compared with those that the kernel sends itself: device, next hop and header
// fields, as they arrive at the other side.
import { expect } from "bun:test";
import { type Connection, connectPeers, type Lab, type LinkEnd } from "./lab.ts";
import { veth } from "./network.ts";
import { type Ack, acksOf, type Look, looksOf } from "./thinner-fields.ts";
import { ThinnerLab } from "./thinner-lab.ts";

export type Family = "v4" | "v6";
export const FAMILIES: readonly Family[] = ["v4", "v6"];
export type Held = Connection & { rule: number };

/** Addresses that belong to no link. */
export const SENDER = { v4: "10.8.0.2", v6: "fd08::2" };
export const RECEIVER = { v4: "10.8.0.1", v6: "fd08::1" };
/** What is held goes after so long, unless more data comes sooner. */
const STRATEGY = { every: 100, delay_us: 3_000 };
const SEGMENTS = 8;
const ROUNDS = 400;
/** VLAN tags and extension headers hide TCP from a pcap filter. */
const ALL = "ip or ip6 or vlan";

export interface Seen {
  /** By the device at the sender's side, where there are any. */
  acks: Record<string, Ack[]>;
  dropped: number;
  flushed: number;
}

export class HeldLab implements AsyncDisposable {
  private rule = 100;

  protected constructor(
    readonly t: ThinnerLab,
    /** Of the sender; all are recorded. */
    readonly devices: readonly string[],
  ) {
    t.agent!.serve(t.receiver.netns);
  }

  /** Over a path of one's own; recorded at the sender's `device`. */
  static async over(path: (lab: Lab) => Promise<[LinkEnd, LinkEnd]>, device?: string): Promise<HeldLab> {
    const t = await ThinnerLab.create(undefined, path);
    return new HeldLab(t, [device ?? t.sender.device]);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.t[Symbol.asyncDispose]();
  }

  /** `ip` in the receiver's namespace. */
  async ip(family: Family, words: string): Promise<void> {
    const { lab, receiver } = this.t;
    await lab.exec(receiver.netns, ["ip", family === "v4" ? "-4" : "-6", ...words.split(" ")]);
  }

  nft(ruleset: string): Promise<void> {
    return this.t.lab.nft(this.t.receiver.netns, ruleset);
  }

  /** The receiver opens it, and its end gets the strategy. */
  async connect(to: string): Promise<Held> {
    const c = await connectPeers(this.t.receiver.peer, this.t.sender.peer, to);
    return this.hold(c);
  }

  hold(c: Connection): Held {
    const rule = ++this.rule;
    this.t.strategy(this.t.receiver.peer, c.client, { ...STRATEGY, rule });
    return { ...c, rule };
  }

  async close(c: Held): Promise<void> {
    await this.t.receiver.peer.close(c.client);
    await this.t.sender.peer.close(c.server);
  }

  /** Replies of full segments, until that many held ACKs were sent, or enough were not held at all. */
  async replies(c: Held, flushed = 12, passed = 300): Promise<void> {
    const { snd_mss: mss = 0 } = await this.t.sender.peer.tcpInfo(c.server);
    const before = this.t.counters(c.rule);
    for (let i = 0; i < ROUNDS; i++) {
      await this.t.transfer(c, SEGMENTS * mss);
      await Bun.sleep(5);
      const now = this.t.counters(c.rule);
      if (now.flushed - before.flushed >= flushed) return;
      // on a busy machine many look like a growing window
      const judged = i * SEGMENTS - (now.growth - before.growth);
      if (now.dropped === before.dropped && judged >= passed) return;
    }
  }

  /** What the sender's side receives meanwhile. */
  async watch(c: Held, work: () => Promise<unknown>): Promise<Seen> {
    const { lab, sender } = this.t;
    const captures = await Promise.all(this.devices.map((d) => lab.capture(sender.netns, d, ALL)));
    const before = this.t.counters(c.rule);
    await work();
    await this.t.quiet(c);
    await Promise.all(captures.map((capture) => capture.stop()));
    const after = this.t.counters(c.rule);
    const port = (await this.t.sender.peer.sockName(c.server)).port;
    const acks: Record<string, Ack[]> = {};
    for (const [i, { file }] of captures.entries()) {
      const list = await acksOf(file, port);
      if (list.length > 0) acks[this.devices[i]!] = list;
    }
    return { acks, dropped: after.dropped - before.dropped, flushed: after.flushed - before.flushed };
  }

  /**
   * Something changes while data comes; then all ACKs, held or not, have to arrive by one device and look alike.
   * Returns how they look, and how many were held.
   */
  async changed(
    c: Held,
    change: () => Promise<unknown>,
  ): Promise<{ look: Look; seen: Seen; device: string }> {
    await this.replies(c);
    const during = this.replies(c, 40);
    await Bun.sleep(50);
    const changing = change();
    // also when the change fails: what runs on would look at a lab that is gone
    await Promise.allSettled([during, changing]);
    await changing;
    await during;
    return await this.same(c);
  }

  async same(c: Held): Promise<{ look: Look; seen: Seen; device: string }> {
    const seen = await this.watch(c, () => this.replies(c));
    const [[device, acks] = ["", []], ...others] = Object.entries(seen.acks);
    expect(others.map(([other, list]) => `${list.length} by ${other}`)).toEqual([]);
    expect(looksOf(acks)).toHaveLength(1);
    // the kernel's own are there to be compared with, and so are the others, if any were held
    expect(acks.filter(({ isLate }) => !isLate).length).toBeGreaterThan(0);
    expect(acks.some(({ isLate }) => isLate)).toBe(seen.dropped > 0);
    return { look: acks[0]!.look, seen, device };
  }
}

/** Two hosts with two links between them, and addresses of their own on lo. */
export class TwoWays extends HeldLab {
  private constructor(
    t: ThinnerLab,
    /** The receiver's ends of both links, and the sender's. */
    readonly near: readonly LinkEnd[],
    readonly far: readonly LinkEnd[],
  ) {
    super(
      t,
      far.map(({ device }) => device),
    );
  }

  static async create(): Promise<TwoWays> {
    const far: LinkEnd[] = [];
    const near: LinkEnd[] = [];
    const t = await ThinnerLab.create(undefined, async (lab) => {
      await lab.netns("sender");
      await lab.netns("receiver");
      const { a, b } = await lab.link("sender", "receiver");
      const [a2, b2] = await otherLink(lab);
      far.push(a, a2);
      near.push(b, b2);
      return [a, b];
    });
    const made = new TwoWays(t, near, far);
    for (const { netns, device } of [...near, ...far]) {
      await t.lab.sysctl(netns, `net.ipv4.conf.${device}.rp_filter`, 0);
      await t.lab.sysctl(netns, "net.ipv4.conf.all.rp_filter", 0);
    }
    for (const family of FAMILIES) {
      const [own, bits] = [RECEIVER[family], family === "v4" ? "/32" : "/128 nodad"];
      await made.ip(family, `addr add ${own}${bits} dev lo`);
      const to = ["route", "add", own, "src", SENDER[family], "via", near[0]![family]];
      const address = ["addr", "add", ...`${SENDER[family]}${bits}`.split(" "), "dev", "lo"];
      await t.lab.exec(t.sender.netns, ["ip", ...address]);
      await t.lab.exec(t.sender.netns, ["ip", ...to]);
      await made.ip(family, `route add ${made.route(family, 0)}`);
      // another table, which nothing uses until a rule does
      await made.ip(family, `route add ${made.route(family, 1)} table 77`);
    }
    return made;
  }

  /** The receiver's route to the sender by one of the links. */
  route(family: Family, way: 0 | 1, metrics = ""): string {
    const words = `${SENDER[family]} src ${RECEIVER[family]} via ${this.far[way]![family]} quickack 1`;
    return metrics ? `${words} ${metrics}` : words;
  }

  /** Addresses and routes of the first link, after it was down or they were taken away. */
  async repair(): Promise<void> {
    const { netns, device, v4, v6 } = this.near[0]!;
    const lines = [
      `addr replace ${v4}/24 dev ${device}`,
      `addr replace ${v6}/64 dev ${device} nodad`,
      `addr replace ${RECEIVER.v4}/32 dev lo`,
      `addr replace ${RECEIVER.v6}/128 dev lo nodad`,
      ...FAMILIES.map((family) => `route replace ${this.route(family, 0)}`),
    ];
    for (let tries = 0; ; tries++) {
      try {
        await this.t.lab.exec(netns, ["ip", "-batch", "-"], `${lines.join("\n")}\n`);
        return;
      } catch (error) {
        if (tries === 50) throw error; // IPv6 takes a moment after a device has come up
        await Bun.sleep(50);
      }
    }
  }
}

/** Another link between the two: devices `other`. */
async function otherLink(lab: Lab): Promise<[LinkEnd, LinkEnd]> {
  const a = { netns: lab.ns("sender"), device: "other", v4: "10.79.1.1", v6: "fd79:1::1" };
  const b = { netns: lab.ns("receiver"), device: "other", v4: "10.79.1.2", v6: "fd79:1::2" };
  await veth(400, a, b);
  for (const { netns, device } of [a, b]) {
    await lab.exec(netns, ["ethtool", "-K", device, "tso", "off", "gso", "off", "gro", "off"]);
  }
  return [a, b];
}
