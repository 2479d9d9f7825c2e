// SPDX-License-Identifier: MIT
// Paths that answer a SYN with one of our options by a reset or an ICMP error, and applications that do not
// wait for its repetition: one connection fails, and the next ones go out plain.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { IPPROTO_TCP, TCP_FASTOPEN } from "../support/constants.ts";
import { type Packet, until } from "../support/lab.ts";
import { agePaths, pathCount, pathSeconds, pathsOf, pathsRequirement } from "../support/paths.ts";
import { type Extension, optionsOf, RequestLab } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  nftRequirement,
  testIf,
} from "../support/requires.ts";
import { RunCounts, runsRequirement } from "../support/runs.ts";
import { tcpx } from "../support/tcpx.ts";
import { tcpxOk, trace } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement, pathsRequirement);
type Family = "v4" | "v6";

const SYN = "tcp flags syn / fin,syn,rst,ack";
const reset = (kind: number) => `${SYN} tcp option ${kind} exists reject with tcp reset`;
const drop = (kind: number) => `${SYN} tcp option ${kind} exists drop`;
const ICMP: [Family, string][] = [
  ...["host-unreachable", "net-unreachable", "port-unreachable", "prot-unreachable", "admin-prohibited"].map(
    (kind): [Family, string] => ["v4", `icmp type ${kind}`],
  ),
  ...["no-route", "admin-prohibited", "addr-unreachable", "port-unreachable"].map(
    (kind): [Family, string] => ["v6", `icmpv6 type ${kind}`],
  ),
];

/** Words of a rule, the kind of its option, and the option in hex. */
const RULES: [Extension, string, number, string][] = [
  ["uto", "uto set 30s", 28, "1c04001e"],
  ["cc-request", "cc-request set cubic", 254, "fe067cc00003"],
  ["iw", "iw set 40", 254, "fe067c100028"],
  ["ack", "ack request --every 10", 254, "fe067ca0000a"],
];
const TARR = ["ack", "ack request --every 10 --tarr", 254, "fe0400ac"] as const;
const FAMILIES: Family[] = ["v4", "v6"];

