// SPDX-License-Identifier: MIT
// Rule sets of well-known tools, and what becomes of ACKs at once behind them: they work, or the command names what
// is in the way, or refuses. The kernel's own answers are the judge of what the command says.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { Lab } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";

/** Commands of ip(8) in a namespace that has d1 (10.1.0.1/24, fd01::1/64), d2 (10.2.0.1/24) and a default route. */
interface RuleSet {
  name: string;
  ip: string[];
  /** What `ack set` is told besides. */
  args?: string;
  /** "works": not a word; else a warning with this, or the refusal. */
  says: "works" | { warns: string[] } | { refuses: string; hint?: string };
}

const DELAY_ONLY = "; --delay needs no routes\n";

const SETS: RuleSet[] = [
  { name: "none", ip: [], says: "works" },
  {
    name: "Tailscale, no exit node",
    ip: [
      "rule add pref 5210 fwmark 0x80000/0xff0000 lookup main",
      "rule add pref 5230 fwmark 0x80000/0xff0000 lookup default",
      "rule add pref 5250 fwmark 0x80000/0xff0000 unreachable",
      "rule add pref 5270 lookup 52",
      "route add 100.64.0.7 dev d2 table 52",
    ],
    says: { warns: ["IPv4 rule 5270 (lookup 52)"] },
  },
  {
    name: "Tailscale, that has no peer yet",
    ip: ["rule add pref 5270 lookup 52", "route add throw 127.0.0.0/8 table 52"],
    says: "works",
  },
  {
    name: "Tailscale, exit node",
    ip: [
      "rule add pref 5210 fwmark 0x80000/0xff0000 lookup main",
      "rule add pref 5270 lookup 52",
      "route add 100.64.0.7 dev d2 table 52",
      "route add default dev d2 table 52",
    ],
    says: { refuses: "IPv4 rule 5270 (lookup 52) routes every connection there is", hint: DELAY_ONLY },
  },
  {
    name: "Tailscale, exit node, IPv6 only",
    ip: ["-6 rule add pref 5270 lookup 52", "-6 route add default dev d2 table 52"],
    says: { refuses: "IPv6 rule 5270 (lookup 52) routes every connection there is" },
  },
  {
    name: "a VPN that has all in halves, behind a bare rule",
    ip: [
      "rule add pref 100 lookup 200",
      "route add 0.0.0.0/1 dev d2 table 200",
      "route add 128.0.0.0/1 dev d2 table 200",
    ],
    says: { refuses: "IPv4 rule 100 (lookup 200) routes every connection there is" },
  },
  {
    name: "OpenVPN: halves in table main itself",
    ip: ["route add 0.0.0.0/1 dev d2", "route add 128.0.0.0/1 dev d2"],
    says: "works",
  },
  {
    name: "wg-quick",
    ip: [
      "rule add pref 32764 not fwmark 0xca6c lookup 51820",
      "rule add pref 32763 lookup main suppress_prefixlength 0",
      "route add default dev d2 table 51820",
    ],
    says: { refuses: "", hint: DELAY_ONLY },
  },
  {
    name: "Calico with WireGuard",
    ip: [
      "rule add pref 99 not fwmark 0x100000/0x100000 lookup 1",
      "route add 10.244.3.0/26 dev d2 table 1",
      "route add throw 10.244.0.0/26 table 1",
    ],
    says: { warns: ["IPv4 rule 99 (not fwmark 0x100000/0x100000 lookup 1)"] },
  },
  {
    name: "Cilium",
    ip: [
      "rule add pref 9 fwmark 0x200/0xf00 lookup 2004",
      "rule add pref 10 fwmark 0xa00/0xf00 lookup 2005",
      "rule add pref 100 lookup local",
      "rule del pref 0",
      "route add local default dev lo table 2004",
      "route add default dev d2 table 2005",
    ],
    says: "works",
  },
  {
    name: "AWS VPC CNI",
    ip: [
      "rule add pref 512 to 10.1.0.77 lookup main",
      "rule add pref 1024 fwmark 0x80/0x80 lookup main",
      "rule add pref 1536 from 10.1.0.77 lookup 2",
      "route add default dev d2 table 2",
    ],
    says: { warns: ["IPv4 rule 512 (to 10.1.0.77 lookup 254)", "IPv4 rule 1536 (from 10.1.0.77 lookup 2)"] },
  },
  {
    name: "a second address of a cloud host",
    ip: ["rule add pref 10001 from 10.2.0.1 lookup 1003", "route add default dev d2 table 1003"],
    says: { warns: ["IPv4 rule 10001 (from 10.2.0.1 lookup 1003)"] },
  },
  {
    name: "netplan: each address has its table",
    ip: [
      "rule add pref 101 from 10.1.0.1 lookup 101",
      "rule add pref 102 from 10.2.0.1 lookup 102",
      "route add default dev d1 table 101",
      "route add default dev d2 table 102",
    ],
    says: { refuses: "routes every connection there is", hint: DELAY_ONLY },
  },
  {
    name: "mwan3, whose mask has bit 13",
    ip: [
      "rule add pref 1001 iif d2 lookup 1",
      "rule add pref 2001 fwmark 0x100/0x3f00 lookup 1",
      "rule add pref 2061 fwmark 0x3d00/0x3f00 blackhole",
      "route add default dev d2 table 1",
    ],
    says: { refuses: "IPv4 rule 2001 looks at the same bit of the mark", hint: "--mark-bit 31 is free here" },
  },
  {
    name: "mwan3, with another bit",
    args: "--mark-bit 31",
    ip: [
      "rule add pref 1001 iif d2 lookup 1",
      "rule add pref 2001 fwmark 0x100/0x3f00 lookup 1",
      "route add default dev d2 table 1",
    ],
    says: "works",
  },
  {
    name: "a mark that is looked at as a whole: no bit is free",
    ip: ["rule add pref 100 fwmark 0x1 lookup 100", "route add default dev d2 table 100"],
    says: { refuses: "IPv4 rule 100 looks at the same bit of the mark", hint: DELAY_ONLY },
  },
  { name: "strongSwan, no tunnel", ip: ["rule add pref 220 lookup 220"], says: "works" },
  {
    name: "strongSwan, a tunnel",
    ip: ["rule add pref 220 lookup 220", "route add 192.168.7.0/24 dev d2 table 220"],
    says: { warns: ["IPv4 rule 220 (lookup 220)"] },
  },
  {
    name: "systemd-networkd: by user, port, protocol, device and TOS",
    ip: [
      "rule add pref 200 uidrange 1000-1001 lookup 300",
      "rule add pref 201 ipproto tcp dport 443 lookup 300",
      "rule add pref 202 ipproto udp dport 53 lookup 300",
      "rule add pref 203 oif d2 lookup 300",
      "rule add pref 204 iif d2 lookup 300",
      "rule add pref 205 tos 0x10 lookup 300",
      "route add default dev d2 table 300",
    ],
    says: {
      warns: [
        "IPv4 rule 200 (uidrange 1000-1001 lookup 300)",
        "IPv4 rule 201 (ipproto 6 dport 443 lookup 300)",
        "IPv4 rule 203 (oif d2 lookup 300)",
        "IPv4 rule 205 (tos 0x10 lookup 300)",
      ],
    },
  },
  {
    name: "a rule that jumps over ours",
    ip: ["rule add pref 40000 lookup main", "rule add pref 50 from 10.2.0.0/24 goto 40000"],
    says: { warns: ["IPv4 rule 50 (from 10.2.0.0/24 goto 40000)"] },
  },
  {
    name: "a table behind main, which main leaves nothing to",
    ip: ["rule add pref 40000 lookup 400", "route add default dev d2 table 400"],
    says: "works",
  },
  {
    name: "a table behind main, which has the default route",
    ip: ["rule add pref 40000 lookup 400", "route del default", "route add default dev d2 table 400"],
    says: { warns: ["IPv4 rule 40000 (lookup 400)"] },
  },
  {
    name: "no routes yet",
    ip: [
      "link set d1 down",
      "link set d2 down",
      "rule add pref 10001 from 10.2.0.1 to 10.9.0.0/16 lookup main",
    ],
    says: "works",
  },
  {
    name: "an address of this host",
    args: "--to 10.1.0.1",
    ip: [],
    says: { refuses: "10.1.0.1 is this host itself" },
  },
  { name: "loopback", args: "--to 127.0.0.0/8", ip: [], says: { refuses: "127.0.0.1 is this host itself" } },
  { name: "loopback of IPv6", args: "--from ::1", ip: [], says: { refuses: "::1 is this host itself" } },
  {
    name: "peers that another table has",
    args: "--to 100.64.0.0/10",
    ip: ["rule add pref 5270 lookup 52", "route add 100.64.0.0/10 dev d2 table 52"],
    says: { refuses: "IPv4 rule 5270 (lookup 52) routes every connection to 100.64.0.0/10" },
  },
  {
    name: "peers that table main has, where another one has the rest",
    args: "--to 10.1.0.0/24",
    ip: ["rule add pref 5270 to 10.8.0.0/16 lookup 52", "route add default dev d2 table 52"],
    says: { warns: ["IPv4 rule 5270 (to 10.8.0.0/16 lookup 52)"] },
  },
  {
    name: "IPv6 alone, beside an exit node of IPv4",
    args: "--to fd01::/64",
    ip: ["rule add pref 5270 lookup 52", "route add default dev d2 table 52"],
    says: { warns: ["IPv4 rule 5270 (lookup 52)"] },
  },
];

