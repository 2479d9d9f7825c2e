// SPDX-License-Identifier: MIT
// The thinner and its agent between real hosts: transfers, NAT, ECN, cgroups.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { attempts, type Connection, connectPeers, until } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import {
  isPure,
  SO_MAX_PACING_RATE,
  type Strategy,
  type ThinCounters,
  ThinnerLab,
} from "../support/thinner-lab.ts";

const { ok, reason } = every("hosts", labRequirement, captureRequirement, nftRequirement);
const TEN = { every: 10, delay_us: 20_000 };

/** Replies of full segments, until it is enough: a busy machine makes the ACKs of some look like growth. */
async function replies(t: ThinnerLab, c: Connection, isEnough: (count: number) => boolean): Promise<number> {
  const { snd_mss: mss = 0 } = await t.sender.peer.tcpInfo(c.server);
  for (let count = 1; ; count++) {
    await t.transfer(c, 8 * mss);
    await Bun.sleep(5);
    // the next reply would acknowledge what is held back, and spare the sender its probe
    expect(await t.quiet(c)).toBe(true);
    if (count === 600 || isEnough(count)) return count;
  }
}

/**
 * What the sender sent again or to probe in replies of full segments, and as many on a connection of stock
 * TCP: on a busy machine there is some of it, too. Without the agent every held ACK costs a probe.
 */
async function probed(t: ThinnerLab, open: (ack: Strategy) => Promise<Connection>, rule: number) {
  const probes = () => t.nstat(t.sender.netns, "TcpExtTCPLossProbes");
  const measure = async (ack: Strategy, isEnough: (count: number) => boolean) => {
    const c = await open(ack);
    const before = await probes();
    const count = await replies(t, c, isEnough);
    const { total_retrans: again = 0 } = await t.sender.peer.tcpInfo(c.server);
    return { count, probes: (await probes()) - before, again };
  };
  const before = t.counters(rule).flushed;
  const flushed = () => t.counters(rule).flushed - before;
  // 4 ms: below the sender's timer, which is 2 RTT and at least two ticks away
  const ack = { every: 100, delay_us: 3_000, rule };
  const thinned = await measure(ack, (n) => n >= 100 && flushed() >= 30);
  const stock = await measure({ every: 1 }, (n) => n === thinned.count);
  // of so few, another number each time
  const usual = (n: number) => n + 3 * Math.sqrt(n);
  const extra = Math.max(thinned.probes - usual(stock.probes), thinned.again - usual(stock.again));
  return { flushed: flushed(), extra, most: 1 + flushed() / 3 };
}

/** Up to three times: a busy machine may be late with flushes. */
async function expectFewProbes(...how: Parameters<typeof probed>): Promise<void> {
  const isFew = (seen: Awaited<ReturnType<typeof probed>>) => seen.flushed > 2 && seen.extra <= seen.most;
  const { flushed, extra, most } = await attempts(3, () => probed(...how), isFew);
  expect(flushed).toBeGreaterThan(2);
  expect(extra).toBeLessThanOrEqual(most);
}

/** Pure ACKs that went out by the thinner's own account. */
function went(c: ThinCounters): number {
  return Object.entries(c).reduce((sum, [name, n]) => (name === "dropped" ? sum : sum + n), 0);
}

