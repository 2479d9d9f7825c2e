// SPDX-License-Identifier: MIT
// Peers that send what RFC 5482 forbids: nothing of it has an effect, and the connection goes on.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { until, type Wire, type WirePacket } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

const UTO_30S = "1c04001e";
const UTO_60S = "1c04003c";

/** Counted as malformed, and ignored. */
const MALFORMED = [
  ["zero seconds", "1c040000"],
  ["zero minutes", "1c048000"],
  ["length 3", "1c031e"],
  ["length 5", "1c05001e00"],
  ["length 2", "1c020101"],
  ["length 8", "1c08001e001e001e"],
  ["the option twice", `${UTO_30S}${UTO_60S}`],
  ["the option twice, the same", `${UTO_30S}01${UTO_30S}`],
  ["one good, one of a wrong length", `${UTO_30S}1c031e`],
] as const;

/** Not even a list of options: the kernel's own walk ends there, and so does ours. */
const BROKEN = [
  ["length 0", "1c00001e"],
  ["length 1", "1c01001e"],
  ["a length behind the end", "1cff001e"],
  ["cut short at the end of the header", "01011c04"],
  ["after the end of the list", `00${UTO_30S}`],
  ["behind another option of length 0", `4c00${UTO_30S}`],
  ["inside another option", `fe08${UTO_30S}0000`],
] as const;

const ALL = [
  ...MALFORMED.map(([what, hex]) => [what, hex, true] as const),
  ...BROKEN.map(([what, hex]) => [what, hex, false] as const),
];

