// SPDX-License-Identifier: MIT
// Firewalls and NAT on the receiver's host, from the beginning or from the middle of a connection on: held ACKs pass
// them a second time, and look as those that did so once, or none is held.

import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { attempts } from "../support/lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  natRequirement,
  synproxyRequirement,
  testIf,
} from "../support/requires.ts";
import { looksOf } from "../support/thinner-fields.ts";
import { FAMILIES, type Held, HeldLab, RECEIVER, SENDER, TwoWays } from "../support/thinner-held.ts";
import { SO_MAX_PACING_RATE } from "../support/thinner-lab.ts";

const { ok, reason } = every("firewall", labRequirement, captureRequirement, natRequirement);
const OTHER = "10.99.0.1";

const chain = (kind: string, rule: string) =>
  `add table inet f\ntable inet f {\n chain c {\n type ${kind};\n ${rule}\n }\n}\n`;

describeIf(ok, reason)("held ACKs and firewalls", () => {
  let h: TwoWays;
  let undo: (() => Promise<unknown>)[] = [];
  beforeAll(async () => {
    h = await TwoWays.create();
    await h.ip("v4", `addr add ${OTHER}/32 dev lo`);
    await h.t.lab.exec(h.t.sender.netns, ["ip", "route", "add", OTHER, "via", h.near[0]!.v4]);
  });
  afterEach(async () => {
    const steps = undo.reverse();
    undo = [];
    for (const step of steps) await step();
  });
  afterAll(async () => await h?.[Symbol.asyncDispose]());

  const firewall = async (kind: string, rule: string) => {
    await h.nft(chain(kind, rule));
    undo.push(() => h.nft("delete table inet f\n"));
  };
  const open = async (to: string): Promise<Held> => {
    const c = await h.connect(to);
    undo.push(() => h.close(c));
    return c;
  };

  for (const family of FAMILIES) {
    const isV6 = family === "v6";
    describe(`IP${family}`, () => {
      test("a mark from a chain that routes anew, and a rule by it", async () => {
        const c = await open(SENDER[family]);
        await h.ip(family, "rule add fwmark 5 lookup 77 pref 100");
        undo.push(() => h.ip(family, "rule del pref 100"));
        const set = () => firewall("route hook output priority mangle", "meta mark set 5");
        expect((await h.changed(c, set)).device).toBe(h.devices[1]!);
      });

      test("DSCP and TTL from a firewall", async () => {
        const words = isV6 ? ["ip6 dscp", "ip6 hoplimit"] : ["ip dscp", "ip ttl"];
        const c = await open(SENDER[family]);
        const set = () =>
          firewall("filter hook postrouting priority mangle", `${words[0]} set cs3 ${words[1]} set 33`);
        const { look } = await h.changed(c, set);
        expect(Number(look["ip.dsfield"] ?? look["ipv6.tclass"])).toBe(0x60);
        expect(look[isV6 ? "ipv6.hlim" : "ip.ttl"]).toBe("33");
      });

      for (const nat of ["masquerade", `snat ${isV6 ? "ip6 to fd99::1" : `ip to ${OTHER}`}`]) {
        test(`NAT (${nat.split(" ")[0]}) for whom is new leaves the connection alone`, async () => {
          // what is tracked already has its addresses
          await firewall("filter hook output priority 0", "ct state established counter");
          const c = await open(SENDER[family]);
          const later = chain("nat hook postrouting priority 100", nat).replaceAll("inet f", "inet later");
          undo.push(() => h.nft("delete table inet later\n"));
          const { look, seen } = await h.changed(c, () => h.nft(later));
          expect(look[isV6 ? "ipv6.src" : "ip.src"]).toBe(RECEIVER[family]);
          expect(seen.flushed).toBeGreaterThan(0);
        });
      }
    });
  }

  test("NAT that was there: what another address or port is given to is not held", async () => {
    await h.nft(chain("nat hook postrouting priority 100", `ip daddr ${SENDER.v4} snat ip to ${OTHER}`));
    undo.push(() => h.nft("delete table inet f\n"));
    const c = await open(SENDER.v4);
    const { look, seen } = await h.same(c);
    expect(look["ip.src"]).toBe(OTHER);
    expect(seen.dropped).toBe(0);
  });

  test("so it is when the destination is another one than the socket knows", async () => {
    await h.nft(chain("nat hook output priority -100", `ip daddr 10.98.0.1 dnat ip to ${SENDER.v4}`));
    undo.push(() => h.nft("delete table inet f\n"));
    await h.ip("v4", `route add 10.98.0.1 via ${h.far[0]!.v4}`);
    undo.push(() => h.ip("v4", "route del 10.98.0.1"));
    const { peer } = h.t.sender;
    const { fd: listener, port } = await peer.listen(SENDER.v4);
    const [client, { fd: server }] = await Promise.all([
      h.t.receiver.peer.connect("10.98.0.1", port),
      peer.accept(listener),
    ]);
    const c = h.hold({ listener, port, client, server });
    undo.push(() => h.close(c));
    const { look, seen } = await h.same(c);
    expect(look["ip.dst"]).toBe(SENDER.v4);
    expect(seen.dropped).toBe(0);
  });

  test("a firewall that lets nothing out, for a while", async () => {
    const c = await open(SENDER.v4);
    const { seen } = await h.changed(c, async () => {
      await h.nft(chain("filter hook output priority 0", "tcp flags ack drop"));
      await Bun.sleep(100);
      await h.nft("delete table inet f\n");
    });
    expect(seen.flushed).toBeGreaterThan(0);
  });

  testIf(synproxyRequirement.ok, synproxyRequirement.reason)(
    "SYNPROXY, which shifts what the socket counts: none is held, so no number is shifted twice",
    async () => {
      const { receiver, sender } = h.t;
      const key = "net.netfilter.nf_conntrack_tcp_loose";
      await h.nft(chain("filter hook input priority 0", "ct state established counter")); // loads it
      await h.t.lab.sysctl(receiver.netns, key, 0);
      undo.push(() => h.t.lab.sysctl(receiver.netns, key, 1).then(() => h.nft("delete table inet f\n")));
      const proxy = "synproxy mss 1460 wscale 7 timestamp sack-perm";
      await h.nft(`table inet f {
        chain raw { type filter hook prerouting priority raw; tcp flags syn tcp dport 7777 notrack; }
        chain in {
          type filter hook input priority 0;
          tcp dport 7777 ct state { invalid, untracked } ${proxy}
          tcp dport 7777 ct state invalid drop
        }
      }\n`);
      const { fd: listener, port } = await receiver.peer.listen(RECEIVER.v4, 7777);
      const [server, { fd: client }] = await Promise.all([
        sender.peer.connect(RECEIVER.v4, port),
        receiver.peer.accept(listener),
      ]);
      const c = h.hold({ listener, port, client, server });
      undo.push(() => h.close(c));
      // the proxy's handshake may look like a long way: steady until its round trips are over
      await sender.peer.setopt(server, 1, SO_MAX_PACING_RATE, 1_500_000);
      const judged = async () => {
        await h.t.transfer(c, 1_000_000);
        const { dropped, unserved } = h.t.counters(c.rule);
        return dropped + unserved;
      };
      const seen = await h.watch(c, () => attempts(20, judged, (n) => n > 50));
      const acks = Object.values(seen.acks).flat();
      expect(looksOf(acks)).toHaveLength(1);
      expect(new Set(acks.map(({ seq }) => seq)).size).toBe(1);
      expect(seen.dropped).toBe(0);
      expect(h.t.counters(c.rule).unserved).toBeGreaterThan(50);
    },
    60_000,
  );
});

