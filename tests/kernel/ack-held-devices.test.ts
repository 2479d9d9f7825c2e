// SPDX-License-Identifier: MIT
// Devices on top of the link: held ACKs leave through them with the address, the tag and the next hop of those that
// the kernel sends itself.

import { expect } from "bun:test";
import type { Lab, LinkEnd } from "../support/lab.ts";
import { captureRequirement, describeIf, deviceRequirement, every, testIf } from "../support/requires.ts";
import { FAMILIES, type Family, HeldLab } from "../support/thinner-held.ts";

const VLAN = "5";

interface Kind {
  name: string;
  needs: { ok: boolean; reason: string };
  /** Makes it at the receiver, of the link `near`, and names it. */
  make(ip: (words: string) => Promise<unknown>): Promise<unknown>;
  /** The sender has such a device as well. */
  isBoth?: boolean;
}

const KINDS: Kind[] = [
  {
    name: "bridge",
    needs: deviceRequirement("bridge"),
    make: async (ip) => {
      await ip("link add top type bridge");
      await ip("link set near master top");
    },
  },
  {
    name: "macvlan",
    needs: deviceRequirement("macvlan", ["mode", "bridge"]),
    make: (ip) => ip("link add link near name top type macvlan mode bridge"),
  },
  {
    name: "ipvlan",
    needs: deviceRequirement("ipvlan", ["mode", "l2"]),
    make: (ip) => ip("link add link near name top type ipvlan mode l2"),
  },
  {
    name: "VLAN",
    needs: deviceRequirement("vlan", ["id", VLAN]),
    make: (ip) => ip(`link add link near name top type vlan id ${VLAN}`),
    isBoth: true,
  },
  {
    name: "VLAN on a bridge",
    needs: every("vlan on a bridge", deviceRequirement("vlan", ["id", VLAN]), deviceRequirement("bridge")),
    make: async (ip) => {
      await ip("link add low type bridge");
      await ip("link set near master low");
      await ip("link set low up");
      await ip(`link add link low name top type vlan id ${VLAN}`);
    },
    isBoth: true,
  },
  {
    name: "bond",
    needs: deviceRequirement("bond"),
    make: async (ip) => {
      await ip("link add top type bond mode active-backup");
      await ip("link set near master top");
    },
  },
];

/** A link whose ends have no addresses, and on top of it what has them. */
function stacked({ make, isBoth = false }: Kind) {
  return async (lab: Lab): Promise<[LinkEnd, LinkEnd]> => {
    const [sender, receiver] = [await lab.netns("sender"), await lab.netns("receiver")];
    const ip = (netns: string) => (words: string) => lab.exec(netns, ["ip", ...words.split(" ")]);
    const peer = `type veth peer name near index 203 netns ${receiver}`;
    await ip(sender)(`link add near index 202 ${peer}`);
    const ends: LinkEnd[] = [];
    for (const [i, netns] of [sender, receiver].entries()) {
      const isStacked = netns === receiver || isBoth;
      if (isStacked) await make(ip(netns));
      const device = isStacked ? "top" : "near";
      const end = { netns, device, v4: `10.79.3.${i + 1}`, v6: `fd79:3::${i + 1}` };
      for (const d of new Set(["near", device])) await ip(netns)(`link set ${d} up`);
      await ip(netns)(`addr add ${end.v4}/24 dev ${device}`);
      await ip(netns)(`addr add ${end.v6}/64 dev ${device} nodad`);
      ends.push(end);
    }
    return [ends[0]!, ends[1]!];
  };
}

const { ok, reason } = captureRequirement;
describeIf(ok, reason)("held ACKs leave by a device of type", () => {
  for (const kind of KINDS) {
    testIf(kind.needs.ok, kind.needs.reason)(`${kind.name}`, async () => {
      await using h = await HeldLab.over(stacked(kind), "near");
      const { lab, sender, receiver } = h.t;
      const links = JSON.parse(await lab.exec(receiver.netns, ["ip", "-j", "link", "show", "dev", "top"]));
      const judge = async (family: Family, to: string) => {
        const c = await h.connect(to);
        const { look, seen } = await h.same(c);
        expect(look["eth.src"]).toBe(links[0].address);
        expect(look["vlan.id"]).toBe(kind.isBoth ? VLAN : undefined);
        expect(seen.flushed).toBeGreaterThan(0);
        expect(look[family === "v6" ? "ipv6.nxt" : "ip.hdr_len"]).toBeDefined();
        await h.close(c);
      };
      for (const family of FAMILIES) await judge(family, sender[family]);
      const show = ["ip", "-j", "-6", "addr", "show", "dev", sender.device, "scope", "link"];
      const [{ addr_info }] = JSON.parse(await lab.exec(sender.netns, show));
      const { local } = addr_info.find((a: { local?: string }) => a.local);
      // who listens on a link-local address is of one link, too
      const { fd: listener, port } = await sender.peer.listen("::");
      const [client, { fd: server }] = await Promise.all([
        receiver.peer.connect(`${local}%top`, port),
        sender.peer.accept(listener),
      ]);
      const c = h.hold({ listener, port, client, server });
      const { look, seen } = await h.same(c);
      expect(look["ipv6.dst"]).toBe(local);
      expect(look["vlan.id"]).toBe(kind.isBoth ? VLAN : undefined);
      expect(seen.flushed).toBeGreaterThan(0);
    });
  }
});
