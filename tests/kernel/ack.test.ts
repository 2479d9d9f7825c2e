// SPDX-License-Identifier: MIT
// `tcpx ack set`: the delay of our own ACKs, and the mark that asks for them at once.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import {
  capOf,
  DEFAULT_CAP,
  DEFAULT_MARK,
  delackRequirement,
  leastCap,
  loneDelays,
  marksOf,
} from "../support/ack-lab.ts";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { type Connection, connectPeers, type Peer, type Wire } from "../support/lab.ts";
import { RequestLab, requestsOf } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement, testIf } from "../support/requires.ts";

const capNeeds = every("all", labRequirement, delackRequirement);
const DELAYS = [
  ["8ms", 8000],
  ["20ms", 20_000],
  ["200ms", DEFAULT_CAP],
] as const;

describeIf(capNeeds.ok, capNeeds.reason)("tcpx ack set --delay", () => {
  let r: RequestLab;
  let wire: Wire;
  let least: number;
  let ports = 7000;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.client.netns);
    least = await leastCap(r);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const caps = async (c: Connection) => [await capOf(r.client, c.client), await capOf(r.server, c.server)];

  test("the least is two ticks, between 2 and 20 ms; without a rule it is the kernel's 200 ms", async () => {
    expect(least).toBeWithin(2000, 20_001);
    expect(await caps(await r.open())).toEqual([DEFAULT_CAP, DEFAULT_CAP]);
  });

  test.each(DELAYS)("%s: the side that opens, and the side that accepts", async (text, us) => {
    await r.rule(r.client, `ack set --delay ${text}`);
    for (const family of ["v4", "v6"] as const) {
      expect(await caps(await r.open(family))).toEqual([Math.max(us, least), DEFAULT_CAP]);
    }
    await r.clear();
    await r.rule(r.server, `ack set --delay ${text}`);
    for (const family of ["v4", "v6"] as const) {
      expect(await caps(await r.open(family))).toEqual([DEFAULT_CAP, Math.max(us, least)]);
    }
    expect(await r.counters(r.server, "ack")).toMatchObject({ applied: 2, errors: 0 });
  });

  test("an IPv6 socket with IPv4-mapped addresses, both sides: selected as IPv4", async () => {
    await r.rule(r.client, `ack set --delay 20ms --to ${r.server.v4}`);
    await r.rule(r.server, `ack set --delay 24ms --from ${r.client.v4}`);
    const { fd: listener, port } = await r.server.peer.listen("::", 0, { v6only: false });
    const fd = await r.client.peer.socket(6);
    await r.client.peer.connectFd(fd, `::ffff:${r.server.v4}`, port);
    const { fd: server } = await r.server.peer.accept(listener);
    expect(await caps({ listener, port, client: fd, server })).toEqual([20_000, 24_000]);
  });

  test.each([1, 4, 255])("rtt/%i on a fast link: two ticks, counted as applied", async (k) => {
    for (const side of [r.client, r.server]) await r.rule(side, `ack set --delay rtt/${k}`);
    const c = await r.open();
    expect(await caps(c)).toEqual([least, least]);
    await r.exchange(c, 20);
    expect(await caps(c)).toEqual([least, least]);
    for (const side of [r.client, r.server]) {
      expect(await r.counters(side, "ack")).toMatchObject({ applied: 1, clamped: 0, sent: 0 });
    }
  });

  /** A connection to a wire endpoint whose SYN-ACK is so late. */
  async function late(ms: number): Promise<{ flow: number; fd: number }> {
    const port = ++ports;
    await wire.listen(wire.own.v4, port);
    const connecting = r.client.peer.connect(wire.own.v4, port);
    let syn = await wire.expect();
    while (!syn.flags.startsWith("S")) syn = await wire.expect(); // the end of a connection before
    const { flow } = syn;
    await Bun.sleep(ms);
    await wire.synack(flow);
    const fd = await connecting;
    await wire.expect(flow);
    return { flow, fd };
  }

  /** The cap, and half of the RTT that the kernel has measured, as it takes one. */
  async function half(fd: number): Promise<{ cap: number; wanted: number }> {
    const tick = least / 2;
    const { rtt = 0 } = await r.client.peer.tcpInfo(fd);
    const wanted = Math.ceil(Math.floor(rtt / 2) / tick) * tick;
    return { cap: await capOf(r.client, fd), wanted: Math.min(Math.max(wanted, least), DEFAULT_CAP) };
  }

  test("rtt/K of the handshake; refined by eight samples, and by no more", async () => {
    await r.rule(r.client, "ack set --delay rtt/2");
    const { flow, fd } = await late(120);
    const first = await half(fd);
    expect(first.cap).toBe(first.wanted);
    expect(first.cap).toBeGreaterThanOrEqual(60_000);
    const seen: Awaited<ReturnType<typeof half>>[] = [];
    for (let n = 0; n < 12; n++) {
      await r.client.peer.send(fd, 10);
      await wire.expect(flow);
      await wire.ack(flow);
      seen.push(await half(fd));
    }
    // the smoothed RTT falls by an eighth of the difference each time, on a busy machine by less
    const caps = seen.map(({ cap }) => cap);
    expect(caps.slice(0, 8)).toEqual(seen.slice(0, 8).map(({ wanted }) => wanted));
    expect(new Set(caps.slice(0, 8)).size).toBeGreaterThan(3);
    expect(new Set(caps.slice(7)).size).toBe(1);
    expect(new Set(seen.slice(7).map(({ wanted }) => wanted)).size).toBeGreaterThan(1);
    await r.client.peer.reset(fd);
  });

  test("rtt/1 of a longer RTT than 200 ms: 200 ms, and set by us", async () => {
    await r.rule(r.client, "ack set --delay rtt/1");
    const { fd } = await late(260);
    expect(await capOf(r.client, fd)).toBe(DEFAULT_CAP);
    await r.client.peer.reset(fd);
    expect(await r.counters(r.client, "ack")).toMatchObject({ applied: 1, errors: 0 });
  });

  testIf(captureRequirement.ok, captureRequirement.reason)(
    "a lone small segment is acknowledged after 8 ms, not after 40",
    async () => {
      const stock = await loneDelays(r, await r.open());
      expect(stock[2]).toBeWithin(30, 60); // the median
      await r.rule(r.server, "ack set --delay 8ms");
      const capped = await loneDelays(r, await r.open());
      expect(stock).toHaveLength(5);
      expect(capped).toHaveLength(5);
      expect(capped[1]).toBeGreaterThan(2);
      expect(capped[2]).toBeLessThan(28);
    },
  );

  test("selectors: addresses, port, none; and unset is for new connections", async () => {
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const open = async () => {
      const client = await r.client.peer.connect(r.server.v4, port);
      return { listener, port, client, server: (await r.server.peer.accept(listener)).fd };
    };
    const net = r.server.v4.replace(/\d+$/, "0/24");
    await r.rule(r.client, "ack set --delay 100ms");
    await r.rule(r.client, `ack set --delay 50ms --to ${net}`);
    await r.rule(r.client, `ack set --delay 20ms --to ${net} --port ${port}`);
    expect(await capOf(r.client, (await open()).client)).toBe(20_000);
    expect(await capOf(r.client, (await r.open()).client)).toBe(52_000); // whole ticks
    expect(await capOf(r.client, (await r.open("v6")).client)).toBe(100_000);
    await r.rule(r.client, `ack set none --to ${r.server.v4}`);
    expect(await capOf(r.client, (await r.open()).client)).toBe(DEFAULT_CAP);
    const old = await r.open("v6");
    await r.rule(r.client, "ack unset --all");
    expect(await capOf(r.client, (await r.open("v6")).client)).toBe(DEFAULT_CAP);
    expect(await capOf(r.client, old.client)).toBe(100_000);
  });

  test("nested scopes: the child's rule goes first, its none too", async () => {
    const cgroup = r.lab.cgroup("inner", r.server.cgroup);
    const inner = { ...r.server, cgroup, peer: await r.lab.peer(r.server.netns, cgroup) };
    const cap = async () => {
      const c = await connectPeers(r.client.peer, inner.peer, inner.v4);
      return await capOf(inner, c.server);
    };
    await r.rule(r.server, "ack set --delay 100ms");
    expect(await cap()).toBe(100_000);
    await r.rule(cgroup, "ack set --delay 20ms");
    expect(await cap()).toBe(20_000);
    await r.rule(cgroup, "ack set none");
    expect(await cap()).toBe(DEFAULT_CAP);
  });
});