describeIf(needs.ok, needs.reason)("a path that refuses SYNs with our option", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    await r.filter(r.server, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const ours = (packet: Packet) => optionsOf(packet, 28, 254);
  /** An application that gives up after less than a second, should nobody tell it before. */
  async function fails(port: number, family: Family = "v4", timeoutMs = 700): Promise<void> {
    const fd = await r.client.peer.socket(family === "v4" ? 4 : 6);
    await expect(r.client.peer.connectFd(fd, r.server[family], port, timeoutMs)).rejects.toThrow();
    await r.client.peer.close(fd);
  }

  /** A connection that has to come about at once, and work. */
  async function opens(listener: number, port: number, family: Family = "v4", timeoutMs = 700) {
    const client = await r.client.peer.connect(r.server[family], port, { timeoutMs });
    const { fd: server } = await r.server.peer.accept(listener);
    const c = { listener, port, client, server };
    await r.exchange(c, 1);
    return c;
  }

  /** What each SYN to a port had of ours, and everything that stood on later segments. */
  async function said(port: number, work: () => Promise<unknown>) {
    const { capture } = await r.record(work);
    const { client } = await trace(capture, port);
    const syns = client.filter(({ flags }) => flags === "S").map(ours);
    return { syns, later: client.filter(({ flags }) => flags !== "S").map(ours) };
  }

  /** What `tcpx connections` says of a client's connection. */
  async function listed(port: number) {
    const { json } = await tcpxOk(["connections", "--cgroup", r.client.cgroup], { json: true });
    // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
    return json.connections.filter((c: any) => c.peer.port === port);
  }

  test.each(FAMILIES.flatMap((family) => [...RULES, TARR].map((rule) => [family, ...rule] as const)))(
    "a reset, %s, %s (%s): the first connection fails, the others go plain",
    async (family, extension, words, kind, option) => {
      await r.rule(r.client, words);
      await r.filter(r.server, reset(kind));
      const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
      const { syns, later } = await said(port, async () => {
        await fails(port, family);
        expect(await pathsOf(port)).toEqual(["suspected refused"]);
        for (let i = 0; i < 3; i++) await opens(listener, port, family);
      });
      expect(syns).toEqual([option, "", "", ""]);
      expect(later.join("")).toBe("");
      expect(await pathsOf(port)).toEqual(["avoided refused"]);
      const counted = await r.counters(r.client, extension);
      expect(counted).toMatchObject({ sent: 1, fallback: 3, path: 3, unanswered: 0, malformed: 0 });
    },
  );

  test.each(ICMP)("an ICMP error, %s %s", async (family, how) => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, `${SYN} tcp option 28 exists reject with ${how}`);
    const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
    await fails(port, family);
    for (let i = 0; i < 2; i++) await opens(listener, port, family);
    expect(await pathsOf(port)).toEqual(["avoided refused"]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 1, fallback: 2, path: 2 });
  });

  test.each(FAMILIES)(
    "silence, and an application that gives up before the second SYN, %s",
    async (family) => {
      await r.rule(r.client, "uto set 30s");
      await r.filter(r.server, drop(28));
      const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
      await fails(port, family, 300);
      expect(await pathsOf(port)).toEqual(["suspected lost"]);
      for (let i = 0; i < 2; i++) await opens(listener, port, family);
      expect(await pathsOf(port)).toEqual(["avoided lost"]);
      expect(await pathSeconds(port)).toBeWithin(1, 61);
      expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 1, fallback: 2, path: 2 });
    },
  );

  test("silence, and an application that waits: the next connection is not slow again", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, drop(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, async () => {
      await opens(listener, port, "v4", 15_000);
      expect(await pathsOf(port)).toEqual(["avoided lost"]);
      await opens(listener, port);
    });
    expect(syns).toEqual(["1c04001e", "", ""]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ fallback: 2, path: 1 });
  });

  test("a path that is mended: when the time is over it is asked again", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await fails(port);
    await opens(listener, port);
    expect(await pathSeconds(port)).toBeWithin(3500, 3601);
    await r.filter(r.server, "");
    const { syns } = await said(port, async () => {
      await opens(listener, port);
      await agePaths();
      await opens(listener, port);
    });
    expect(syns).toEqual(["", "1c04001e"]);
    await r.filter(r.server, reset(28)); // and broken again
    await fails(port);
    await opens(listener, port);
    expect(await pathsOf(port)).toEqual(["avoided refused"]);
  });

  test.each(FAMILIES)("a port that is closed is no such path, %s", async (family) => {
    await r.rule(r.client, "uto set 30s");
    const { fd, port } = await r.server.peer.listen(r.server[family]);
    await r.server.peer.close(fd);
    const { syns } = await said(port, async () => {
      for (let i = 0; i < 4; i++) await fails(port, family);
    });
    expect(syns).toEqual(["1c04001e", "", "1c04001e", ""]);
    expect(await pathsOf(port)).toEqual([]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 2, fallback: 0, path: 0 });
    const { fd: listener } = await r.server.peer.listen(r.server[family], port);
    const later = await said(port, () => opens(listener, port, family));
    expect(later.syns).toEqual(["1c04001e"]);
  });

  test("a host that does not answer at all is no such path", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, `${SYN} drop`);
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await fails(port, "v4", 200);
    expect(await pathsOf(port)).toEqual(["suspected lost"]);
    await fails(port, "v4", 200);
    expect(await pathsOf(port)).toEqual([]);
    await r.filter(r.server, "");
    const { syns } = await said(port, () => opens(listener, port));
    expect(syns).toEqual(["1c04001e"]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ fallback: 0, path: 0 });
  });

  test("an attempt that has sent a plain SYN, too, says nothing", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, `${SYN} drop`);
    const { port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, () => fails(port, "v4", 2000));
    expect(syns.slice(0, 2)).toEqual(["1c04001e", ""]);
    expect(await pathsOf(port)).toEqual([]);
  });

  test("other ports, addresses and namespaces are other paths", async () => {
    await r.rule(r.client, "uto set 30s");
    const [a, b] = [await r.server.peer.listen(r.server.v4), await r.server.peer.listen(r.server.v4)];
    const c = await r.server.peer.listen(r.server.v6, a.port);
    await r.filter(r.server, `iifname != "lo" tcp dport ${a.port} ip version 4 ${reset(28)}`);
    await fails(a.port);
    await opens(a.fd, a.port);
    const syns = async (fd: number, port: number, family: Family = "v4") =>
      (await said(port, () => opens(fd, port, family))).syns;
    expect(await syns(a.fd, a.port)).toEqual([""]);
    expect(await syns(b.fd, b.port)).toEqual(["1c04001e"]);
    expect(await syns(c.fd, c.port, "v6")).toEqual(["1c04001e"]);
    // the server to itself: the same address and port, in another namespace
    await r.rule(r.server, "uto set 40s");
    const client = await r.server.peer.connect(r.server.v4, a.port);
    const { fd: server } = await r.server.peer.accept(a.fd);
    await r.server.peer.close(client);
    await r.server.peer.close(server);
    const counted = await r.counters(r.server, "uto");
    expect(counted.sent).toBeGreaterThan(0);
    expect(counted).toMatchObject({ fallback: 0, path: 0 });
  });

  test("the same socket once more, and a socket that is bound to one port", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, async () => {
      const fd = await r.client.peer.socket(4);
      await r.client.peer.bind(fd, r.client.v4);
      const again = () => expect(r.client.peer.connectFd(fd, r.server.v4, port, 700)).rejects;
      await again().toThrow("ECONNREFUSED");
      await again().toThrow("ECONNABORTED"); // says once more that the first one has failed
      await r.client.peer.connectFd(fd, r.server.v4, port, 700);
      await r.exchange({ listener, port, client: fd, server: (await r.server.peer.accept(listener)).fd }, 1);
    });
    expect(syns).toEqual(["1c04001e", ""]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 1, fallback: 1, path: 1 });
  });

  test("connections, watch and status tell it", async () => {
    const rules = RULES.map(([, words]) => words);
    for (const words of rules) await r.rule(r.client, words);
    await r.filter(r.server, reset(254));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const watch = await Watch.start(r.lab, ["--all-netns", "--cgroup", r.client.cgroup]);
    const human = await (async () => {
      await fails(port);
      await opens(listener, port);
      const plain = RULES.map(([name]) => `${name} fallback null null path`);
      const wanted = [...plain, "uto asked 30000 null"].sort();
      expect(await watch.sees(port, wanted)).toEqual(wanted);
      return (await tcpx(["connections", "--cgroup", r.client.cgroup])).stdout;
    })();
    await watch.end();
    const [found] = await listed(port);
    expect(found).toMatchObject({
      fallback: true,
      fallback_reason: "path",
      extensions: {
        uto: { ours: { status: "not-asked", asked: 30_000, granted: null } },
        "cc-request": { ours: { status: "not-asked", asked: "cubic" } },
        iw: { ours: { status: "not-asked", asked: 40 } },
        ack: { ours: { status: "not-asked", asked: { every: 10 } } },
      },
    });
    expect(human).toContain("uto not asked");
    expect(human).toContain("fallback (path)");
    const { stdout } = await tcpx(["status", "--cgroup", r.client.cgroup]);
    expect(stdout).toMatch(/^path +1 +1 +1 +1$/m);
    expect(stdout).toMatch(/^fallback +1 +1 +1 +1$/m);
  });

  test("an inner and an outer scope: both go plain", async () => {
    const cgroup = r.lab.cgroup("inner", r.client.cgroup);
    const inner = { ...r.client, cgroup, peer: await r.lab.peer(r.client.netns, cgroup) };
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(cgroup, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const { syns, later } = await said(port, async () => {
      const fd = await inner.peer.socket(4);
      await expect(inner.peer.connectFd(fd, r.server.v4, port, 700)).rejects.toThrow();
      await inner.peer.close(fd);
      for (const peer of [inner.peer, r.client.peer]) {
        await peer.connect(r.server.v4, port, { timeoutMs: 700 });
        await r.server.peer.accept(listener);
      }
    });
    expect(syns).toEqual(["1c04001e,fe067cc00003", "", ""]);
    expect(later.join("")).toBe("");
    expect(await r.counters(cgroup, "uto")).toMatchObject({ sent: 1, fallback: 1, path: 1 });
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ fallback: 1, path: 1 });
  });

  test.each(FAMILIES)("Fast Open: data on a SYN that is refused, then on a plain one, %s", async (family) => {
    for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
    await r.rule(r.client, "uto set 30s");
    const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
    await r.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    const send = async () => {
      const fd = await r.client.peer.socket(family === "v4" ? 4 : 6);
      await r.client.peer.sendFastOpen(fd, r.server[family], port, 100);
      return fd;
    };
    const arrives = async () => {
      const client = await send();
      const { fd: server } = await r.server.peer.accept(listener);
      await r.server.peer.recv(server, 100);
      return { listener, port, client, server };
    };
    await arrives(); // fetches the cookie
    await r.filter(r.server, reset(28));
    const { syns } = await said(port, async () => {
      const fd = await send().catch(() => undefined);
      if (fd !== undefined) {
        expect((await r.client.peer.waitError(fd, 5000)).why).not.toBe("timeout");
        await r.client.peer.close(fd);
      }
      expect(await pathsOf(port)).toEqual(["suspected refused"]);
      await r.exchange(await arrives(), 1);
    });
    expect(syns).toEqual(["1c04001e", ""]);
    expect(await pathsOf(port)).toEqual(["avoided refused"]);
  });

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)("MPTCP", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4, 0, { mptcp: true });
    const open = () => r.client.peer.connect(r.server.v4, port, { mptcp: true, timeoutMs: 700 });
    const { syns } = await said(port, async () => {
      await expect(open()).rejects.toThrow();
      const client = await open();
      await r.exchange({ listener, port, client, server: (await r.server.peer.accept(listener)).fd }, 1);
    });
    expect(syns).toEqual(["1c04001e", ""]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 1, fallback: 1, path: 1 });
  });

  test("more places than are remembered: those of long ago go, and nothing else happens", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, `tcp dport 20000-29999 ${reset(28)}`);
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const python = `
import socket, sys
for port in range(20000, 26000):
    try: socket.create_connection((sys.argv[1], port), 5)
    except OSError: pass
`;
    await r.lab.exec(r.client.netns, ["python3", "-c", python, r.server.v4], "", r.client.cgroup);
    const held = await pathCount();
    expect(held).toBeWithin(1000, 4097);
    const { syns } = await said(port, () => opens(listener, port));
    expect(syns).toEqual(["1c04001e"]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ fallback: 0, path: 0, errors: 0 });
  });

  testIf(runsRequirement.ok, runsRequirement.reason)("the end of a connection runs no program", async () => {
    await r.rule(r.client, "uto set 30s");
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const c = await opens(listener, port);
    await r.exchange(c, 3);
    using counts = new RunCounts([r.client]);
    const before = await counts.total();
    await opens(listener, port); // they are counted
    const between = await counts.total();
    expect(between).toBeGreaterThan(before);
    await r.client.peer.close(c.client);
    await r.server.peer.close(c.server);
    expect(await until(async () => (await listed(port)).length === 1)).toBe(true);
    expect(await counts.total()).toBe(between);
  });
});
