// SPDX-License-Identifier: MIT
// A socket has one set of callback flags for all sock_ops programs. What somebody else's program has asked for
// stays, wherever and whenever it was attached, and whoever asked first.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { dirname } from "node:path";
import { IPPROTO_TCP, TCP_FASTOPEN } from "../support/constants.ts";
import { type Calls, Flag, FOREIGN, ForeignPrograms, foreignRequirement, Op } from "../support/foreign.ts";
import { type Connection, connectPeers, type Packet, until } from "../support/lab.ts";
import { optionsOf, RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import type { Side } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, foreignRequirement);
/** On nobody's way. */
const ELSEWHERE = "192.0.2.0/24";
const EXCHANGES = 20;
const ORDERS = ["before", "after", "above", "below"] as const;
type Order = (typeof ORDERS)[number];

describeIf(needs.ok, needs.reason)("callback flags of a foreign sock_ops program", () => {
  let r: RequestLab;
  let foreign: ForeignPrograms;
  /** Below the scopes of the two sides: all sockets are made in here. */
  let inner: Record<"client" | "server", Side>;

  beforeAll(async () => {
    r = await RequestLab.create();
    foreign = new ForeignPrograms(r.lab);
    const below = async (side: Side): Promise<Side> => {
      const cgroup = r.lab.cgroup("inner", side.cgroup);
      return { ...side, cgroup, peer: await r.lab.peer(side.netns, cgroup) };
    };
    inner = { client: await below(r.client), server: await below(r.server) };
    for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
  });
  afterEach(async () => {
    await r.clear();
    await foreign.detach();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const open = (port = 0) =>
    connectPeers(inner.client.peer, inner.server.peer, r.server.v4, port ? { port } : {});

  async function exchange(c: Connection, count = EXCHANGES): Promise<void> {
    await inner.server.peer.echo(c.server);
    await inner.client.peer.exchange(c.client, count, 100);
  }

  /** The segments with data of both sides from here on. */
  async function data(c: Connection, count = EXCHANGES) {
    const { capture } = await r.record(() => exchange(c, count));
    const packets = (await capture.packets(`tcp.port == ${c.port}`)).filter((p) => p.length > 0);
    return {
      client: packets.filter(({ dport }) => dport === c.port),
      server: packets.filter(({ sport }) => sport === c.port),
    };
  }

  function expectTheirs(packets: Packet[]): void {
    expect(packets.length).toBeGreaterThanOrEqual(EXCHANGES);
    expect(packets.map((p) => optionsOf(p, 253))).toEqual(packets.map(() => FOREIGN));
  }

  /** Rules of a side's scope and a foreign program, in this order or at these places. */
  async function attach(side: Side, order: Order, rules: readonly string[], how = {}): Promise<Calls> {
    const place = { before: side.cgroup, after: side.cgroup, above: dirname(side.cgroup) };
    const cgroup = order === "below" ? `${side.cgroup}/inner` : place[order];
    const set = async () => {
      for (const words of rules) await r.rule(side, words);
    };
    if (order !== "before") await set();
    const calls = await foreign.attach(cgroup, how);
    if (order === "before") await set();
    return calls;
  }

  const opened = [`uto set 30s --to ${ELSEWHERE}`];
  const accepted = [
    `uto set 30s --from ${ELSEWHERE}`,
    `uto accept --min 1s --from ${ELSEWHERE}`,
    `iw accept --max 20 --from ${ELSEWHERE}`,
  ];

  test.each(ORDERS)("opened, no rule of ours matches, attached %s", async (order) => {
    await attach(r.client, order, opened, { at: [Op.ACTIVE_ESTABLISHED] });
    const c = await open();
    expectTheirs((await data(c)).client);
    await r.rule(r.client, `uto set 31s --to ${ELSEWHERE}`);
    expectTheirs((await data(c)).client);
    expectTheirs((await data(await open())).client);
    await r.rule(r.client, "uto unset --all");
    expectTheirs((await data(c)).client);
  });

  test.each([
    ...ORDERS.map((order) => [order, "with the handshake", Op.PASSIVE_ESTABLISHED] as const),
    ...ORDERS.map((order) => [order, "by the listener", Op.LISTEN] as const),
  ])("accepted, no rule of ours matches, attached %s, asked for %s", async (order, _, at) => {
    await attach(r.server, order, accepted, { at: [at] });
    const c = await open();
    expectTheirs((await data(c)).server);
    await r.rule(r.server, `uto accept --min 2s --from ${ELSEWHERE}`);
    expectTheirs((await data(c)).server);
    expectTheirs((await data(await open())).server);
    await r.rule(r.server, "uto unset --all");
    expectTheirs((await data(c)).server);
  });

  test("a listener that is older than the rules and the foreign program", async () => {
    const { fd: listener, port } = await inner.server.peer.listen(r.server.v4);
    await attach(r.server, "below", accepted, { at: [Op.PASSIVE_ESTABLISHED] });
    const fd = await inner.client.peer.connect(r.server.v4, port);
    const { fd: server } = await inner.server.peer.accept(listener);
    expectTheirs((await data({ listener, port, client: fd, server })).server);
  });

  test.each(ORDERS)("rules of ours match, attached %s: theirs goes on when ours has ended", async (order) => {
    await attach(r.client, order, ["uto set 30s", "cc-request set cubic"]);
    await attach(r.server, order, ["uto set 40s", "cc-request accept cubic"]);
    const { value: c, capture } = await r.record(() => open());
    const [syn, synAck] = await capture.packets(`tcp.port == ${c.port}`);
    expect(optionsOf(syn!, 28, 253, 254).split(",").sort()).toEqual(["1c04001e", FOREIGN, "fe067cc00003"]);
    expect(optionsOf(synAck!, 28, 253, 254).split(",").sort()).toEqual(["1c040028", FOREIGN, "fe067cc10003"]);
    const { client, server } = await data(c);
    for (const packets of [client, server]) {
      expectTheirs(packets);
      expect(
        packets
          .slice(-10)
          .map((p) => optionsOf(p, 28, 254))
          .join(""),
      ).toBe("");
    }
  });

  test.each(ORDERS)("samples of the RTT, attached %s: they go on when we have had ours", async (order) => {
    const calls = await attach(r.client, order, ["ack set --delay rtt/4"], {
      at: [Op.CONNECT, Op.ACTIVE_ESTABLISHED],
      flags: Flag.RTT,
    });
    const c = await open();
    await exchange(c, 50);
    const before = await calls(Op.RTT);
    await exchange(c, 50);
    expect((await calls(Op.RTT)) - before).toBeGreaterThan(20);
  });

  test.each(ORDERS)(
    "unknown options of the peer, attached %s: shown when we have fallen silent",
    async (order) => {
      await foreign.attach(inner.server.cgroup); // its option is one
      const calls = await attach(r.client, order, ["cc-request set cubic", "uto set 30s"], {
        at: [Op.CONNECT, Op.ACTIVE_ESTABLISHED],
        flags: Flag.PARSE_UNKNOWN,
      });
      const c = await open();
      await exchange(c);
      const before = await calls(Op.PARSE_HDR_OPT);
      await exchange(c);
      expect((await calls(Op.PARSE_HDR_OPT)) - before).toBeGreaterThanOrEqual(EXCHANGES);
    },
  );

  test.each(ORDERS)("changes of state with Fast Open, attached %s: shown to the end", async (order) => {
    const calls = await attach(r.server, order, ["cc-request accept cubic", "iw accept --max 20"], {
      at: [Op.PASSIVE_ESTABLISHED],
      flags: Flag.STATE,
    });
    const { fd: listener, port } = await inner.server.peer.listen(r.server.v4);
    await inner.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    for (const n of [100, 101]) {
      const client = await inner.client.peer.socket(4);
      await inner.client.peer.sendFastOpen(client, r.server.v4, port, n);
      const { fd: server } = await inner.server.peer.accept(listener);
      await inner.server.peer.recv(server, n);
      await exchange({ listener, port, client, server }, 3);
      const before = await calls(Op.STATE);
      await inner.client.peer.reset(client);
      await inner.server.peer.waitError(server, 5000);
      expect(await calls(Op.STATE)).toBeGreaterThan(before);
    }
  });

  test.each(ORDERS)(
    "changes of state of a connection that we open, attached %s: shown to the end",
    async (order) => {
      const calls = await attach(r.client, order, ["uto set 30s"], { at: [Op.CONNECT], flags: Flag.STATE });
      const c = await open();
      await exchange(c, 3);
      const before = await calls(Op.STATE);
      expect(before).toBeGreaterThanOrEqual(1);
      await inner.client.peer.close(c.client);
      expect(await until(async () => (await calls(Op.STATE)) > before)).toBe(true);
    },
  );

  test("--live and what it gives back leave theirs alone", async () => {
    await foreign.attach(inner.client.cgroup, { at: [Op.ACTIVE_ESTABLISHED] });
    const c = await open();
    expectTheirs((await data(c)).client);
    for (const words of ["uto set 30s --live", "ack request --every 4 --live", "uto unset --all --live"]) {
      await r.rule(r.client, words);
      expectTheirs((await data(c)).client);
    }
  });
});