describeIf(ok, reason)("the ACK thinner between hosts", () => {
  let t: ThinnerLab;
  let rule = 0;
  beforeAll(async () => {
    t = await ThinnerLab.create();
  });
  afterAll(async () => await t?.[Symbol.asyncDispose]());

  for (const v6 of [false, true]) {
    test(`IPv${v6 ? 6 : 4}: the counters are what the wire shows, and the agent's`, async () => {
      t.agent!.serve(t.receiver.netns);
      const capture = await t.capture();
      const c = await t.connect({ ...TEN, rule: ++rule }, { v6 });
      const before = t.agent!.stats();
      await t.transfer(c, 3_000_000);
      await t.quiet(c);
      await Bun.sleep(50);
      const counts = t.counters(rule);
      await capture.stop();
      const acks = (await capture.packets(`tcp.dstport == ${c.port}`)).filter(isPure);
      const after = t.agent!.stats();
      const outdated = after.outdated - before.outdated;
      // The handshake's own ACK came before the strategy; flushed ones come from the agent.
      expect(acks.length - 1).toBe(went(counts) - outdated);
      expect(counts.dropped).toBeGreaterThan(20);
      expect(counts.unserved).toBe(0);
      expect(after.flushed - before.flushed).toBe(counts.flushed - outdated);
      expect(after.failed).toBe(0);
      expect((await t.sender.peer.tcpInfo(c.server)).unacked).toBe(0);
    });

    test(`IPv${v6 ? 6 : 4}: replies of full segments end without a tail loss probe`, async () => {
      const open = (ack: Strategy) => t.connect(ack, { v6, bytesPerSecond: 0 });
      await expectFewProbes(t, open, ++rule);
    }, 120_000);
  }

  test("link-local addresses", async () => {
    const show = ["ip", "-j", "-6", "addr", "show", "dev", t.sender.device, "scope", "link"];
    const local = JSON.parse(await t.lab.exec(t.sender.netns, show))[0].addr_info.find(
      (a: { local?: string }) => a.local,
    ).local;
    const open = async (ack: Strategy): Promise<Connection> => {
      const { fd: listener, port } = await t.sender.peer.listen("::");
      const [client, { fd: server }] = await Promise.all([
        t.receiver.peer.connect(`${local}%${t.receiver.device}`, port),
        t.sender.peer.accept(listener),
      ]);
      t.strategy(t.receiver.peer, client, ack);
      return { listener, port, client, server };
    };
    await expectFewProbes(t, open, ++rule);
    expect(t.agent!.stats().failed).toBe(0);
  }, 120_000);

  test("ECN marks are reported with every ACK", async () => {
    for (const { netns } of [t.sender, t.receiver]) await t.lab.sysctl(netns, "net.ipv4.tcp_ecn", 1);
    const mark = "add table inet lab\ntable inet lab {\n chain c {\n type filter hook output priority 0;\n";
    await t.lab.nft(t.sender.netns, `${mark} ip ecn ect0 ip ecn set ce\n }\n}\n`);
    const c = await t.connect({ ...TEN, rule: ++rule });
    await t.transfer(c, 500_000);
    await t.quiet(c);
    await t.lab.nft(t.sender.netns, "delete table inet lab\n");
    for (const { netns } of [t.sender, t.receiver]) await t.lab.sysctl(netns, "net.ipv4.tcp_ecn", 2);
    const { ecn = 0, dropped = 0 } = t.counters(rule);
    expect(ecn).toBeGreaterThan(20);
    expect(dropped).toBeLessThan(ecn / 4);
  });

  test("translated addresses are not thinned", async () => {
    await t.lab.exec(t.receiver.netns, ["ip", "addr", "add", "10.99.0.1/32", "dev", "lo"]);
    await t.lab.exec(t.sender.netns, ["ip", "route", "add", "10.99.0.1", "via", t.receiver.v4]);
    const snat = "add table ip nat\ntable ip nat {\n chain p {\n type nat hook postrouting priority 100;\n";
    await t.lab.nft(t.receiver.netns, `${snat} snat to 10.99.0.1\n }\n}\n`);
    const c = await t.connect({ ...TEN, rule: ++rule });
    expect((await t.sender.peer.peerName(c.server)).addr).toBe("10.99.0.1");
    await t.transfer(c, 1_000_000);
    await t.lab.nft(t.receiver.netns, "delete table ip nat\n");
    const counts = t.counters(rule);
    expect(counts.dropped).toBe(0);
    expect(counts.unserved).toBeGreaterThan(10);
  });

  test("another cgroup is left alone, and a child of the scope is not", async () => {
    const peers = [
      await t.lab.peer(t.receiver.netns, t.lab.cgroup("elsewhere")),
      await t.lab.peer(t.receiver.netns, t.lab.cgroup("child", t.receiver.cgroup)),
    ];
    const dropped: number[] = [];
    for (const peer of peers) {
      const c = await connectPeers(peer, t.sender.peer, t.sender.v4);
      t.strategy(peer, c.client, { ...TEN, rule: ++rule });
      await t.sender.peer.setopt(c.server, 1, SO_MAX_PACING_RATE, 10_000_000);
      await Promise.all([t.sender.peer.send(c.server, 2_000_000), peer.recv(c.client, 2_000_000)]);
      dropped.push(t.counters(rule).dropped);
    }
    expect(dropped[0]).toBe(0);
    expect(dropped[1]!).toBeGreaterThan(5);
  });

  test("closed connections leave no timers", async () => {
    const before = t.holds();
    for (let i = 0; i < 5; i++) {
      const c = await t.connect({ ...TEN, rule: ++rule });
      await t.transfer(c, 500_000);
      await t.quiet(c);
      if (i % 2) await t.receiver.peer.reset(c.client);
      else await t.receiver.peer.close(c.client);
      await t.sender.peer.close(c.server);
    }
    expect(await until(() => t.holds() <= before, 1000)).toBe(true);
  });
});
