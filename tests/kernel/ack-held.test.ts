// SPDX-License-Identifier: MIT
// Held ACKs take the path of their connection, or are not held: routing that looks at more than addresses, IPsec
// policies, and sockets that have what a raw socket has not. What is held differs in nothing but time.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { attempts, type Connection, type LinkEnd, run, until } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import { SO_MAX_PACING_RATE, type ThinCounters, ThinnerLab } from "../support/thinner-lab.ts";

const { ok, reason } = every("path", labRequirement, captureRequirement, nftRequirement);
const TEN = { every: 10, delay_us: 20_000 };
const [SOL_SOCKET, SO_DONTROUTE, SO_PRIORITY, SO_MARK, SO_BINDTOIFINDEX] = [1, 5, 12, 36, 62];
const [IPPROTO_IP, IP_TOS, IPPROTO_IPV6, IPV6_TCLASS] = [0, 1, 41, 67];
/** Words of ip(8), "ip route add ..." without the first; those that take it back. */
type Way = [name: string, add: string[], why: RegExp, remove: string[]];

const IPV4_RULES: Way[] = [
  ["ipproto tcp", "by protocol$"],
  ["dport 80", "by port$"],
  ["sport 1000-2000", "by port$"],
  ["ipproto tcp dport 80", "by protocol, port$"],
  ["uidrange 5-6", "by user$"],
  ["tos 0x10", "by TOS$"],
].flatMap(([what, why]) =>
  ["-4", "-6"].map((family): Way => {
    const words = `rule add pref 77 ${what} lookup 99`;
    const text = new RegExp(`^IPv${family[1]} rule 77 goes ${why}`);
    return [`${family} ${what}`, [`${family} ${words}`], text, [`${family} rule del pref 77`]];
  }),
);

/** Numbers that tell packets of one connection apart only by their time. */
const FIELDS = [
  "eth.src eth.dst ip.version ip.hdr_len ip.dsfield ip.flags ip.frag_offset ip.ttl ip.src ip.dst ip.checksum.status",
  "ipv6.tclass ipv6.flow ipv6.nxt ipv6.hlim ipv6.src ipv6.dst tcp.srcport tcp.dstport tcp.hdr_len tcp.flags",
  "tcp.urgent_pointer tcp.option_kind tcp.checksum.status frame.len",
].flatMap((words) => words.split(" "));

interface Sent {
  same: string;
  id: number;
  ack: number;
}

async function sentBy(file: string, c: Connection): Promise<Sent[]> {
  const fields = [...FIELDS, "ip.id", "tcp.ack_raw"].flatMap((name) => ["-e", name]);
  const checks = ["-o", "ip.check_checksum:TRUE", "-o", "tcp.check_checksum:TRUE"];
  const pure = `tcp.dstport == ${c.port} && tcp.len == 0 && tcp.flags == 0x010`;
  const text = await run(["tshark", "-n", ...checks, "-r", file, "-Y", pure, "-T", "fields", ...fields]);
  return text
    .split("\n")
    .filter(Boolean)
    .map((line) => {
      const values = line.split("\t");
      const [id, ack] = values.splice(FIELDS.length);
      return { same: values.join(" "), id: Number(id), ack: Number(ack) };
    });
}

