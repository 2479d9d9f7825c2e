// SPDX-License-Identifier: MIT
// The application comes first: RFC 5482's CHANGEABLE, and --force.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { connectPeers, type Wire } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

const UTO_30S = "1c04001e";
const UTO_60S = "1c04003c";
const UTO_90S = "1c04005a";
const OWN = 7000;
const options = [[IPPROTO_TCP, TCP_USER_TIMEOUT, OWN]] as const;

describeIf(labRequirement.ok, labRequirement.reason)("an application with a user timeout of its own", () => {
  let u: UtoLab;
  let wire: Wire;
  let port = 9000;

  beforeAll(async () => {
    u = await UtoLab.create();
    wire = await u.wire(u.server);
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  /** A connection that the wire endpoint opens to the server, with an option on its SYN. */
  async function fromWire(synOptions: string) {
    const { fd, port: to } = await u.server.peer.listen(wire.kernel.v4);
    const from = { addr: wire.own.v4, port: ++port };
    const { flow } = await wire.connect(from, { addr: wire.kernel.v4, port: to }, synOptions);
    return { flow, fd: (await u.server.peer.accept(fd)).fd, listener: fd };
  }

  /** Data with options; the kernel's acknowledgment says that it has been through the program. */
  async function say(flow: number, wanted: string): Promise<void> {
    await wire.data(flow, 10, wanted);
    expect(await wire.expect(flow)).toMatchObject({ flags: "A", length: 0 });
  }

  const own = (fd: number, ms: number) => u.server.peer.setopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, ms);

  test("a value set before connect() is kept, and the option is what the rule says", async () => {
    await u.rule(u.client, "set 30s");
    await u.rule(u.server, "accept --min 1s");
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options });
    await u.exchange(c);
    expect(await u.timeouts(c)).toEqual({ client: OWN, server: 30_000 });
    expect(await u.counters(u.client)).toMatchObject({ kept: 1, applied: 0 });
  });

  test("set --force overrides it", async () => {
    await u.rule(u.client, "set 30s --force");
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options });
    expect((await u.timeouts(c)).client).toBe(30_000);
    expect(await u.counters(u.client)).toMatchObject({ kept: 0, applied: 1 });
  });

  test("accept leaves it alone, and with --force does not", async () => {
    await u.rule(u.server, "set 30s");
    await u.rule(u.client, "accept --min 1s");
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options });
    expect((await u.timeouts(c)).client).toBe(OWN);
    expect(await u.counters(u.client)).toMatchObject({ kept: 1, received: 1 });
    await u.rule(u.client, "accept --min 1s --force");
    const d = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options });
    expect((await u.timeouts(d)).client).toBe(30_000);
  });

  test.each(["set 30s", "accept --min 1s"])(
    "a listener's own value, which its children inherit, is kept: %s",
    async (words) => {
      await u.rule(u.server, words);
      await u.rule(u.client, "set 60s");
      const { fd, port: to } = await u.server.peer.listen(u.server.v4);
      await own(fd, OWN);
      await u.client.peer.connect(u.server.v4, to);
      const accepted = await u.server.peer.accept(fd);
      expect(await u.timeout(u.server, accepted.fd)).toBe(OWN);
      expect(await u.timeout(u.server, fd)).toBe(OWN);
      expect(await u.counters(u.server)).toMatchObject({ kept: 1, applied: 0 });
    },
  );

  test("a value from the peer in the middle of a connection is adopted while nothing else was chosen", async () => {
    await u.rule(u.server, "accept --min 1s");
    const { flow, fd } = await fromWire(UTO_30S);
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    await say(flow, UTO_60S);
    expect(await u.timeout(u.server, fd)).toBe(60_000);
    await say(flow, UTO_30S); // a smaller one as well: nothing of ours is larger
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    expect(await u.counters(u.server)).toMatchObject({ received: 3, applied: 3, kept: 0 });
  });

  test("once the application has set its own, a later one from the peer is not adopted", async () => {
    await u.rule(u.server, "accept --min 1s");
    const { flow, fd } = await fromWire(UTO_30S);
    await own(fd, OWN);
    await say(flow, UTO_90S);
    expect(await u.timeout(u.server, fd)).toBe(OWN);
    await say(flow, UTO_60S);
    expect(await u.timeout(u.server, fd)).toBe(OWN);
    expect(await u.counters(u.server)).toMatchObject({ kept: 2, applied: 1 });
  });

  test("switching the timeout off (0) is a choice of the application, too", async () => {
    await u.rule(u.server, "accept --min 1s");
    const { flow, fd } = await fromWire(UTO_30S);
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    await own(fd, 0);
    await say(flow, UTO_90S);
    expect(await u.timeout(u.server, fd)).toBe(0);
  });

  test("CHANGEABLE stays false when the peer comes back to the value that we had set", async () => {
    await u.rule(u.server, "accept --min 1s");
    const { flow, fd } = await fromWire(UTO_30S);
    await own(fd, OWN);
    await say(flow, UTO_60S);
    await say(flow, UTO_30S);
    expect(await u.timeout(u.server, fd)).toBe(OWN);
  });

  test("with accept --force the peer's later value overrides the application's", async () => {
    await u.rule(u.server, "accept --min 1s --force");
    const { flow, fd } = await fromWire(UTO_30S);
    await own(fd, OWN);
    await say(flow, UTO_90S);
    expect(await u.timeout(u.server, fd)).toBe(90_000);
  });

  test("with --force an unchanged value of ours is put back when the peer speaks again", async () => {
    await u.rule(u.server, "set 60s --force");
    await u.rule(u.server, "accept --min 1s --force");
    const { flow, fd } = await fromWire(UTO_30S);
    expect(await u.timeout(u.server, fd)).toBe(60_000);
    await own(fd, OWN);
    await say(flow, "1c040014"); // 20 s: the result of the formula is still 60 s
    expect(await u.timeout(u.server, fd)).toBe(60_000);
  });
});
