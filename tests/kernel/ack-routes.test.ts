// SPDX-License-Identifier: MIT
// Table 31904 is main with quickack, stays so, and makes marked sockets acknowledge at once.
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from "bun:test";
import { connectPeers, Lab, type Packet } from "../support/lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { BIT, RoutesLab } from "../support/routes-lab.ts";

const SOL_SOCKET = 1;
const SO_MARK = 36;
const FIRST = 20; // segments that every new connection acknowledges at once
const THINKING_MS = 20; // from a request to its reply, which carries the ACK otherwise

describeIf(labRequirement.ok, labRequirement.reason)("the copy of the main table", () => {
  let lab: Lab;
  let r: RoutesLab;
  let n = 0;

  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());
  beforeEach(async () => {
    r = await RoutesLab.create(lab, `n${++n}`);
  });
  afterEach(async () => {
    await r.driver.ask("close");
    expect(await r.traces()).toEqual({ rules: 0, routes: 0 });
  });

  const equal = async (count4: number, count6: number) => {
    for (const [version, count] of [[4, count4] as const, [6, count6] as const]) {
      const { main, copy } = await r.tables(version);
      expect(copy).toEqual(main);
      expect(copy.length).toBe(count);
    }
  };

  test("holds every kind of route", async () => {
    await r.ip(
      "route add default via 10.1.0.2",
      "route add default via 10.2.0.2 metric 50",
      "route add 10.9.0.0/24 nexthop via 10.1.0.3 weight 2 nexthop via 10.1.0.4",
      "route add 10.9.1.0/24 mtu lock 1400 initcwnd 30 via 10.1.0.3",
      "route add 10.9.2.0/24 tos 0x10 via 10.1.0.3",
      "route add 10.9.3.0/24 via inet6 fd01::5 dev d1",
      "route add 10.9.4.0/24 via 172.16.0.1 dev d1 onlink src 10.1.0.1",
      "route add blackhole 10.10.0.0/16",
      "route add unreachable 10.11.0.0/16",
      "route add prohibit 10.12.0.0/16",
      "route add throw 10.13.0.0/16",
      "nexthop add id 7 via 10.1.0.9 dev d1",
      "nexthop add id 8 blackhole",
      "nexthop add id 9 via 10.1.0.8 dev d1",
      "nexthop add id 10 group 7/9",
      "nexthop add id 11 via fd01::9 dev d1",
      "route add 10.20.0.0/16 nhid 7",
      "route add 10.21.0.0/16 nhid 8",
      "route add 10.22.0.0/16 nhid 10",
      "-6 route add 2001:db7::/32 nhid 11",
      "-6 route add default via fd01::2 mtu 1400",
      "-6 route add 2001:db8::/32 nexthop via fd01::3 nexthop via fd01::4 weight 3",
      "-6 route add unreachable 2001:db9::/32",
      "-6 route add 2001:dba::/32 from fd01::/64 via fd01::3",
      "-6 route add 2001:dbb::/32 dev d1 expires 1000",
    );
    await r.driver.open();
    await equal(16, 9);
  });

  test("follows additions, removals and replacements", async () => {
    await r.driver.open();
    const steps = [
      "route add 10.30.0.0/16 via 10.1.0.7",
      "route append 10.30.0.0/16 via 10.1.0.8",
      "route prepend 10.30.0.0/16 via 10.1.0.9",
      "route replace 10.30.0.0/16 via 10.1.0.6",
      "route del 10.30.0.0/16 via 10.1.0.8",
      "route add default nexthop via 10.1.0.3 nexthop via 10.2.0.3",
      "route change default via 10.1.0.3 mtu 1300",
      "route del default",
      "-6 route add 2001:db8::/32 via fd01::3",
      "-6 route append 2001:db8::/32 via fd01::4",
      "-6 route append 2001:db8::/32 nexthop via fd01::5 weight 4",
      "-6 route del 2001:db8::/32 via fd01::3",
      "-6 route replace 2001:db8::/32 via fd01::6 mtu 1300",
      "-6 route change 2001:db8::/32 via fd01::6 mtu 1400",
      "-6 route replace 2001:db8::/32 nexthop via fd01::7 nexthop via fd01::8",
      "-6 route del 2001:db8::/32",
      "addr add 10.3.0.1/24 dev d2",
      "addr add fd03::1/64 dev d2 nodad",
      "route add 10.31.0.0/16 via 10.2.0.9 src 10.3.0.1",
      "addr del 10.3.0.1/24 dev d2", // takes the route with that source, without a notification
      "addr del fd03::1/64 dev d2",
      "nexthop add id 7 via 10.1.0.9 dev d1",
      "route add 10.20.0.0/16 nhid 7",
      "nexthop replace id 7 via 10.1.0.8 dev d1",
      "nexthop del id 7",
    ];
    for (const step of steps) {
      await r.ip(step);
      for (const version of [4, 6] as const) {
        const { main, copy } = await r.tables(version);
        expect({ step, routes: copy }).toEqual({ step, routes: main });
      }
    }
    expect((await r.driver.stats()).errors).toBe(0);
  });

  test("follows devices that go down, come up and go away", async () => {
    await r.ip(
      "route add 10.9.0.0/24 nexthop via 10.1.0.3 nexthop via 10.2.0.3",
      "route add default via 10.2.0.2",
    );
    await r.ip("link add d3 type veth peer name d4", "link set d3 up", "addr add 10.4.0.1/24 dev d3");
    await r.ip("route add 10.40.0.0/16 via 10.4.0.2", "link set d2 down");
    await r.driver.open(); // while a next hop is dead
    expect((await r.copy(4)).find((route) => route.dst === "10.9.0.0/24")?.gateway).toBe("10.1.0.3");
    await r.ip("link set d2 up");
    await equal(5, 3);
    for (const step of [
      "link set d1 down",
      "link set d1 up",
      "link del d3",
      "link set d2 down",
      "link set d2 up",
    ]) {
      await r.ip(step);
      await r.driver.stats();
    }
    await equal((await r.tables(4)).main.length, (await r.tables(6)).main.length);
  });

  test("stands directly in front of main, for the bit alone", async () => {
    await r.ip("rule add from 10.50.0.0/16 lookup 100", "rule add fwmark 0x100/0xf00 lookup 101");
    await r.driver.open(BIT | 1);
    for (const version of [4, 6] as const) {
      const rules = await r.rules(version);
      const main = rules.findIndex((rule) => rule.table === "254");
      const ours = rules.slice(main - 2, main).map(({ fwmark, fwmask }) => [fwmark, fwmask]);
      expect(ours).toEqual([
        ["0x1", "0x1"],
        ["0x2000", "0x2000"],
      ]);
    }
    await r.ip("rule add from 10.51.0.0/16 pref 32765 lookup 102");
    await r.driver.stats();
    expect((await r.rules(4)).map((rule) => rule.table).slice(-5)).toEqual([
      "102",
      "31904",
      "31904",
      "254",
      "253",
    ]);
    await r.driver.ask("bits 2");
    expect((await r.rules(4)).filter((rule) => rule.table === "31904").map((rule) => rule.fwmark)).toEqual([
      "0x2",
    ]);
    await r.driver.ask("bits 0");
    expect((await r.traces()).rules).toBe(0);
  });
});

