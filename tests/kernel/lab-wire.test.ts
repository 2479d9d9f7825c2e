// SPDX-License-Identifier: MIT
// The test support itself, without tcpx: the TCP endpoint in user space against the kernel's TCP.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { IPPROTO_TCP, TCP_SAVE_SYN, TCP_SAVED_SYN } from "../support/constants.ts";
import { Lab, type Peer, peerErrorOf } from "../support/lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";

const needs = every("all", labRequirement, captureRequirement);
const UTO_30S = "1c04001e";
/** The same request in the experimental space: kind 254, some ExID. */
const EXPERIMENT = "fe067c100028";

describeIf(needs.ok, needs.reason)("the wire endpoint", () => {
  let lab: Lab;
  let kernel: Peer;

  beforeAll(async () => {
    lab = await Lab.create();
    await lab.netns("k");
    kernel = await lab.peer("k");
  });
  afterAll(async () => await lab[Symbol.asyncDispose]());

  test("opens connections with any options, and the data arrives", async () => {
    const wire = await lab.wire("k");
    const capture = await lab.capture("k", wire.device);
    for (const version of ["v4", "v6"] as const) {
      const listener = await kernel.listen(wire.kernel[version]);
      await kernel.setopt(listener.fd, IPPROTO_TCP, TCP_SAVE_SYN, 1);
      const from = { addr: wire.own[version], port: 4000 };
      const to = { addr: wire.kernel[version], port: listener.port };
      const synAck = await wire.connect(from, to, UTO_30S + EXPERIMENT);
      expect(synAck).toMatchObject({ flags: "SA", goodChecksum: true });
      const accepted = await kernel.accept(listener.fd);
      expect(await kernel.getoptHex(accepted.fd, IPPROTO_TCP, TCP_SAVED_SYN)).toContain(UTO_30S);
      await wire.data(synAck.flow, 100, UTO_30S);
      await kernel.recv(accepted.fd, 100);
      expect(await wire.expect(synAck.flow)).toMatchObject({ flags: "A", length: 0 });
      await kernel.send(accepted.fd, 5);
      expect(await wire.expect(synAck.flow)).toMatchObject({ flags: "PA", length: 5, data: "00070e151c" });
      await wire.ack(synAck.flow);
      await wire.rst(synAck.flow);
      expect((await kernel.waitError(accepted.fd, 2000)).errno).toBe(104);
    }
    await capture.stop();
    const syns = (await capture.packets()).filter((p) => p.flags === "S");
    expect(syns).toHaveLength(2);
    for (const syn of syns) {
      expect(syn.uto).toEqual({ minutes: false, value: 30 });
      expect(syn.exids).toEqual([0x7c10]);
      expect(syn.optionList.map((o) => o.hex)).toEqual(["020405b4", UTO_30S, EXPERIMENT]);
    }
  });

  test("accepts connections of a kernel client, and only where it listens", async () => {
    const wire = await lab.wire("k");
    await wire.listen(wire.own.v4, 80);
    const lost = peerErrorOf(kernel.connect(wire.own.v4, 81, { timeoutMs: 300 }));
    const connecting = kernel.connect(wire.own.v4, 80);
    const syn = await wire.expect();
    expect(syn).toMatchObject({ flags: "S", length: 0 });
    await wire.synack(syn.flow, UTO_30S);
    const fd = await connecting;
    expect((await wire.expect(syn.flow)).flags).toBe("A");
    await kernel.send(fd, 1000);
    expect(await wire.expect(syn.flow)).toMatchObject({ length: 1000, goodChecksum: true });
    // Nothing is acknowledged unasked, so the kernel sends it again.
    expect(await wire.expect(syn.flow)).toMatchObject({ length: 1000 });
    await wire.ack(syn.flow);
    await wire.fin(syn.flow);
    expect((await kernel.waitError(fd, 2000)).why).toBe("closed");
    expect((await lost).code).toBe("ETIME");
    expect(await wire.maybe(0, 100)).not.toMatchObject({ flags: "S" });
  });

  test("survives odd input: options that are too long, unknown flows, early commands", async () => {
    const wire = await lab.wire("k");
    const to = { addr: wire.kernel.v4, port: 9 };
    const from = { addr: wire.own.v4, port: 5000 };
    expect((await peerErrorOf(wire.syn(from, to, "01".repeat(41)))).code).toBe("bad-options");
    expect((await peerErrorOf(wire.ack(77))).code).toBe("no-such-flow");
    const flow = await wire.syn(from, to, "=1c02");
    expect((await wire.expect(flow)).flags).toBe("RA");
  });
});
