// SPDX-License-Identifier: MIT
// The thinner and its agent between real hosts: transfers, namespaces, NAT, ECN, and their end.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connectPeers, type Peer, until } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { isPure, SO_MAX_PACING_RATE, type ThinCounters, ThinnerLab } from "../support/thinner-lab.ts";
import { strides, WireSender } from "../support/thinner-wire.ts";

const { ok, reason } = every("hosts", labRequirement, captureRequirement, nftRequirement);
const TEN = { every: 10, delay_us: 20_000 };

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
      const { snd_mss: mss = 0 } = await t.sender.peer.tcpInfo(c.server);
      const probes = await t.nstat(t.sender.netns, "TcpExtTCPLossProbes");
      for (let reply = 0; reply < 100; reply++) {
        await t.transfer(c, 8 * mss);
        await Bun.sleep(6);
      }
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
    const { snd_mss: mss = 0 } = await t.sender.peer.tcpInfo(c.server);
    for (let reply = 0; reply < 100; reply++) {
      await t.transfer(c, 8 * mss);
      await Bun.sleep(6);
    }
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

describeIf(ok, reason)("the agent of the thinner", () => {
  test("a namespace is served when it is first needed, several at once", async () => {
    await using t = await ThinnerLab.create();
    const others = ["second", "third"];
    const c = await t.connect({ ...TEN, rule: 1 });
    expect(t.served(t.receiver.netns)).toBe(false);
    await t.transfer(c, 1_000_000);
    expect(t.served(t.receiver.netns)).toBe(true);
    expect(t.counters(1).unserved).toBeGreaterThan(0);
    await t.transfer(c, 1_000_000);
    expect(t.counters(1).dropped).toBeGreaterThan(5);
    for (const [i, name] of others.entries()) {
      const netns = await t.lab.netns(name);
      const peer = await t.lab.peer(netns, t.receiver.cgroup);
      const how = { at: { netns, peer }, v6: i === 1 };
      const s = await WireSender.open(t, { every: 100, delay_us: 20_000, rule: 10 + i }, how);
      expect(t.served(netns)).toBe(false);
      await s.warmUp();
      for (let round = 0; round < 2; round++) {
        await s.full(4);
        expect((await s.acks()).at(-1)?.ack).toBe(await s.receivedAll());
        expect(t.served(netns)).toBe(true);
      }
      expect(t.counters(10 + i)).toMatchObject({ unserved: expect.any(Number), flushed: expect.any(Number) });
      expect(t.counters(10 + i).flushed).toBeGreaterThan(0);
    }
    expect(t.agent!.stats()).toMatchObject({ namespaces: 3, failed: 0 });
  }, 30_000);

  test("nothing is held back before it runs, after its end, and after detaching", async () => {
    await using t = await ThinnerLab.create();
    t.agent!.stop();
    const c = await t.connect({ ...TEN, rule: 1 });
    await t.transfer(c, 500_000);
    expect(t.counters(1)).toMatchObject({ dropped: 0, flushed: 0 });
    t.startAgent().serve(t.receiver.netns);
    await t.transfer(c, 1_000_000);
    const { dropped } = t.counters(1);
    expect(dropped).toBeGreaterThan(5);
    t.agent!.stop();
    expect(t.served(t.receiver.netns)).toBe(false);
    const stopped = t.counters(1);
    await t.transfer(c, 500_000);
    expect(t.counters(1).dropped).toBe(stopped.dropped);
    expect(t.counters(1).unserved).toBeGreaterThan(stopped.unserved);
    t.detach(t.receiver.cgroup);
    const detached = t.counters(1);
    await t.transfer(c, 500_000);
    expect(t.counters(1)).toEqual(detached);
  }, 30_000);

  test("when the agent hangs, nothing is held back after a moment", async () => {
    await using t = await ThinnerLab.create({ idleMs: 30_000, stallMs: 50 });
    t.agent!.stop();
    const { ino } = statSync(`/run/netns/${t.receiver.netns}`);
    t.lib.tcpx_map_update(t.thinner.servedFd, new Uint32Array([ino]), new Uint32Array([1]), 0n);
    const s = await WireSender.open(t, { every: 100, delay_us: 20_000 });
    await s.warmUp();
    const rounds = (n: number) =>
      s.counted(async () => {
        for (let round = 0; round < n; round++) {
          await s.full(4);
          await s.acks();
        }
      });
    expect((await rounds(3)).dropped).toBeGreaterThan(0);
    expect(await rounds(2)).toMatchObject({ unserved: expect.any(Number) });
    expect(Object.keys(await rounds(2))).not.toContain("dropped");
    // and one that reads again is trusted again
    t.startAgent().serve(t.receiver.netns);
    await rounds(1);
    expect((await rounds(2)).dropped).toBeGreaterThan(0);
  }, 30_000);

  test("killed, it leaves stock TCP behind", async () => {
    await using t = await ThinnerLab.create();
    t.detach(t.receiver.cgroup);
    const script = join(import.meta.dir, "../support/thinner-agent.ts");
    const child = t.lab.spawn([process.execPath, script, t.receiver.cgroup]);
    const lines = child.stdout.pipeThrough(new TextDecoderStream()).getReader();
    const ask = async (line: string) => {
      if (line) child.stdin.write(`${line}\n`);
      child.stdin.flush();
      return (await lines.read()).value?.trim() ?? "";
    };
    expect(await ask("")).toBe("attached");
    const assign = async (peer: Peer, fd: number) =>
      expect(await ask(`${peer.pid} ${fd} 4 50000`)).toBe("set");
    const s = await WireSender.open(t, {}, { assign });
    await s.warmUp([48, 48, 24]);
    await s.full(18); // fewer every time: no growth, however late they are
    await s.acks();
    expect(JSON.parse(await ask("stats")).flushed).toBeGreaterThan(0);
    await s.full(12);
    expect((await s.acks()).length).toBeLessThan(10);
    await s.full(3);
    child.kill("SIGKILL");
    await child.exited;
    await s.acks();
    const from = await s.receivedAll();
    await s.full(10);
    expect(strides(await s.acks(), from)).toEqual(Array(10).fill(1));
    const tree = await t.lab.exec(undefined, ["bpftool", "cgroup", "tree", t.receiver.cgroup]);
    expect(tree).not.toContain("ack_");
  }, 30_000);
});
