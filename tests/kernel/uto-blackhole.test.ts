// SPDX-License-Identifier: MIT
// What the user timeout is for: both ends of a connection over a dead path give up when they agreed to.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ETIMEDOUT, TCP_ESTABLISHED } from "../support/constants.ts";
import { connectPeers, peerErrorOf, type Routed } from "../support/lab.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { UtoLab } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, nftRequirement);

describeIf(needs.ok, needs.reason)("a black hole", () => {
  let u: UtoLab;
  let path: Routed;

  beforeAll(async () => {
    u = await UtoLab.create(async (lab) => {
      path = await lab.routed();
      return path;
    });
  });
  afterEach(async () => {
    await path.mend();
    await u.clear();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  test("ends both sides at the negotiated timeout, and a connection without a rule lives on", async () => {
    await u.rule(u.client, "set 3s --port 7001");
    await u.rule(u.server, "accept --min 1s --port 7001");
    const doomed = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { port: 7001 });
    const control = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { port: 7002 });
    expect(await u.timeouts(doomed)).toEqual({ client: 3000, server: 3000 });
    expect(await u.timeouts(control)).toEqual({ client: 0, server: 0 });
    await path.cut();
    // their clocks begin before what they measure
    const waiting = Promise.all([
      u.client.peer.waitError(doomed.client, 12_000),
      u.server.peer.waitError(doomed.server, 12_000),
    ]);
    for (const c of [doomed, control]) {
      await Promise.all([u.client.peer.send(c.client, 100), u.server.peer.send(c.server, 100)]);
    }
    const ends = await waiting;
    for (const end of ends) {
      expect(end).toMatchObject({ errno: ETIMEDOUT, why: "error" });
      expect(end.ms).toBeGreaterThan(2500);
      expect(end.ms).toBeLessThan(8000);
    }
    expect((await u.client.peer.tcpInfo(control.client)).state).toBe(TCP_ESTABLISHED);
    expect((await u.server.peer.tcpInfo(control.server)).state).toBe(TCP_ESTABLISHED);
    await path.mend();
    await Promise.all([
      u.client.peer.recv(control.client, 100, 15_000),
      u.server.peer.recv(control.server, 100, 15_000),
    ]);
  }, 40_000);

  test("a longer timeout than the cut: the connection outlives it", async () => {
    await u.rule(u.client, "set 5min");
    await u.rule(u.server, "accept");
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v6);
    expect(await u.timeouts(c)).toEqual({ client: 300_000, server: 300_000 });
    await path.cut("toServer");
    await u.client.peer.send(c.client, 100);
    expect(await u.client.peer.waitError(c.client, 1500)).toMatchObject({ errno: 0, why: "timeout" });
    await path.mend();
    await u.server.peer.recv(c.server, 100, 15_000);
  }, 40_000);

  test("a short timeout does not bound connect(): it is set once the connection is up", async () => {
    await u.rule(u.client, "set 300ms --port 7003");
    const listener = await u.server.peer.listen(u.server.v4, 7003);
    await path.cut("toClient");
    const connecting = u.client.peer.connect(u.server.v4, 7003, { timeoutMs: 15_000 });
    expect(await Promise.race([connecting, Bun.sleep(1500).then(() => "still trying")])).toBe("still trying");
    await path.mend();
    const fd = await connecting;
    await u.server.peer.accept(listener.fd);
    expect(await u.timeout(u.client, fd)).toBe(300);
  }, 40_000);

  test("a peer that is alive and does not read is given up, too; without a rule it is not", async () => {
    await u.rule(u.client, "set 1s --port 7005");
    const [paused, control] = await Promise.all(
      [7005, 7006].map(async (port) => {
        const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { port });
        // more than fits into the buffers of both
        const { code } = await peerErrorOf(u.client.peer.send(c.client, 64 << 20, 6000));
        return { c, code };
      }),
    );
    expect([paused!.code, control!.code]).toEqual(["ETIMEDOUT", "EAGAIN"]); // which is the time that send() had
    expect((await u.server.peer.tcpInfo(paused!.c.server)).state).toBe(TCP_ESTABLISHED); // nobody has told it
    expect((await u.client.peer.tcpInfo(control!.c.client)).state).toBe(TCP_ESTABLISHED);
  }, 40_000);
});