describeIf(labRequirement.ok, labRequirement.reason)("tcpx ack set --every 1: the mark", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const expectMarks = async (c: Connection, ...marks: [client: number, server: number]) =>
    expect(await marksOf(r, c, marks)).toEqual(marks);

  describe("the application's own mark", () => {
    const OWN = 0x4000_0005;

    async function openMarked(listenMark: number): Promise<Connection> {
      const mark = (peer: Peer, fd: number, value: number) => peer.setopt(fd, SOL_SOCKET, SO_MARK, value);
      const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
      await mark(r.server.peer, listener, listenMark);
      const options = [[SOL_SOCKET, SO_MARK, OWN]] as const;
      const client = await r.client.peer.connect(r.server.v4, port, { options });
      return { listener, port, client, server: (await r.server.peer.accept(listener)).fd };
    }

    test("is kept but for our bit, on both sides", async () => {
      for (const side of [r.client, r.server]) await r.rule(side, "ack set --every 1");
      await expectMarks(await openMarked(0x70), OWN | DEFAULT_MARK, 0x70 | DEFAULT_MARK);
    });

    test("is kept as it is by a rule that is not for ACKs at once", async () => {
      for (const side of [r.client, r.server]) await r.rule(side, "ack set --delay 20ms");
      await expectMarks(await openMarked(0x70), OWN, 0x70);
    });
  });

  test.each(["v4", "v6"] as const)(
    "%s: bit 13, no option on any segment, counted as applied",
    async (family) => {
      await r.rule(r.client, "ack set --every 1");
      const { c, t } = await r.recorded(3, () => r.open(family));
      await expectMarks(c, DEFAULT_MARK, 0);
      expect(t.all.map(requestsOf).join("")).toBe("");
      await r.rule(r.server, "ack set --every 1");
      await expectMarks(await r.open(family), DEFAULT_MARK, DEFAULT_MARK);
      expect(await r.counters(r.client, "ack")).toMatchObject({ applied: 2, sent: 0, errors: 0 });
      expect(await r.counters(r.server, "ack")).toMatchObject({ applied: 1, sent: 0, errors: 0 });
    },
  );

  test.each([0, 7, 31])("--mark-bit %i", async (bit) => {
    await r.rule(r.client, `ack set --every 1 --mark-bit ${bit}`);
    await expectMarks(await r.open(), 2 ** bit, 0);
    await r.rule(r.client, "ack unset --all");
    await expectMarks(await r.open(), 0, 0);
  });

  test("--every N sets no mark", async () => {
    await r.rule(r.client, "ack set --every 8 --delay rtt/4");
    await expectMarks(await r.open(), 0, 0);
  });
});
