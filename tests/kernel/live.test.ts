// SPDX-License-Identifier: MIT
// --live: connections that exist get the rules, and give back what they were given.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, DEFAULT_CAP, DEFAULT_MARK, delackRequirement, markOf } from "../support/ack-lab.ts";
import { IPPROTO_TCP, SO_MARK, SOL_SOCKET, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { type Connection, congestionOf, connectPeers } from "../support/lab.ts";
import { DEFAULT, RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { type Side, tcpxOk, trace, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, delackRequirement);
const OWN = 7000;

describeIf(needs.ok, needs.reason)("connections that exist", () => {
  let r: RequestLab;
  const connections: Connection[] = [];

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    for (const c of connections.splice(0)) {
      await r.client.peer.reset(c.client); // no test's connection is another one's bystander
      await r.server.peer.close(c.listener);
    }
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** What another process reads from a socket: user timeout, congestion control, delayed-ACK cap. */
  const settings = async (side: Pick<Side, "peer">, fd: number) => [
    await r.u.timeout(side, fd),
    await congestionOf(side.peer.pid, fd),
    await capOf(side, fd),
  ];
  const STOCK = [0, DEFAULT.cc, DEFAULT_CAP];

  /** A rule command; what it says about connections. */
  const live = async (where: Side | string, words: string) =>
    (await r.rule(where, `${words} --live`)).json.live;

  async function opened(family: "v4" | "v6" = "v4", port = 0): Promise<Connection> {
    const c = await r.open(family, { port });
    connections.push(c);
    await r.exchange(c, 1);
    return c;
  }

  test.each(["v4", "v6"] as const)(
    "set and unset of all three settings, %s: exact, and only once",
    async (family) => {
      const c = await opened(family);
      expect(await live(r.client, "uto set 30s")).toMatchObject({ changed: 1, namespaces: 1, announced: 1 });
      expect(await live(r.client, "cc-request set cubic --local")).toMatchObject({ changed: 1 });
      expect(await live(r.client, "ack set --delay 40ms")).toMatchObject({ changed: 1 });
      expect(await settings(r.client, c.client)).toEqual([30_000, "cubic", 40_000]);
      expect(await settings(r.server, c.server)).toEqual(STOCK);
      for (const words of ["uto set 30s", "cc-request set cubic --local", "ack set --delay 40ms"]) {
        expect(await live(r.client, words)).toMatchObject({ changed: 0, same: 1, announced: 0 });
      }
      await r.exchange(c);
      for (const name of ["uto", "cc-request", "ack"]) {
        expect(await live(r.client, `${name} unset`)).toMatchObject({ changed: 1, namespaces: 1 });
      }
      expect(await settings(r.client, c.client)).toEqual(STOCK);
      expect(await live(r.client, "uto unset")).toMatchObject({ changed: 0, same: 0 });
      await r.exchange(c);
    },
  );

  test("what rules have set when the connection was set up is given back, too", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.client, "cc-request set cubic --local");
    await r.rule(r.client, "ack set --delay 40ms");
    const c = await opened();
    expect(await settings(r.client, c.client)).toEqual([30_000, "cubic", 40_000]);
    for (const name of ["uto", "cc-request", "ack"]) {
      expect(await live(r.client, `${name} unset --all`)).toMatchObject({ changed: 1 });
    }
    expect(await settings(r.client, c.client)).toEqual(STOCK);
  });

  test("a value of the application's own is kept, and with --force replaced and given back", async () => {
    const c = await opened();
    await r.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, OWN);
    await r.client.peer.setcc(c.client, "cubic");
    expect(await live(r.client, "uto set 30s")).toMatchObject({ changed: 0, skipped: { application: 1 } });
    expect(await live(r.client, "cc-request set reno --local")).toMatchObject({
      changed: 0,
      skipped: { application: 1 },
    });
    expect(await live(r.client, "uto set 30s --force")).toMatchObject({ changed: 1 });
    expect(await live(r.client, "cc-request set reno --local --force")).toMatchObject({ changed: 1 });
    expect(await settings(r.client, c.client)).toEqual([30_000, "reno", DEFAULT_CAP]);
    await live(r.client, "uto unset");
    await live(r.client, "cc-request unset");
    expect(await settings(r.client, c.client)).toEqual([OWN, "cubic", DEFAULT_CAP]);
  });

  test("what the application has chosen since is not taken from it", async () => {
    const c = await opened();
    await live(r.client, "uto set 30s");
    await live(r.client, "cc-request set cubic --local");
    await r.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, OWN);
    await r.client.peer.setcc(c.client, "reno");
    for (const name of ["uto", "cc-request"]) {
      expect(await live(r.client, `${name} unset`)).toMatchObject({
        changed: 0,
        skipped: { application: 1 },
      });
    }
    expect(await settings(r.client, c.client)).toEqual([OWN, "reno", DEFAULT_CAP]);
  });

  test("selectors: direction, port, address, exemptions; bystanders keep what they have", async () => {
    const [a, b] = [await opened("v4", 7101), await opened("v4", 7102)];
    const six = await opened("v6", 7101);
    const client = async () => {
      const fds = [a.client, b.client, six.client];
      return await Promise.all(fds.map((fd) => r.u.timeout(r.client, fd)));
    };
    expect(await live(r.client, "uto set 10s --from 0.0.0.0/0")).toMatchObject({ changed: 0 });
    expect(await live(r.client, `uto set 20s --to ${r.server.v4} --port 7101`)).toMatchObject({ changed: 1 });
    expect(await client()).toEqual([20_000, 0, 0]);
    await r.rule(r.client, `uto set none --to ${r.server.v6}`);
    expect(await live(r.client, "uto set 30s")).toMatchObject({ changed: 1 }); // not the one with a narrower rule
    expect(await client()).toEqual([20_000, 30_000, 0]);
    expect(await live(r.server, "uto set 40s --from 10.0.0.0/8 --port 7102")).toMatchObject({ changed: 1 });
    expect(await r.u.timeout(r.server, b.server)).toBe(40_000);
    expect(await r.u.timeout(r.server, a.server)).toBe(0);
    for (const c of [a, b, six]) await r.exchange(c, 1);
  });

  test("an inner scope with a rule of its own keeps its connections; another scope is not touched", async () => {
    const inner = r.lab.cgroup("inner", r.lab.cgroup("outer"));
    const outer = inner.slice(0, inner.lastIndexOf("/"));
    const [inside, between] = [
      await r.lab.peer(r.client.netns, inner),
      await r.lab.peer(r.client.netns, r.lab.cgroup("beside", outer)),
    ];
    const [x, y, other] = [
      await connectPeers(inside, r.server.peer, r.server.v4),
      await connectPeers(between, r.server.peer, r.server.v4),
      await opened(),
    ];
    await r.rule(inner, "uto set 11s");
    expect(await live(outer, "uto set 30s")).toMatchObject({ changed: 1 });
    expect(await r.u.timeout({ peer: inside }, x.client)).toBe(0);
    expect(await r.u.timeout({ peer: between }, y.client)).toBe(30_000);
    expect(await settings(r.client, other.client)).toEqual(STOCK);
    expect(await live(outer, "cc-request set cubic --local")).toMatchObject({ changed: 2 }); // no such rule inside
    await live(outer, "cc-request unset");
    await live(outer, "uto unset");
    expect(await r.u.timeout({ peer: between }, y.client)).toBe(0);
  });

  test("several network namespaces in one scope", async () => {
    const cgroup = r.lab.cgroup("both");
    const here = await r.lab.peer(r.client.netns, cgroup);
    const there = await r.lab.peer(r.server.netns, cgroup);
    const c = await connectPeers(here, there, r.server.v4);
    expect(await live(cgroup, "uto set 30s")).toMatchObject({
      changed: 2,
      namespaces: 2,
      namespaces_checked: 3,
    });
    expect(await r.u.timeout({ peer: here }, c.client)).toBe(30_000);
    expect(await r.u.timeout({ peer: there }, c.server)).toBe(30_000);
    const { stdout } = await tcpxOk(["uto", "unset", "--live", "--cgroup", cgroup, "--wait"]);
    expect(stdout).toContain("restored 2 connection(s) in 2 network namespace(s)");
  });

  test("the timeout is announced with the next segment, whenever that is, and adopted; once", async () => {
    await r.rule(r.server, "uto accept --min 1s");
    await r.rule(r.client, "uto set 20s");
    const c = await opened();
    const capture = await r.u.capture();
    expect(await live(r.client, "uto set 30s")).toMatchObject({ changed: 1, announced: 1 });
    await Bun.sleep(3500); // longer than a new connection asks
    await r.exchange(c, 4);
    await capture.stop();
    const { client } = await trace(capture, c.port);
    expect(client.filter((p) => p.length > 0).map(utoOf)).toEqual(["1c04001e", "", "", ""]);
    expect(await r.u.timeouts(c)).toEqual({ client: 30_000, server: 30_000 });
  });

  test("a connection without any rule announces it, too", async () => {
    const c = await opened();
    const capture = await r.u.capture();
    await live(r.client, "uto set 30s");
    await r.exchange(c, 3);
    await capture.stop();
    const { client } = await trace(capture, c.port);
    expect(client.filter((p) => p.length > 0).map(utoOf)).toEqual(["1c04001e", "", ""]);
  });

  test("what a peer was granted stays when a local rule is unset", async () => {
    await r.rule(r.server, "cc-request accept cubic");
    await r.rule(r.server, "cc-request set reno --local");
    await r.rule(r.client, "cc-request set cubic");
    const c = await opened();
    expect(await live(r.server, "cc-request unset local")).toMatchObject({
      changed: 0,
      skipped: { granted: 1 },
    });
    expect(await congestionOf(r.server.peer.pid, c.server)).toBe("cubic");
    expect(await live(r.server, "cc-request set reno --local")).toMatchObject({ skipped: { granted: 1 } });
    await r.exchange(c, 1);
  });

  test("a mark for ACKs at once is taken back; other bits stay", async () => {
    await r.rule(r.client, "ack set --every 1");
    const c = await opened();
    expect(await markOf(r.client, c.client)).toBe(DEFAULT_MARK);
    await r.client.peer.setopt(c.client, SOL_SOCKET, SO_MARK, DEFAULT_MARK | 5);
    expect(await live(r.client, "ack unset")).toMatchObject({ changed: 1 });
    expect(await markOf(r.client, c.client)).toBe(5);
  });

  test("a fraction of the round-trip time", async () => {
    const c = await opened();
    expect(await live(r.client, "ack set --delay rtt/4")).toMatchObject({ changed: 1 });
    expect(await capOf(r.client, c.client)).toBeLessThan(DEFAULT_CAP);
  });

  test.each([
    ["uto set none --live", "'none' takes no --live"],
    ["cc-request set cubic --live", "--live is for --local"],
    ["ack set --every 4 --live", "--live is for --delay alone"],
    ["iw set 20 --live", "unknown flag '--live'"],
    ["uto accept --live", "unknown flag '--live'"],
    ["iw unset --live", "unknown flag '--live'"],
  ])("%s is refused, and nothing changes", async (words, what) => {
    const { code, stderr } = await tcpx([...words.split(" "), "--cgroup", r.client.cgroup]);
    expect(code).toBe(2);
    expect(stderr).toContain(what);
  });
});