const needs = every("all", labRequirement, captureRequirement);
describeIf(needs.ok, needs.reason)("a server that thinks before it replies", () => {
  let lab: Lab;
  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** Milliseconds from a request to its acknowledgement, alone or with the reply. */
  const delays = (packets: Packet[], port: number): number[] => {
    const data = packets.filter((p) => p.dport === port && p.length > 0).slice(FIRST);
    const acks = packets.filter((p) => p.sport === port);
    return data.map((d) => {
      const ack = acks.find((a) => a.time >= d.time && a.ack === (d.seq + d.length) % 2 ** 32);
      return ack ? (ack.time - d.time) * 1000 : Number.POSITIVE_INFINITY;
    });
  };
  const median = (values: number[]) => values.sort((a, b) => a - b)[values.length >> 1] ?? Number.NaN;

  for (const version of [4, 6] as const) {
    test(`acknowledges a request at once, with the bit, over IPv${version}`, async () => {
      const [a, b] = [`send${version}`, `read${version}`];
      await lab.netns(a);
      const r = await RoutesLab.create(lab, b);
      const link = await lab.link(a, b);
      await r.driver.open();
      const [sender, reader] = [await lab.peer(a), await lab.peer(b)];
      const addr = version === 4 ? link.b.v4 : link.b.v6;
      const capture = await lab.capture(b, link.b.device);
      const flow = async (port: number, mark: number) => {
        const c = await connectPeers(sender, reader, addr, { port });
        await reader.setopt(c.server, SOL_SOCKET, SO_MARK, mark);
        for (let i = 0; i < FIRST + 12; i++) {
          await sender.send(c.client, 500);
          await reader.recv(c.server, 500);
          await Bun.sleep(THINKING_MS);
          await reader.send(c.server, 10);
          await sender.recv(c.client, 10);
        }
      };
      await Promise.all([flow(7001, BIT), flow(7002, 0), flow(7003, BIT | 4), flow(7004, 4)]);
      await capture.stop();
      const packets = await capture.packets();
      const [marked, none, both, other] = [7001, 7002, 7003, 7004].map((port) =>
        median(delays(packets, port)),
      );
      console.log(
        `IPv${version} ms to the ACK: bit ${marked}, none ${none}, with another ${both}, other ${other}`,
      );
      expect(marked).toBeLessThan(THINKING_MS / 4);
      expect(both).toBeLessThan(THINKING_MS / 4);
      expect(none).toBeGreaterThan(THINKING_MS * 0.9);
      expect(other).toBeGreaterThan(THINKING_MS * 0.9);
    }, 30_000);
  }
});
