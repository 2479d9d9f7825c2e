// SPDX-License-Identifier: MIT
// Which connections a rule is for: directions, prefixes, ports, lists, exemptions, IPv4 in IPv6 clothes.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ECONNREFUSED } from "../support/constants.ts";
import { type Connection, connectPeers, peerErrorOf, run } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

const OTHER_V4 = "10.77.1.3";
const OTHER_V6 = "fd77:1::3";

describeIf(labRequirement.ok, labRequirement.reason)("selectors of tcpx uto", () => {
  let u: UtoLab;
  let v4: string;
  let v6: string;
  let clientV4: string;

  beforeAll(async () => {
    u = await UtoLab.create();
    ({ v4, v6 } = u.server);
    clientV4 = u.client.v4;
    const device = u.server.device;
    const steps = `addr add ${OTHER_V4}/24 dev ${device}\naddr add ${OTHER_V6}/64 dev ${device} nodad\n`;
    await run(["ip", "-n", u.server.netns, "-batch", "-"], {}, steps);
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  /** The client's timeout in seconds on a new connection to this address and port (0: any). */
  async function secondsTo(addr: string, port = 0): Promise<number> {
    return (await u.timeout(u.client, (await open(addr, port)).client)) / 1000;
  }

  /** The server's, of a connection that it accepts there. */
  async function secondsFrom(addr: string, port = 0): Promise<number> {
    return (await u.timeout(u.server, (await open(addr, port)).server)) / 1000;
  }

  async function open(addr: string, port: number): Promise<Connection> {
    const c = await connectPeers(u.client.peer, u.server.peer, addr, { port });
    await u.server.peer.close(c.listener);
    return c;
  }

  test("--to is for connections that this side opens, --from for those that it accepts", async () => {
    await u.rule(u.client, `set 20s --to ${v4}`);
    await u.rule(u.server, `set 30s --from ${clientV4}`);
    expect([await secondsTo(v4), await secondsFrom(v4)]).toEqual([20, 30]);
    expect([await secondsTo(v6), await secondsFrom(v6)]).toEqual([0, 0]);
    // the other way round the same rules select nothing: --to and --from name the peer, and who opened
    const back = await connectPeers(u.server.peer, u.client.peer, clientV4);
    expect(await u.timeout(u.server, back.client)).toBe(0);
    expect(await u.timeout(u.client, back.server)).toBe(0);
  });

  test("the longest prefix wins, whatever the order of the commands", async () => {
    await u.rule(u.client, "set 40s --to 10.77.1.2");
    await u.rule(u.client, "set 10s");
    await u.rule(u.client, "set 30s --to 10.77.0.0/16");
    await u.rule(u.client, "set 20s --to 0.0.0.0/0");
    await u.rule(u.client, "set 50s --to fd77:1::/64");
    await u.rule(u.client, "set 60s --to fd77:1::3/128");
    expect([await secondsTo(v4), await secondsTo(OTHER_V4)]).toEqual([40, 30]);
    expect([await secondsTo(v6), await secondsTo(OTHER_V6)]).toEqual([50, 60]);
    await u.rule(u.client, "unset --to 10.77.1.2");
    expect(await secondsTo(v4)).toBe(30);
    await u.rule(u.client, "unset --to 10.77.0.0/16");
    expect(await secondsTo(v4)).toBe(20);
    await u.rule(u.client, "unset --to 0.0.0.0/0");
    expect(await secondsTo(v4)).toBe(10);
  });

  test("the exact port decides only between equal prefixes", async () => {
    await u.rule(u.client, "set 10s --port 7000");
    await u.rule(u.client, "set 20s --to 10.77.1.0/24");
    await u.rule(u.client, "set 30s --to 10.77.1.0/24 --port 7000");
    await u.rule(u.client, "set 40s --to 10.77.1.2");
    await u.rule(u.client, "set 50s --to 10.77.1.3 --port 7001");
    expect(await secondsTo(v4, 7000)).toBe(40);
    expect(await secondsTo(OTHER_V4, 7000)).toBe(30);
    expect(await secondsTo(OTHER_V4, 7001)).toBe(50);
    expect(await secondsTo(OTHER_V4, 7002)).toBe(20);
    expect(await secondsTo(v6, 7000)).toBe(10);
    expect(await secondsTo(v6, 7002)).toBe(0);
  });

  /** A connect() that is refused; Linux answers the next one on the same socket with ECONNABORTED. */
  async function refused(): Promise<number> {
    const fd = await u.client.peer.socket(4);
    expect((await peerErrorOf(u.client.peer.connectFd(fd, v4, 7090))).errno).toBe(ECONNREFUSED);
    expect((await peerErrorOf(u.client.peer.connectFd(fd, v4, 7090))).code).toBe("ECONNABORTED");
    return fd;
  }

  test("a socket that connects again after a refusal is judged anew", async () => {
    await u.rule(u.client, "set 20s --port 7090");
    await u.rule(u.client, "set 30s --port 7091");
    await u.rule(u.server, "accept --min 1s");
    for (const [port, ms] of [[7091, 30_000] as const, [7092, 0] as const]) {
      const listener = await u.server.peer.listen(v4, port);
      const fd = await refused();
      await u.client.peer.connectFd(fd, v4, port);
      const accepted = await u.server.peer.accept(listener.fd);
      expect(await u.timeout(u.client, fd)).toBe(ms);
      expect(await u.timeout(u.server, accepted.fd)).toBe(ms);
    }
  });

  test("--port is the listening side's, in both directions, and not the other one's", async () => {
    await u.rule(u.client, "set 20s --port 7100");
    await u.rule(u.server, "set 30s --port 7100");
    expect([await secondsTo(v4, 7100), await secondsFrom(v4, 7100)]).toEqual([20, 30]);
    expect([await secondsTo(v4, 7101), await secondsFrom(v4, 7101)]).toEqual([0, 0]);
    const listener = await u.server.peer.listen(v4, 7102);
    const fd = await u.client.peer.socket(4);
    expect(await u.client.peer.bind(fd, clientV4, 7100)).toBe(7100);
    await u.client.peer.connectFd(fd, v4, 7102);
    const accepted = await u.server.peer.accept(listener.fd);
    expect(await u.timeout(u.client, fd)).toBe(0);
    expect(await u.timeout(u.server, accepted.fd)).toBe(0);
  });

  test("lists with commas make one rule per member", async () => {
    const made = await u.rule(u.client, `set 20s --to ${v4},${OTHER_V6} --port 7200,7201`);
    expect(made.json.added).toHaveLength(2 * 2 * 2); // ask and local
    expect([await secondsTo(v4, 7200), await secondsTo(v4, 7201), await secondsTo(v4, 7202)]).toEqual([
      20, 20, 0,
    ]);
    expect([await secondsTo(OTHER_V6, 7201), await secondsTo(v6, 7201)]).toEqual([20, 0]);
    await u.rule(u.client, `unset --to ${v4} --port 7201`);
    expect([await secondsTo(v4, 7200), await secondsTo(v4, 7201)]).toEqual([20, 0]);
  });

  test("none exempts a narrower prefix, from asking, from the local value, and from accepting", async () => {
    await u.rule(u.client, "set 20s --to 10.77.1.0/24");
    await u.rule(u.client, `set none --to ${OTHER_V4}`);
    await u.rule(u.server, "accept --min 1s --from 10.77.1.0/24");
    expect([await secondsTo(v4), await secondsFrom(v4)]).toEqual([20, 20]);
    expect([await secondsTo(OTHER_V4), await secondsFrom(OTHER_V4)]).toEqual([0, 0]);
    await u.rule(u.server, `accept none --from ${clientV4}`);
    expect([await secondsTo(v4), await secondsFrom(v4)]).toEqual([20, 0]);
  });

  test("--no-advertise at a narrower prefix does not advertise the wider rule's value", async () => {
    await u.rule(u.client, "set 20s --to 10.77.1.0/24");
    await u.rule(u.client, `set 25s --no-advertise --to ${OTHER_V4}`);
    await u.rule(u.server, "accept --min 1s");
    expect([await secondsTo(v4), await secondsFrom(v4)]).toEqual([20, 20]);
    expect([await secondsTo(OTHER_V4), await secondsFrom(OTHER_V4)]).toEqual([25, 0]);
  });

  test("kinds are looked up one by one: a narrower set leaves a wider accept in force", async () => {
    await u.rule(u.client, "accept --min 1s");
    await u.rule(u.client, `set 20s --to ${v4} --port 7300`);
    await u.rule(u.server, "set 90s");
    const c = await open(v4, 7300);
    expect(await u.timeout(u.client, c.client)).toBe(90_000);
  });

  test("a dual-stack listener's IPv4 client is an IPv4 address to the rules, on the SYN-ACK and after it", async () => {
    await u.rule(u.client, "set 20s");
    await u.rule(u.client, "accept --min 1s");
    await u.rule(u.server, `accept --min 1s --from ${clientV4}/32`);
    await u.rule(u.server, `set 60s --from ${clientV4}`);
    await u.rule(u.server, "set 90s --from ::/0");
    const { fd, port } = await u.server.peer.listen("::", 0, { v6only: false });
    const client4 = await u.client.peer.connect(v4, port);
    expect(await u.timeout(u.client, client4)).toBe(60_000); // from the SYN-ACK: no data was sent
    const accepted4 = await u.server.peer.accept(fd);
    expect(accepted4.addr).toBe(`::ffff:${clientV4}`);
    expect(await u.timeout(u.server, accepted4.fd)).toBe(60_000);
    const client6 = await u.client.peer.connect(v6, port); // a real IPv6 client is in ::/0
    expect(await u.timeout(u.client, client6)).toBe(90_000);
    expect(await u.timeout(u.server, (await u.server.peer.accept(fd)).fd)).toBe(90_000);
  });

  test("an IPv6 socket connected to ::ffff:a.b.c.d is an IPv4 connection to the rules", async () => {
    await u.rule(u.client, "set 90s --to ::/0");
    await u.rule(u.client, "set 20s --to 10.77.0.0/16");
    const { fd, port } = await u.server.peer.listen(v4);
    const client = await u.client.peer.connect(`::ffff:${v4}`, port);
    await u.server.peer.accept(fd);
    expect(await u.timeout(u.client, client)).toBe(20_000);
    expect([await secondsTo(v4), await secondsTo(v6)]).toEqual([20, 90]);
    // and the mapped notation names the same rule
    expect((await u.rule(u.client, "set 20s --to ::ffff:10.77.0.0/112")).json.changed).toBe(false);
  });
});