describeIf(ok, reason)("held ACKs behind a host that forwards", () => {
  test("NAT there, from the middle of the connection on", async () => {
    await using h = await HeldLab.over(async (lab) => {
      const { client, server } = await lab.routed(["receiver", "router", "sender"]);
      // every segment is acknowledged at once, as on links
      for (const family of ["-4", "-6"]) {
        const [route] = JSON.parse(
          await lab.exec("receiver", ["ip", "-j", family, "route", "show", "default"]),
        );
        const at = ["default", "via", route.gateway, "dev", route.dev, "quickack", "1"];
        await lab.exec("receiver", ["ip", family, "route", "replace", ...at]);
      }
      return [server, client];
    });
    const rules = "table inet f {\n chain c {\n type nat hook postrouting priority 100; masquerade\n }\n}\n";
    await h.t.lab.nft(
      h.t.lab.ns("router"),
      "table inet t { chain c { type filter hook forward priority 0; ct state new; }; }\n",
    );
    for (const family of FAMILIES) {
      const c = await h.connect(h.t.sender[family]);
      const { look, seen } = await h.changed(c, () => h.t.lab.nft(h.t.lab.ns("router"), rules));
      expect(look[family === "v6" ? "ipv6.hlim" : "ip.ttl"]).toBe("63");
      expect(seen.flushed).toBeGreaterThan(0);
      await h.close(c);
      // and whoever is new there has the router's address; nobody here knows
      const next = await h.connect(h.t.sender[family]);
      expect((await h.same(next)).seen.flushed).toBeGreaterThan(0);
      expect((await h.t.sender.peer.peerName(next.server)).addr).not.toBe(h.t.receiver[family]);
      await h.close(next);
      await h.t.lab.nft(h.t.lab.ns("router"), "delete table inet f\n");
    }
  });
});
