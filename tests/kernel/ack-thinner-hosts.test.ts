// SPDX-License-Identifier: MIT
// The thinner and its agent between real hosts: transfers, NAT, ECN, cgroups.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { type Connection, connectPeers, until } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { isPure, SO_MAX_PACING_RATE, type ThinCounters, ThinnerLab } from "../support/thinner-lab.ts";

const { ok, reason } = every("hosts", labRequirement, captureRequirement, nftRequirement);
const TEN = { every: 10, delay_us: 20_000 };

/** Replies of full segments, until some ACKs were flushed: a busy machine makes some look like growth. */
async function replies(t: ThinnerLab, c: Connection, rule: number): Promise<void> {
  const { snd_mss: mss = 0 } = await t.sender.peer.tcpInfo(c.server);
  for (let reply = 0; reply < 600; reply++) {
    await t.transfer(c, 8 * mss);
    await Bun.sleep(6);
    if (reply >= 100 && t.counters(rule).flushed > 2) return;
  }
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
      // The handshake's own ACK came before the strategy; flushed ones come from the agent.
      expect(acks.length - 1).toBe(went(counts));
      expect(counts.dropped).toBeGreaterThan(20);
      expect(counts.unserved).toBe(0);
      const after = t.agent!.stats();
      expect(after.flushed - before.flushed).toBe(counts.flushed);
      expect(after.failed).toBe(0);
      expect((await t.sender.peer.tcpInfo(c.server)).unacked).toBe(0);
    });

    test(`IPv${v6 ? 6 : 4}: replies of full segments end without a tail loss probe`, async () => {
      // 4 ms: below the sender's timer, which is 2 RTT and at least two ticks away
      const c = await t.connect({ every: 100, delay_us: 3_000, rule: ++rule }, { v6, bytesPerSecond: 0 });
      const probes = await t.nstat(t.sender.netns, "TcpExtTCPLossProbes");
      await replies(t, c, rule);
      expect(await t.quiet(c)).toBe(true);
      // A busy machine may be late sometimes; without the agent every held ACK costs a probe.
      const { flushed } = t.counters(rule);
      expect(flushed).toBeGreaterThan(2);
      const probed = (await t.nstat(t.sender.netns, "TcpExtTCPLossProbes")) - probes;
      expect(probed).toBeLessThanOrEqual(1 + flushed / 3);
    });
  }

  test("link-local addresses", async () => {
    const show = ["ip", "-j", "-6", "addr", "show", "dev", t.sender.device, "scope", "link"];
    const local = JSON.parse(await t.lab.exec(t.sender.netns, show))[0].addr_info.find(
      (a: { local?: string }) => a.local,
    ).local;
    const { fd: listener, port } = await t.sender.peer.listen("::");
    const [fd, got] = await Promise.all([
      t.receiver.peer.connect(`${local}%${t.receiver.device}`, port),
      t.sender.peer.accept(listener),
    ]);
    const c: Connection = { listener, port, client: fd, server: got.fd };
    t.strategy(t.receiver.peer, fd, { every: 100, delay_us: 3_000, rule: ++rule });
    await replies(t, c, rule);
    expect(await t.quiet(c)).toBe(true);
    const { flushed } = t.counters(rule);
    expect(flushed).toBeGreaterThan(2);
    expect(t.agent!.stats().failed).toBe(0);
    const { total_retrans: again = 0 } = await t.sender.peer.tcpInfo(c.server);
    expect(again).toBeLessThanOrEqual(1 + flushed / 3);
  });

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