describeIf(labRequirement.ok, labRequirement.reason)("ack set --every 1, and the rule sets of others", () => {
  let lab: Lab;

  beforeAll(async () => {
    lab = await Lab.create();
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  const BASE = [
    "link add d1 type veth peer name d2",
    "addr add 10.1.0.1/24 dev d1",
    "addr add fd01::1/64 dev d1 nodad",
    "addr add 10.2.0.1/24 dev d2",
    "link set d1 up",
    "link set d2 up",
    "route add default via 10.1.0.2",
  ];

  /** What a command says in a namespace with this routing, and its exit code. */
  async function said(name: string, ip: readonly string[], words: string, isInside = true): Promise<string> {
    const netns = await lab.netns(name);
    const cgroup = lab.cgroup(name);
    for (const command of [...BASE, ...ip]) {
      await lab.exec(undefined, ["ip", "-n", netns, ...command.split(" ")]);
    }
    const script = `${tcpxPath()} ${words} --dry-run --cgroup ${cgroup} 2>&1 >/dev/null; echo "exit $?"`;
    return lab.exec(netns, ["sh", "-c", script], "", isInside ? cgroup : undefined);
  }

  test.each(SETS.map((set, n) => [set.name, { ...set, n }] as const))("%s", async (_, set) => {
    const text = await said(`e${set.n}`, set.ip, `ack set --every 1 ${set.args ?? ""}`);
    const { says } = set;
    if (says === "works") {
      expect(text).toBe("exit 0\n");
    } else if ("warns" in says) {
      const rules = [...text.matchAll(/warning: connections that (.*) routes are not acknowledged/g)];
      expect(rules.map(([, rule]) => rule!)).toEqual(says.warns);
      expect(text).toEndWith("exit 0\n");
    } else {
      expect(text).toContain("tcpx: routing here cannot carry ACKs at once: ");
      expect(text).toContain(says.refuses);
      expect(text).toContain(says.hint ?? "");
      expect(text).toEndWith("exit 3\n");
    }
  });

  const EXIT_NODE = ["rule add pref 5270 lookup 52", "route add default dev d2 table 52"];

  test("a scope without processes, whose network namespace may be another: a warning, and exit 0", async () => {
    const text = await said("empty", EXIT_NODE, "ack set --every 1", false);
    expect(text).toContain("warning: routing here cannot carry ACKs at once: IPv4 rule 5270 (lookup 52)");
    expect(text).toEndWith("exit 0\n");
  });

  test("tcpx run, whose command would come from here: it does not start, and no rule is left", async () => {
    const netns = await lab.netns("run");
    for (const command of [...BASE, ...EXIT_NODE]) {
      await lab.exec(undefined, ["ip", "-n", netns, ...command.split(" ")]);
    }
    const script = `${tcpxPath()} run --ack every=1 -- echo started 2>&1; echo "exit $?"; ${tcpxPath()} ack show`;
    const text = await lab.exec(netns, ["sh", "-c", script], "", lab.cgroup("run"));
    expect(text).toStartWith(
      "tcpx: routing here cannot carry ACKs at once: IPv4 rule 5270 (lookup 52) routes every connection",
    );
    expect(text).toEndWith("\nexit 125\nno ack rules\n");
    expect(text).not.toContain("started");
  });

  test("a grant, of which ACKs at once are a part: a warning, and exit 0", async () => {
    const text = await said("grant", EXIT_NODE, "ack accept");
    expect(text).toContain(
      "warning: connections that IPv4 rule 5270 (lookup 52) routes are not acknowledged",
    );
    expect(text).toEndWith("exit 0\n");
  });

  test.each(["ack set --every 8", "ack set --delay 20ms", "ack request --every 1", "ack set none"])(
    "%s is none of routing's business",
    async (words) => {
      expect(await said(`other${words.length}`, EXIT_NODE, words)).toBe("exit 0\n");
    },
  );
});
