// SPDX-License-Identifier: MIT
// Paths that answer a SYN with one of our options by an ICMP error, or by a reset or nothing, and applications that
// do not wait for its repetition: one connection fails, and the next ones go out plain.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { until } from "../support/lab.ts";
import { drop, FAMILIES, type Family, pathActions, RULES, reset, SYN, TARR } from "../support/path-lab.ts";
import { agePaths, pathCount, pathSeconds, pathsOf, pathsRequirement } from "../support/paths.ts";
import { RequestLab } from "../support/request-lab.ts";
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
import { tcpxOk } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement, pathsRequirement);
const ICMP: [Family, string][] = [
  ...["host-unreachable", "net-unreachable", "port-unreachable", "prot-unreachable", "admin-prohibited"].map(
    (kind): [Family, string] => ["v4", `icmp type ${kind}`],
  ),
  ...["no-route", "admin-prohibited", "addr-unreachable", "port-unreachable"].map(
    (kind): [Family, string] => ["v6", `icmpv6 type ${kind}`],
  ),
];

describeIf(needs.ok, needs.reason)("a path that refuses SYNs with our option", () => {
  let r: RequestLab;
  const { fails, opens, said } = pathActions(() => r);

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    await r.filter(r.server, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** What `tcpx connections` says of a client's connection. */
  async function listed(port: number) {
    const { json } = await tcpxOk(["connections", "--cgroup", r.client.cgroup], { json: true });
    // biome-ignore lint/suspicious/noExplicitAny: a document of the program under test
    return json.connections.filter((c: any) => c.peer.port === port);
  }

  test.each(FAMILIES.flatMap((family) => [...RULES, TARR].map((rule) => [family, ...rule] as const)))(
    "a reset, and an application that does not wait, %s, %s (%s): the first connection fails, the others go plain",
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
    expect([await pathsOf(port), await pathsOf(0)]).toEqual([[], ["believed refused"]]);
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
    const closed = await r.server.peer.listen(r.server.v4);
    await r.server.peer.close(closed.fd);
    for (let n = 0; n < 2; n++) await fails(closed.port); // resets of this host are believed
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
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 2, fallback: 1, path: 1 });
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
        uto: { ours: { status: "not-asked", asked: { timeout_ms: 30_000 }, granted: null } },
        "cc-request": { ours: { status: "not-asked", asked: { algorithm: "cubic" } } },
        iw: { ours: { status: "not-asked", asked: { segments: 40 } } },
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

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)("MPTCP", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4, 0, { mptcp: true });
    const open = () => r.client.peer.connect(r.server.v4, port, { mptcp: true, timeoutMs: 700 });
    const { syns } = await said(port, async () => {
      const fd = await r.client.peer.socket(4, true);
      await expect(r.client.peer.connectFd(fd, r.server.v4, port, 700)).rejects.toThrow();
      await r.client.peer.close(fd);
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