describeIf(labRequirement.ok, labRequirement.reason)("hostile user timeout options", () => {
  let u: UtoLab;
  let wire: Wire;
  let port = 9000;

  beforeAll(async () => {
    u = await UtoLab.create();
    wire = await u.wire(u.server);
  });
  afterEach(() => u.clear());
  afterAll(() => u[Symbol.asyncDispose]());

  /** A connection that the wire endpoint opens to the kernel. */
  async function open(family: "v4" | "v6", synOptions = "-", ackOptions = "-") {
    const { fd, port: to } = await u.server.peer.listen(wire.kernel[family]);
    const from = { addr: wire.own[family], port: ++port };
    const { flow } = await wire.connect(
      from,
      { addr: wire.kernel[family], port: to },
      synOptions,
      ackOptions,
    );
    return { flow, fd: (await u.server.peer.accept(fd)).fd };
  }

  /** Ten bytes with options; waits for their acknowledgment. */
  async function say(flow: number, options = "-"): Promise<void> {
    await wire.data(flow, 10, options);
    expect(await wire.expect(flow)).toMatchObject({ flags: "A", length: 0 });
  }

  /** Data in both directions, and the connection still understands a good option. */
  async function expectAlive(flow: number, fd: number, received: number): Promise<void> {
    await say(flow, UTO_60S);
    await u.server.peer.recv(fd, received + 10);
    await u.server.peer.send(fd, 20);
    expect(await wire.expect(flow)).toMatchObject({ flags: "PA", length: 20, goodChecksum: true });
    await wire.ack(flow);
    expect(await u.timeout(u.server, fd)).toBe(60_000);
  }

  const malformed = async () => (await u.counters(u.server)).malformed;

  test.each(ALL)("%s, on the SYN, the third ACK and data of a client", async (_, hex, counted) => {
    await u.rule(u.server, "accept --min 1s --max 1h");
    const onSyn = await open("v4", hex);
    expect(await u.timeout(u.server, onSyn.fd)).toBe(0);
    expect(await malformed()).toBe(counted ? 1 : 0);
    await expectAlive(onSyn.flow, onSyn.fd, 0);
    const onAck = await open("v6", "-", hex);
    expect(await u.timeout(u.server, onAck.fd)).toBe(0);
    expect(await malformed()).toBe(counted ? 2 : 0);
    await expectAlive(onAck.flow, onAck.fd, 0);
    const onData = await open("v4");
    await say(onData.flow, hex);
    expect(await u.timeout(u.server, onData.fd)).toBe(0);
    expect(await malformed()).toBe(counted ? 3 : 0);
    await expectAlive(onData.flow, onData.fd, 10);
    expect(await u.counters(u.server)).toMatchObject({ received: 3, applied: 3 });
  });

  test.each([...MALFORMED])("%s does not take away the value of a good one before", async (_, hex) => {
    await u.rule(u.server, "accept --min 1s --max 1h");
    const { flow, fd } = await open("v4", UTO_30S, hex);
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    await say(flow, hex);
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    expect(await malformed()).toBe(2);
  });

  test("a kernel client: good and malformed answers on the SYN-ACK", async () => {
    await u.rule(u.server, "accept --min 1s --max 1h");
    await wire.listen(wire.own.v4, 80);
    const connect = async (options: string) => {
      const connecting = u.server.peer.connect(wire.own.v4, 80);
      const syn = await wire.expect();
      expect(syn.options).not.toContain("1c04");
      await wire.synack(syn.flow, options);
      const fd = await connecting;
      expect((await wire.expect(syn.flow)).flags).toBe("A");
      return { flow: syn.flow, fd };
    };
    expect(await u.timeout(u.server, (await connect(UTO_30S)).fd)).toBe(30_000);
    for (const [n, [, hex]] of MALFORMED.entries()) {
      const { flow, fd } = await connect(hex);
      expect(await u.timeout(u.server, fd)).toBe(0);
      expect(await malformed()).toBe(n + 1);
      await expectAlive(flow, fd, 0);
    }
    for (const [, hex] of BROKEN) {
      const { flow, fd } = await connect(hex);
      expect(await u.timeout(u.server, fd)).toBe(0);
      await expectAlive(flow, fd, 0);
    }
    expect(await malformed()).toBe(MALFORMED.length);
  });

  test("a simultaneous open: both send SYNs, and the peer's value on its ACK is adopted", async () => {
    await u.rule(u.server, "accept --min 1s --max 1h");
    await u.rule(u.server, "set 10s");
    await wire.listen(wire.own.v4, 81);
    const connecting = u.server.peer.connect(wire.own.v4, 81);
    const syn = await wire.expect();
    expect(syn.options).toContain("1c04000a");
    const { sndNxt, rcvNxt } = await wire.numbers(syn.flow);
    await wire.raw(syn.flow, "S", sndNxt, 0, 0, UTO_30S);
    expect((await wire.expect(syn.flow)).flags).toBe("SA");
    await wire.raw(syn.flow, "A", sndNxt + 1, rcvNxt, 0, UTO_30S);
    const fd = await connecting;
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    await u.server.peer.send(fd, 20);
    expect(await wire.expect(syn.flow)).toMatchObject({ flags: "PA", length: 20 });
    await u.server.peer.reset(fd);
  });

  test("a host without an accept rule ignores everything", async () => {
    await u.rule(u.server, "set 90s");
    const { flow, fd } = await open("v4", UTO_30S, UTO_60S);
    await say(flow, UTO_30S);
    await say(flow, "1c040000");
    expect(await u.timeout(u.server, fd)).toBe(90_000);
    expect(await u.counters(u.server)).toMatchObject({ received: 0, malformed: 0, applied: 1 });
  });

  test("a segment outside of the window has no effect, and an old one again has none", async () => {
    await u.rule(u.server, "accept --min 1s --max 1h");
    const { flow, fd } = await open("v4", UTO_30S);
    await say(flow);
    await say(flow);
    const { sndNxt, rcvNxt } = await wire.numbers(flow);
    const before = await u.server.peer.tcpInfo(fd);
    await wire.raw(flow, "PA", sndNxt + 100_000_000, rcvNxt, 10, UTO_60S);
    await wire.raw(flow, "PA", sndNxt - 20, rcvNxt, 10, UTO_60S);
    const count = async () => (await u.server.peer.tcpInfo(fd)).segs_in! - before.segs_in!;
    expect(await until(async () => (await count()) === 2)).toBe(true);
    expect(await u.timeout(u.server, fd)).toBe(30_000);
    await drain(flow);
    await expectAlive(flow, fd, 20);
  });

  /** Takes what has come: duplicate acknowledgments are rate-limited, so their number is not known. */
  async function drain(flow: number): Promise<void> {
    let packet: WirePacket | undefined;
    do packet = await wire.maybe(flow, 100);
    while (packet);
  }

  test("many changes: the last one holds, and every one was seen", async () => {
    await u.rule(u.server, "accept --min 1s --max 1h");
    const { flow, fd } = await open("v4");
    await u.server.peer.sink(fd);
    // fewer than the 500 acknowledgments that the device holds for us
    for (let n = 1; n <= 300; n++) {
      await wire.data(flow, 1, `1c04${(1000 + n).toString(16).padStart(4, "0")}`);
    }
    const { sndNxt } = await wire.numbers(flow);
    const acked = async () => (await wire.numbers(flow)).sndUna === sndNxt;
    while (!(await acked())) await wire.expect(flow);
    expect(await u.timeout(u.server, fd)).toBe(1_300_000);
    expect(await u.counters(u.server)).toMatchObject({ received: 300, applied: 300, malformed: 0 });
  });
});
