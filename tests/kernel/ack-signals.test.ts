// SPDX-License-Identifier: MIT
// What ACKs tell a sender besides that data has arrived comes through `tcpx ack set`: losses, congestion
// marks, and what is known of segments that were merged.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { attempts, type Capture, type Packet } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { type Flow, type Receiver, ThinnedHost } from "../support/thinned-host.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement);
const RULE = "set --every 8 --min-acks-per-rtt 0";
const SACK = 5;
const TIMESTAMPS = 8;
const EMPTY = "add table inet lab\ndelete table inet lab\n";

const isAck = (p: Packet) => p.length === 0 && !/[SFRP]/.test(p.flags);

describeIf(needs.ok, needs.reason)("signals on thinned connections", () => {
  let h: ThinnedHost;
  let r: Receiver;

  beforeAll(async () => {
    h = await ThinnedHost.create();
    r = h.first;
  });
  afterEach(async () => {
    for (const { netns } of [r, r.sender]) await h.lab.nft(netns, EMPTY);
    await h.a.ack("unset --all", r.cgroup);
    await h.segments(1);
    await everywhere("net.ipv4.tcp_timestamps", 1);
    await everywhere("net.ipv4.tcp_ecn", 2);
  });
  afterAll(() => h?.[Symbol.asyncDispose]());

  async function everywhere(key: string, value: number): Promise<void> {
    for (const { netns } of [r, r.sender]) await h.lab.sysctl(netns, key, value);
  }

  /** A statement of nft on what leaves a side, or arrives there. */
  async function change(netns: string, statement: string, hook = "output"): Promise<void> {
    const chain = `type filter hook ${hook} priority 0;`;
    await h.lab.nft(netns, `${EMPTY}table inet lab {\n chain c {\n ${chain}\n ${statement}\n }\n}\n`);
  }

  /** ACKs alone: with the data, tcpdump would miss some. */
  function acksOf(flow: Flow): Promise<Capture> {
    const work = async () => expect(await h.holdBack(r, flow, 20)).toBe(true);
    return h.recorded(r, work, "tcp and less 150");
  }

  /** Pure ACKs and data that a receiver's device saw of a connection. */
  async function seen(capture: Capture, { port }: Flow): Promise<{ acks: Packet[]; data: Packet[] }> {
    const all = await capture.packets(`tcp.port == ${port}`);
    return {
      acks: all.filter((p) => p.dport === port && isAck(p)),
      data: all.filter((p) => p.sport === port && p.length > 0),
    };
  }

  test("real losses: every ACK with SACK goes, and the transfer ends", async () => {
    await h.a.ack(RULE, r.cgroup);
    const flow = await h.open(r);
    // where they arrive: the sender's TCP would hear of it at its own side
    await change(r.netns, "meta length > 1000 numgen inc mod 150 == 7 drop", "input");
    const capture = await acksOf(flow);
    const { acks } = await seen(capture, flow);
    const { reasons } = await h.counts(r);
    const sacks = acks.filter((p) => p.optionList.some(({ kind }) => kind === SACK));
    expect(sacks.length).toBeGreaterThan(15); // at least one per loss
    expect(reasons.options).toBeGreaterThanOrEqual(sacks.length);
    expect((await h.sender.tcpInfo(flow.from)).total_retrans).toBeGreaterThan(5);
  });

  test("congestion marks on some segments: every ACK with ECE goes, between them it is thinned", async () => {
    await everywhere("net.ipv4.tcp_ecn", 1);
    await h.a.ack(RULE, r.cgroup);
    for (const v6 of [false, true]) {
      const flow = await h.open(r, { v6 });
      const family = v6 ? "ip6" : "ip";
      await change(r.sender.netns, `${family} ecn ect0 numgen inc mod 300 == 7 ${family} ecn set ce`);
      const before = await h.counts(r);
      const capture = await acksOf(flow);
      const { acks } = await seen(capture, flow);
      const marked = acks.filter((p) => p.flags.includes("E")).length;
      expect(marked).toBeGreaterThan(5);
      // and those that say that it is over
      expect((await h.counts(r)).reasons.ecn! - before.reasons.ecn!).toBeGreaterThanOrEqual(marked);
      await h.close(r, flow);
    }
  });

  test("AccECN: an ACK goes when its counter of marks is another one, and only then", async () => {
    await h.a.ack(RULE, r.cgroup);
    const flow = await h.open(r);
    const acks = `tcp dport ${flow.port} meta length < 100`;
    // the three flags that begin beside the header's length, in what leaves: before the thinner sees it
    const counted = `${acks} @th,103,1 set 1`;
    await change(r.netns, counted);
    expect(await h.holdBack(r, flow, 30)).toBe(true);
    const same = await h.counts(r);
    expect(same.reasons.ecn).toBeLessThan(5);
    await change(r.netns, `${counted}\n ${acks} numgen inc mod 2 == 0 @th,104,1 set 1`);
    await h.transfer(r, flow, 6_000_000);
    const changing = await h.counts(r);
    // a few may be held while the flags begin to change
    expect(changing.dropped - same.dropped).toBeLessThan(10);
    expect(changing.reasons.ecn! - same.reasons.ecn!).toBeGreaterThan(30);
  });

  test("without timestamps", async () => {
    await everywhere("net.ipv4.tcp_timestamps", 0);
    await h.a.ack(RULE, r.cgroup);
    for (const v6 of [false, true]) {
      const flow = await h.open(r, { v6 });
      const capture = await acksOf(flow);
      const { acks } = await seen(capture, flow);
      expect(acks.some((p) => p.optionList.some(({ kind }) => kind === TIMESTAMPS))).toBe(false);
    }
  });

  for (const [name, gro] of [
    ["cut by the device", "off"],
    ["merged again", "on"],
  ] as const) {
    test(`segments that come as one packet, ${name}: one ACK for each at the most, no probes`, async () => {
      await h.segments(65_535);
      await h.lab.exec(r.netns, ["ethtool", "-K", r.device, "gro", gro]);
      const probes = () => h.counter("TcpExtTCPLossProbes");
      const bulk = async () => {
        const flow = await h.open(r);
        const before = await probes();
        const capture = await h.recorded(r, () => h.transfer(r, flow, 20_000_000));
        const more = (await probes()) - before;
        const { acks, data } = await seen(capture, flow);
        await h.close(r, flow);
        return { packets: data.length, ratio: acks.length / data.length, probes: more };
      };
      // a busy machine has probes by itself, and may be late with a flush: up to four pairs
      const pair = async () => {
        const stock = await bulk();
        await h.a.ack(RULE, r.cgroup);
        const thinned = await bulk();
        const { flushed } = await h.counts(r);
        await h.a.ack("unset --all", r.cgroup);
        expect(thinned.packets).toBeLessThan(20_000_000 / 3000); // they were merged
        expect(thinned.ratio).toBeLessThan(Math.max(1.02, stock.ratio + 0.02));
        return { probes: thinned.probes, most: stock.probes + 3 + flushed / 3 };
      };
      const { probes: found, most } = await attempts(4, pair, (got) => got.probes <= got.most);
      expect(found).toBeLessThanOrEqual(most);
    });
  }
});
