// SPDX-License-Identifier: MIT
// Room for options beside a signature: TCP MD5 leaves 8 bytes of a SYN, some options leave none. (TCP-AO, which this
// host's kernel need not have: tests/vm/signed.ts.)
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { md5Requirement, setMd5Key } from "../support/keys.ts";
import type { Wire } from "../support/lab.ts";
import {
  ANSWERS,
  algorithmRequirement,
  CUBIC,
  ccAsk,
  iwAsk,
  optionsOf,
  RequestLab,
  requestsIn,
  requestsOf,
} from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, algorithmRequirement("cubic"), md5Requirement);
const MD5 = 19;
const FAST_OPEN_CLIENT = 1;

describeIf(needs.ok, needs.reason)("room for options", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
    await r.lab.sysctl(r.client.netns, "net.ipv4.tcp_fastopen", FAST_OPEN_CLIENT);
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  const noRoom = async () => {
    const of = async (name: "uto" | "cc-request" | "iw") => (await r.counters(r.client, name)).no_room;
    return { uto: await of("uto"), cc: await of("cc-request"), iw: await of("iw") };
  };

  async function signed(family: "v4" | "v6") {
    const { client, server } = r;
    const listener = await server.peer.socket(family === "v4" ? 4 : 6);
    const port = await server.peer.bind(listener, server[family]);
    await setMd5Key(server.peer, listener, client[family]);
    await server.peer.listenFd(listener);
    const fd = await client.peer.socket(family === "v4" ? 4 : 6);
    await setMd5Key(client.peer, fd, server[family]);
    await client.peer.connectFd(fd, server[family], port);
    return { listener, port, client: fd, server: (await server.peer.accept(listener)).fd };
  }

  test.each(["v4", "v6"] as const)(
    "TCP MD5, %s: the user timeout on the SYN, requests later",
    async (family) => {
      await r.usual();
      await r.rule(r.client, "uto set 30s");
      await r.rule(r.server, "uto accept --min 1s");
      const { c, t } = await r.recorded(3, () => signed(family));
      expect(t.all.every((packet) => optionsOf(packet, MD5).length === 36)).toBe(true);
      expect(t.client.every(({ flags }, i) => (flags === "S") === (i === 0))).toBe(true); // nothing again
      expect([utoOf(t.client[0]!), requestsOf(t.client[0]!)]).toEqual(["1c04001e", ""]);
      expect(requestsOf(t.server[0]!)).toBe(""); // nothing was asked yet
      // the third ACK has 20 bytes left, which is room for all three
      expect([utoOf(t.client[1]!), requestsOf(t.client[1]!)]).toEqual([
        "1c04001e",
        `${ccAsk(CUBIC)},${iwAsk(40)}`,
      ]);
      expect(t.server.slice(1).map(requestsOf).find(Boolean)).toBe(ANSWERS);
      expect((await r.sending(r.server, c.server)).cc).toBe("cubic");
      expect(await r.u.timeout(r.server, c.server)).toBe(30_000);
      expect(await noRoom()).toEqual({ uto: 0, cc: 1, iw: 1 });
    },
  );

  /** A client that has a cookie of 16 bytes opens a connection; its SYN. */
  async function fullSyn(wire: Wire, port: number) {
    const { peer } = r.client;
    for (const cookie of [`2212${"ab".repeat(16)}`, ""]) {
      const fd = await peer.socket(4);
      await wire.listen(wire.own.v4, port);
      const sending = peer.sendFastOpen(fd, wire.own.v4, port, 10).catch(() => 0);
      const syn = await wire.expect();
      if (cookie === "") return { fd, syn, sending };
      await wire.synack(syn.flow, `0101${cookie}`);
      await wire.expect(syn.flow);
      await sending;
      await wire.rst(syn.flow);
      await peer.close(fd);
    }
    throw new Error("not reached");
  }

  test("a SYN without a free byte, of which the kernel tells nobody, counts as no room", async () => {
    const wire = await r.lab.wire(r.client.netns);
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "uto set 30s");
    const { fd, syn, sending } = await fullSyn(wire, 9900);
    expect(syn.flags).toBe("S");
    expect(syn.options).toMatch(/2212(ab){16}/);
    expect([syn.options.length / 2, requestsIn(syn)]).toEqual([40, ""]);
    await wire.synack(syn.flow);
    expect(requestsIn(await wire.expect(syn.flow))).toBe(ccAsk(CUBIC)); // the third ACK
    await sending;
    expect(await r.counters(r.client, "uto")).toMatchObject({ no_room: 1 });
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ no_room: 1 });
    await r.client.peer.close(fd);
  });
});
