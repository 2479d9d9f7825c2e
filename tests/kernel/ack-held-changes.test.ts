// SPDX-License-Identifier: MIT
// Routes, rules, addresses, devices and the socket's own settings change while ACKs are held: those that the agent
// sends leave as those of the kernel, or none is held any more.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { IPPROTO_IPV6, SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import type { Look } from "../support/thinner-fields.ts";
import { FAMILIES, type Family, type Held, RECEIVER, SENDER, TwoWays } from "../support/thinner-held.ts";

const { ok, reason } = every("held", labRequirement, captureRequirement);
const IPPROTO_IP = 0;
const [IP_TOS, IP_TTL, IP_OPTIONS, IP_MTU_DISCOVER] = [1, 2, 4, 10];
const [IPV6_UNICAST_HOPS, IPV6_MTU_DISCOVER, IPV6_DSTOPTS, IPV6_TCLASS, IPV6_AUTOFLOWLABEL] = [
  16, 23, 59, 67, 70,
];
const SO_BINDTODEVICE = 25;
const [IP_TRANSPARENT, IPV6_TRANSPARENT] = [19, 75];
const PADDED = "0000010400000000"; // an extension header of padding

describeIf(ok, reason)("held ACKs, when in mid-connection", () => {
  let h: TwoWays;
  let undo: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    h = await TwoWays.create();
  });
  afterEach(async () => {
    const steps = undo.reverse();
    undo = [];
    for (const step of steps) await step();
  });
  afterAll(async () => await h?.[Symbol.asyncDispose]());

  const open = async (family: Family): Promise<Held> => {
    const c = await h.connect(SENDER[family]);
    undo.push(() => h.close(c));
    return c;
  };
  const set = (c: Held, level: number, name: number, value: number) =>
    h.t.receiver.peer.setopt(c.client, level, name, value);
  const bind = (c: Held, device: string) =>
    h.t.receiver.peer.setBytes(c.client, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(device));
  const rule = async (family: Family, words: string) => {
    await h.ip(family, `rule add ${words} pref 100`);
    undo.push(() => h.ip(family, "rule del pref 100"));
  };
  const hops = ({ "ip.ttl": v4, "ipv6.hlim": v6 }: Look) => Number(v4 ?? v6);

  for (const family of FAMILIES) {
    const isV6 = family === "v6";
    describe(`IP${family}`, () => {
      test("a route is replaced by one with another device and gateway", async () => {
        const c = await open(family);
        undo.push(() => h.repair());
        const { device, seen } = await h.changed(c, () =>
          h.ip(family, `route replace ${h.route(family, 1)}`),
        );
        expect(device).toBe(h.devices[1]!);
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("a route is deleted, and comes back", async () => {
        const c = await open(family);
        const { device, seen } = await h.changed(c, async () => {
          await h.ip(family, `route del ${SENDER[family]}`);
          await Bun.sleep(50);
          await h.repair();
        });
        expect(device).toBe(h.devices[0]!);
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("a rule by source leads to another table", async () => {
        const c = await open(family);
        const { device, seen } = await h.changed(c, () => rule(family, `from ${RECEIVER[family]} lookup 77`));
        expect(device).toBe(h.devices[1]!);
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("a rule by mark leads to another table, and the socket gets the mark", async () => {
        const c = await open(family);
        const { device } = await h.changed(c, async () => {
          await rule(family, "fwmark 5 lookup 77");
          await set(c, SOL_SOCKET, SO_MARK, 5);
        });
        expect(device).toBe(h.devices[1]!);
      });

      test("the socket is bound to its device, and a rule leads to another one", async () => {
        const c = await open(family);
        const { device } = await h.changed(c, async () => {
          await bind(c, h.near[0]!.device);
          await rule(family, `from ${RECEIVER[family]} lookup 77`);
        });
        expect(device).toBe(h.devices[0]!);
        // what others send is not bound, but has the device of their own
        const other = await open(family);
        await h.same(other);
        expect((await h.same(c)).device).toBe(h.devices[0]!);
      });

      test("a rule leads a source elsewhere, which the application has not named: it may have its route still", async () => {
        await rule(family, `from ${RECEIVER[family]} lookup 77`);
        const c = await open(family);
        expect((await h.same(c)).seen.flushed).toBeGreaterThan(0);
      });

      test("a rule leads a source elsewhere that is no address of the host", async () => {
        const foreign = isV6 ? "fd50::1" : "10.50.0.1";
        const { receiver, sender, lab } = h.t;
        await lab.exec(sender.netns, [
          ...["ip", "route", "add", foreign, "src", SENDER[family], "via", h.near[0]![family]],
        ]);
        await h.ip(family, `rule add iif ${h.near[0]!.device} to ${foreign} lookup 78 pref 99`);
        undo.push(
          () => lab.exec(sender.netns, ["ip", "route", "del", foreign]),
          () => h.ip(family, "rule del pref 99"),
          () => h.ip(family, "route flush table 78"),
        );
        await h.ip(family, `route add local ${foreign} dev lo table 78`);
        const client = await receiver.peer.socket(isV6 ? 6 : 4);
        const level = isV6 ? IPPROTO_IPV6 : IPPROTO_IP;
        await receiver.peer.setopt(client, level, isV6 ? IPV6_TRANSPARENT : IP_TRANSPARENT, 1);
        await receiver.peer.bind(client, foreign);
        const { fd: listener, port } = await sender.peer.listen(SENDER[family]);
        const [, { fd: server }] = await Promise.all([
          receiver.peer.connectFd(client, SENDER[family], port),
          sender.peer.accept(listener),
        ]);
        const c = h.hold({ listener, port, client, server });
        undo.push(() => h.close(c));
        const { look, device, seen } = await h.changed(c, () => rule(family, `from ${foreign} lookup 77`));
        expect(look[isV6 ? "ipv6.src" : "ip.src"]).toBe(foreign);
        expect(device).toBe(h.devices[1]!);
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("the device goes down, and up again", async () => {
        const c = await open(family);
        const { device } = h.near[0]!;
        const { seen } = await h.changed(c, async () => {
          await h.ip(family, `link set ${device} down`);
          await Bun.sleep(50);
          await h.ip(family, `link set ${device} up`);
          await h.repair();
        });
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("the address goes, and comes back", async () => {
        const c = await open(family);
        const { look } = await h.changed(c, async () => {
          await h.ip(family, `addr del ${RECEIVER[family]}/${isV6 ? 128 : 32} dev lo`);
          await Bun.sleep(50);
          await h.repair();
        });
        expect(look[isV6 ? "ipv6.src" : "ip.src"]).toBe(RECEIVER[family]);
      });

      for (const mtu of [1300, 4000]) {
        test(`the MTU of the link becomes ${mtu}`, async () => {
          const resize = async (to: number) => {
            for (const { netns, device } of [h.near[0]!, h.far[0]!]) {
              await h.t.lab.exec(netns, ["ip", "link", "set", device, "mtu", `${to}`]);
            }
          };
          undo.push(() => resize(1500).then(() => h.repair()));
          const c = await open(family);
          await h.changed(c, () => resize(mtu));
        });
      }

      test("the application sets TOS or traffic class", async () => {
        const c = await open(family);
        const { look } = await h.changed(c, () =>
          isV6 ? set(c, IPPROTO_IPV6, IPV6_TCLASS, 0x48) : set(c, IPPROTO_IP, IP_TOS, 0x48),
        );
        expect(Number(look["ip.dsfield"] ?? look["ipv6.tclass"])).toBe(0x48);
      });

      test("the application sets TTL or hop limit", async () => {
        const c = await open(family);
        const { look, seen } = await h.changed(c, () =>
          isV6 ? set(c, IPPROTO_IPV6, IPV6_UNICAST_HOPS, 77) : set(c, IPPROTO_IP, IP_TTL, 77),
        );
        expect(hops(look)).toBe(77);
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("the administrator sets TTL or hop limit for all", async () => {
        const key = isV6 ? `net.ipv6.conf.${h.near[0]!.device}.hop_limit` : "net.ipv4.ip_default_ttl";
        const all = (n: number) => h.t.lab.sysctl(h.t.receiver.netns, key, n);
        undo.push(() => all(64));
        const c = await open(family);
        const { look, seen } = await h.changed(c, () => all(99));
        expect(hops(look)).toBe(99);
        expect(seen.flushed).toBeGreaterThan(0);
      });

      test("a route has a hop limit of its own", async () => {
        undo.push(() => h.repair());
        const c = await open(family);
        const { look } = await h.changed(c, () =>
          h.ip(family, `route replace ${h.route(family, 0, "hoplimit 33")}`),
        );
        expect(hops(look)).toBe(33);
      });

      test("the application asks for packets that may be fragmented", async () => {
        const c = await open(family);
        const { look } = await h.changed(c, () =>
          isV6 ? set(c, IPPROTO_IPV6, IPV6_MTU_DISCOVER, 0) : set(c, IPPROTO_IP, IP_MTU_DISCOVER, 0),
        );
        if (!isV6) expect(look["ip.flags.df"]).toMatch(/^(0|False)$/);
      });

      test("the application sets IP options or an extension header", async () => {
        const c = await open(family);
        const bytes = (level: number, name: number, hex: string) =>
          h.t.receiver.peer.setBytes(c.client, level, name, Buffer.from(hex, "hex"));
        const { look, seen } = await h.changed(c, () =>
          isV6 ? bytes(IPPROTO_IPV6, IPV6_DSTOPTS, PADDED) : bytes(IPPROTO_IP, IP_OPTIONS, "01010101"),
        );
        if (isV6) expect(look["ipv6.nxt"]).toBe("60");
        else expect(look["ip.hdr_len"]).toBe("24");
        expect(seen.dropped).toBe(0);
      });

      test("a connection without timestamps is led elsewhere", async () => {
        const timestamps = (n: number) => h.t.lab.sysctl(h.t.receiver.netns, "net.ipv4.tcp_timestamps", n);
        undo.push(() => timestamps(1));
        await timestamps(0);
        const c = await open(family);
        const { look, device, seen } = await h.changed(c, () =>
          rule(family, `from ${RECEIVER[family]} lookup 77`),
        );
        expect(device).toBe(h.devices[1]!);
        expect(look["tcp.option_kind"]).toBeUndefined();
        expect(seen.flushed).toBeGreaterThan(0);
      });
    });
  }

  test("the application wants no flow label", async () => {
    const c = await open("v6");
    const { look } = await h.changed(c, () => set(c, IPPROTO_IPV6, IPV6_AUTOFLOWLABEL, 0));
    expect(Number(look["ipv6.flow"])).toBe(0);
  });
});