describeIf(ok, reason)("the path of held ACKs", () => {
  let t: ThinnerLab;
  let second: { a: LinkEnd; b: LinkEnd };
  let rule = 0;

  const ip = async (words: string[]) => {
    for (const line of words) await t.lab.exec(t.receiver.netns, ["ip", ...line.split(" ")]);
  };
  const hops = (family: "v4" | "v6") =>
    [t.sender[family], second.a[family]].map((via) => `nexthop via ${via}`).join(" ");
  const denied = () => t.agent!.denied().map(({ why }) => why);

  beforeAll(async () => {
    t = await ThinnerLab.create();
    await t.lab.netns("third");
    second = await t.lab.link("third", "receiver");
  });
  afterAll(async () => await t?.[Symbol.asyncDispose]());
  afterEach(async () => {
    expect(t.agent!.stats().failed).toBe(0);
  });

  async function connect(v6 = false): Promise<Connection> {
    return await t.connect({ ...TEN, rule: ++rule }, { v6 });
  }

  /** The sender waits for nothing: all is acknowledged. */
  async function transfer(c: Connection, bytes: number): Promise<void> {
    await t.transfer(c, bytes);
    expect(await t.quiet(c)).toBe(true);
  }

  /** What is counted of transfers until so many ACKs passed that would have been held. */
  async function passed(c: Connection, number = rule): Promise<ThinCounters> {
    const before = t.counters(number);
    const count = async () => {
      await transfer(c, 500_000);
      const now = t.counters(number);
      return Object.fromEntries(
        Object.entries(now).map(([name, n]) => [name, n - before[name as keyof ThinCounters]]),
      ) as ThinCounters;
    };
    return await attempts(8, count, ({ path }) => path > 10);
  }

  async function expectPassed(c: Connection): Promise<void> {
    const counted = await passed(c);
    expect(counted.path).toBeGreaterThan(10);
    expect(counted.dropped).toBe(0);
  }

  test.each([false, true])(
    "held and passed ACKs differ in nothing but time, IPv6 %p",
    async (v6) => {
      // a checksum is the device's to make otherwise, and a capture shows half of it
      await t.lab.exec(t.receiver.netns, ["ethtool", "-K", t.receiver.device, "tx", "off"]);
      t.agent!.serve(t.receiver.netns);
      const record = async () => {
        const capture = await t.capture();
        const c = await t.connect({ every: 100, delay_us: 3_000, rule: ++rule }, { v6 });
        const { snd_mss: mss = 0 } = await t.sender.peer.tcpInfo(c.server);
        const flushed = async () => {
          for (let i = 0; i < 20; i++) await transfer(c, 8 * mss);
          return t.counters(rule).flushed;
        };
        const late = await attempts(20, flushed, (n) => n > 10);
        const { total_retrans: again = 0 } = await t.sender.peer.tcpInfo(c.server);
        await capture.stop();
        return { late, again, sent: await sentBy(capture.file, c) };
      };
      // what comes twice is answered with SACK, and with another flow label: on a busy machine there may be some of it
      const { late, again, sent } = await attempts(10, record, (seen) => seen.again === 0 && seen.late > 10);
      expect(late).toBeGreaterThan(10);
      expect(again).toBe(0);
      // the first one is the handshake's
      expect(new Set(sent.slice(1).map(({ same }) => same)).size).toBe(1);
      for (const [i, { id, ack }] of sent.entries()) {
        if (i === 0) continue;
        // in the order in which the kernel has made them
        expect((ack - sent[i - 1]!.ack) >>> 0).toBeLessThan(2 ** 31);
        if (!v6) expect((id - sent[i - 1]!.id) & 0xffff).toBeLessThan(2 ** 15);
      }
    },
    120_000,
  );

  test("with two uplinks every connection keeps its own", async () => {
    const { netns } = t.receiver;
    const back = await t.lab.link("third", "sender");
    const [far4, far6] = ["10.210.0.1", "fd21::1"];
    await t.lab.exec(t.sender.netns, ["ip", "addr", "add", `${far4}/32`, "dev", "lo"]);
    await t.lab.exec(t.sender.netns, ["ip", "addr", "add", `${far6}/128`, "dev", "lo", "nodad"]);
    for (const key of ["net.ipv4.ip_forward", "net.ipv6.conf.all.forwarding"]) {
      await t.lab.sysctl(second.a.netns, key, 1);
    }
    for (const [name, device] of [
      [t.sender.netns, back.b.device],
      [t.sender.netns, "all"],
      [second.a.netns, "all"],
      [second.a.netns, second.a.device],
    ]) {
      await t.lab.sysctl(name!, `net.ipv4.conf.${device}.rp_filter`, 0);
    }
    for (const [far, via] of [[far4, back.b.v4] as const, [far6, back.b.v6] as const]) {
      await t.lab.exec(second.a.netns, ["ip", "route", "add", far, "via", via]);
    }
    await t.lab.sysctl(netns, "net.ipv4.fib_multipath_hash_policy", 1);
    await ip([
      `route add ${far4} src ${t.receiver.v4} ${hops("v4")}`,
      `-6 route add ${far6} src ${t.receiver.v6} ${hops("v6")}`,
    ]);
    t.agent!.serve(netns);
    const captures = [await t.capture(), await t.lab.capture(netns, second.b.device)];
    const connections: Connection[] = [];
    const transferTo = async (addr: string) => {
      const c = await t.connect({ every: 100, delay_us: 3_000, rule: ++rule }, { addr });
      await transfer(c, 500_000);
      connections.push(c);
    };
    for (let i = 0; i < 6; i++) for (const addr of [far4, far6]) await transferTo(addr);
    // and by a rule that only TCP meets
    await ip([
      `route del ${far4}`,
      `-6 route del ${far6}`,
      `route add ${far4} src ${t.receiver.v4} via ${t.sender.v4}`,
    ]);
    await ip([`route add ${far4} src ${t.receiver.v4} via ${second.a.v4} table 97`]);
    await ip(["rule add pref 79 ipproto tcp lookup 97"]);
    expect(await until(() => denied().length === 1)).toBe(true);
    await transferTo(far4);
    for (const capture of captures) await capture.stop();
    const left = await Promise.all(captures.map((capture) => capture.packets("tcp.len == 0")));
    for (const { port } of connections) {
      const ways = left.filter((packets) => packets.some(({ dport }) => dport === port));
      expect(ways).toHaveLength(1);
      expect(ways[0]!.filter(({ dport }) => dport === port).length).toBeGreaterThan(20);
    }
    const { port } = connections.at(-1)!;
    expect(left[1]!.some(({ dport }) => dport === port)).toBe(true);
    await ip(["rule del pref 79", "route flush table 97", `route del ${far4}`]);
    expect(await until(() => denied().length === 0)).toBe(true);
  }, 60_000);

  test("routes over several next hops, while a connection lives", async () => {
    t.agent!.serve(t.receiver.netns);
    const c = await connect();
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    const objects = [`nexthop add id 1 via ${t.sender.v4} dev ${t.receiver.device}`];
    objects.push(`nexthop add id 2 via ${second.a.v4} dev ${second.b.device}`);
    const grouped = [...objects, "nexthop add id 10 group 1/2", "route add 10.200.0.0/24 nhid 10"];
    const gone = ["route del 10.200.0.0/24", "nexthop flush"];
    const several4 = /^IPv4 route 10\.200\.0\.0\/24 has several next hops$/;
    const several6 = /^IPv6 route fd20::\/64 has several next hops$/;
    const six = [t.sender.v6, second.a.v6].map((via) => `-6 route append fd20::/64 via ${via}`);
    const ways: Way[] = [
      ["IPv4", [`route add 10.200.0.0/24 ${hops("v4")}`], several4, ["route del 10.200.0.0/24"]],
      ["IPv6", [`-6 route add fd20::/64 ${hops("v6")}`], several6, ["-6 route del fd20::/64"]],
      ["IPv6, one by one", six, several6, [six[0]!.replace("append", "del")]],
      ["a group", grouped, several4, gone],
      [
        "a group that grows",
        [
          ...[...objects, "nexthop add id 10 group 1", "route add 10.200.0.0/24 nhid 10"],
          "nexthop replace id 10 group 1/2",
        ],
        several4,
        ["nexthop del id 2"],
      ],
      [
        "another table",
        [`route add 10.200.0.0/24 table 99 ${hops("v4")}`],
        several4,
        ["route flush table 99"],
      ],
    ];
    for (const compat of [1, 0]) {
      await t.lab.sysctl(t.receiver.netns, "net.ipv4.nexthop_compat_mode", compat);
      for (const [name, add, why, remove] of ways) {
        await ip(["nexthop flush", "-6 route flush fd20::/64"]); // what a way has left
        expect([name, await until(() => denied().length === 0)]).toEqual([name, true]);
        await ip(add);
        const isTold = () => denied().some((line) => why.test(line));
        expect([name, await until(isTold), denied()]).toEqual([name, true, denied()]);
        if (compat) await expectPassed(c);
        await ip(remove);
        expect([name, await until(() => denied().length === 0)]).toEqual([name, true]);
      }
    }
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
  }, 120_000);

  test("rules by protocol, port, user and TOS, while a connection lives", async () => {
    t.agent!.serve(t.receiver.netns);
    const c = await connect(true);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    for (const [name, add, why, remove] of IPV4_RULES) {
      await ip(add);
      expect([name, await until(() => denied().some((line) => why.test(line)))]).toEqual([name, true]);
      if (name.includes("ipproto")) await expectPassed(c);
      await ip(remove);
      expect([name, await until(() => denied().length === 0)]).toEqual([name, true]);
    }
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
  }, 120_000);

  test("what treats both alike is in nobody's way", async () => {
    await ip([
      "rule add pref 70 ipproto udp dport 53 lookup 99",
      "rule add pref 71 from 10.201.0.0/16 lookup 99",
      "rule add pref 72 fwmark 5 lookup 99",
      "rule add pref 73 iif lo to 10.202.0.1 lookup 99",
      `route add 10.200.0.0/24 via ${t.sender.v4} table 99`,
      `route append 10.200.0.0/24 via ${second.a.v4} table 99 metric 5`,
    ]);
    t.agent!.serve(t.receiver.netns);
    const c = await connect();
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    expect(denied()).toEqual([]);
  });

  test("where a rule looks at the mark, packets whose mark a firewall has changed pass", async () => {
    t.agent!.serve(t.receiver.netns);
    const c = await connect();
    await t.receiver.peer.setopt(c.client, SOL_SOCKET, SO_MARK, 9);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    const chain = "type route hook output priority 0;\n tcp dport != 1 meta mark set 7";
    await t.lab.nft(t.receiver.netns, `table inet marks {\n chain c {\n ${chain}\n }\n}\n`);
    await expectPassed(c);
    for (const pref of [70, 71, 72, 73]) await ip([`rule del pref ${pref}`]);
    await ip(["route flush table 99"]);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5); // nothing looks at it
    await t.lab.nft(t.receiver.netns, "delete table inet marks");
  });

  test.each([
    ["a priority", false, SOL_SOCKET, SO_PRIORITY, 6],
    ["a priority", true, SOL_SOCKET, SO_PRIORITY, 2],
    ["a TOS", false, IPPROTO_IP, IP_TOS, 0xb8],
    ["a TOS without a priority", false, IPPROTO_IP, IP_TOS, 0x04],
    ["a traffic class", true, IPPROTO_IPV6, IPV6_TCLASS, 0x20],
    ["a way without gateways", false, SOL_SOCKET, SO_DONTROUTE, 1],
  ] as const)("a socket with %s, IPv6 %p, is not thinned", async (_, v6, level, name, value) => {
    t.agent!.serve(t.receiver.netns);
    const c = await connect(v6);
    await t.receiver.peer.setopt(c.client, level, name, value);
    await expectPassed(c);
    await t.receiver.peer.setopt(c.client, level, name, 0);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
  });

  test("a device that the socket is bound to is the copy's, too", async () => {
    t.agent!.serve(t.receiver.netns);
    const c = await connect();
    const [link] = JSON.parse(
      await t.lab.exec(t.receiver.netns, ["ip", "-j", "link", "show", "dev", t.receiver.device]),
    );
    await t.receiver.peer.setopt(c.client, SOL_SOCKET, SO_BINDTOIFINDEX, link.ifindex);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
  });

  test("an address that the host answers for and does not have: its route is the source's", async () => {
    const { netns } = t.receiver;
    await t.lab.exec(t.sender.netns, ["ip", "addr", "add", "fd40::1/128", "dev", "lo", "nodad"]);
    const there = `-6 route add fd30::/64 via ${t.receiver.v6} src fd40::1`.split(" ");
    await t.lab.exec(t.sender.netns, ["ip", ...there]);
    await ip([
      ...["-6 route add local fd30::/64 dev lo", "-6 route add unreachable fd40::/64"],
      `-6 route add fd40::/64 via ${t.sender.v6} table 98`,
      "-6 rule add pref 78 from fd30::/64 lookup 98",
    ]);
    t.agent!.serve(netns);
    const { fd: listener, port } = await t.receiver.peer.listen("::");
    const server = await t.sender.peer.connect("fd30::5", port);
    const { fd: client } = await t.receiver.peer.accept(listener);
    const c = { listener, port, client, server };
    await t.sender.peer.setopt(server, SOL_SOCKET, SO_MAX_PACING_RATE, 10_000_000);
    t.strategy(t.receiver.peer, client, { every: 100, delay_us: 3_000, rule: ++rule });
    const { snd_mss: mss = 0 } = await t.sender.peer.tcpInfo(server);
    const flushed = async () => {
      for (let i = 0; i < 10; i++) await transfer(c, 8 * mss);
      return t.counters(rule).flushed;
    };
    expect(await attempts(20, flushed, (n) => n > 5)).toBeGreaterThan(5);
    await ip(["-6 rule del pref 78", "-6 route del unreachable fd40::/64", "-6 route flush table 98"]);
  });

  test("IPsec policies, while a connection lives", async () => {
    t.agent!.serve(t.receiver.netns);
    const c = await connect();
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    // for another flow: what of it the states behind it are for is not looked at
    const selector = "src 10.203.0.1 dst 10.203.0.2";
    await ip([`xfrm policy add ${selector} proto tcp dport 80 dir out action allow`]);
    await expectPassed(c);
    expect(denied()).toEqual(["it has IPsec policies"]);
    await ip([`xfrm policy del ${selector} proto tcp dport 80 dir out`]);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
  });

  test("many routes are looked at in passing, and what comes among many is not overlooked", async () => {
    const address = (i: number) => `10.${100 + (i >> 16)}.${(i >> 8) & 255}.${i & 255}`;
    const all = (verb: string) =>
      Array.from({ length: 100_000 }, (_, i) => `route ${verb} ${address(i)} dev ${second.b.device}`);
    const batch = (lines: string[]) =>
      t.lab.exec(t.receiver.netns, ["ip", "-batch", "-"], `${lines.join("\n")}\n`);
    t.agent!.stop();
    await batch(all("add"));
    t.startAgent().serve(t.receiver.netns);
    const c = await connect();
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    const middle = all("add").toSpliced(50_000, 0, `route add 10.200.0.0/24 ${hops("v4")}`);
    await batch(all("del"));
    await batch(middle);
    expect(await until(() => denied().length === 1)).toBe(true);
    await expectPassed(c);
    await ip(["route del 10.200.0.0/24"]);
    expect(await until(() => denied().length === 0, 20_000)).toBe(true);
    expect(await t.holdBack(c, rule, 5)).toBeGreaterThan(5);
    await batch(all("del"));
  }, 120_000);
});
