// SPDX-License-Identifier: MIT
// Requests among others: nested scopes, all extensions in both directions at once.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { type Connection, connectPeers, type Peer } from "../support/lab.ts";
import {
  ASKS,
  CUBIC,
  ccAnswer,
  ccAsk,
  DEFAULT,
  iwAnswer,
  iwAsk,
  optionsOf,
  REFUSED,
  RequestLab,
  requestsOf,
} from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { trace } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement);

describeIf(needs.ok, needs.reason)("requests among others", () => {
  let r: RequestLab;
  /** Below the client's and the server's own cgroups. */
  let inner: Record<"client" | "server", { cgroup: string; peer: Peer }>;

  beforeAll(async () => {
    r = await RequestLab.create();
    const below = async (name: "client" | "server") => {
      const cgroup = r.lab.cgroup("inner", r[name].cgroup);
      return { cgroup, peer: await r.lab.peer(name, cgroup) };
    };
    inner = { client: await below("client"), server: await below("server") };
  });
  afterEach(() => r.clear());
  afterAll(() => r[Symbol.asyncDispose]());

  /** A connection between these two, a little data, and what both sides have said. */
  async function said(client: Peer, server: Peer) {
    const { value: c, capture } = await r.record(async () => {
      const c = await connectPeers(client, server, r.server.v4);
      const sending = await r.sending({ peer: server }, c.server);
      await server.echo(c.server);
      await client.exchange(c.client, 2, 100);
      return { ...c, sending };
    });
    const t = await trace(capture, c.port);
    const distinct = (packets: typeof t.all) => [...new Set(packets.map(requestsOf))].filter(Boolean);
    return { sending: c.sending, client: distinct(t.client), server: distinct(t.server) };
  }

  async function ask(): Promise<void> {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "iw set 40");
  }

  test("accept in parent and child: the child's rules hold, on the SYN-ACK and on the socket", async () => {
    await ask();
    await r.rule(r.server, "cc-request accept cubic");
    await r.rule(r.server, "iw accept --max 32");
    await r.rule(inner.server.cgroup, "cc-request accept reno");
    await r.rule(inner.server.cgroup, "iw accept --max 16");
    expect(await said(r.client.peer, inner.server.peer)).toEqual({
      sending: { cc: DEFAULT.cc, cwnd: 16 },
      client: [ASKS],
      server: [`${ccAnswer(REFUSED)},${iwAnswer(16)}`],
    });
    expect(await said(r.client.peer, r.server.peer)).toEqual({
      sending: { cc: "cubic", cwnd: 32 },
      client: [ASKS],
      server: [`${ccAnswer(CUBIC)},${iwAnswer(32)}`],
    });
  });

  test("the other way round: what the parent refuses, the child grants", async () => {
    await ask();
    await r.rule(r.server, "cc-request accept reno");
    await r.rule(r.server, "iw accept --max 2");
    await r.rule(inner.server.cgroup, "cc-request accept cubic");
    await r.rule(inner.server.cgroup, "iw accept --max 24");
    expect(await said(r.client.peer, inner.server.peer)).toEqual({
      sending: { cc: "cubic", cwnd: 24 },
      client: [ASKS],
      server: [`${ccAnswer(CUBIC)},${iwAnswer(24)}`],
    });
  });

  test("one extension in the child, the other one in the parent: both answer", async () => {
    await ask();
    await r.rule(r.server, "iw accept --max 32");
    await r.rule(inner.server.cgroup, "cc-request accept cubic");
    const seen = await said(r.client.peer, inner.server.peer);
    expect(seen.sending).toEqual({ cc: "cubic", cwnd: 32 });
    expect(seen.server).toContain(`${ccAnswer(CUBIC)},${iwAnswer(32)}`);
  });

  test("none in the child: nothing is granted and nothing answered, whatever the parent accepts", async () => {
    await ask();
    await r.rule(r.server, "cc-request accept cubic");
    await r.rule(r.server, "iw accept --max 32");
    await r.rule(inner.server.cgroup, "cc-request accept none");
    await r.rule(inner.server.cgroup, "iw accept none");
    expect(await said(r.client.peer, inner.server.peer)).toEqual({
      sending: DEFAULT,
      client: [ASKS],
      server: [],
    });
  });

  test("ask in parent and child: the child's; none in the child: nothing is asked", async () => {
    await ask();
    await r.rule(r.server, "cc-request accept cubic,reno");
    await r.rule(r.server, "iw accept --max 32");
    await r.rule(inner.client.cgroup, "iw set 20");
    const own = await said(inner.client.peer, r.server.peer);
    expect(own).toMatchObject({
      sending: { cc: "cubic", cwnd: 20 },
      client: [`${ccAsk(CUBIC)},${iwAsk(20)}`],
    });
    await r.rule(inner.client.cgroup, "iw set none");
    await r.rule(inner.client.cgroup, "cc-request set none");
    const none = await said(inner.client.peer, r.server.peer);
    expect(none).toEqual({ sending: DEFAULT, client: [], server: [] });
  });

  test("--local in the child goes before the parent's; accept in the parent before --local in the child", async () => {
    await r.rule(r.server, "iw set 32 --local");
    await r.rule(inner.server.cgroup, "iw set 16 --local");
    expect((await said(r.client.peer, inner.server.peer)).sending.cwnd).toBe(16);
    await r.rule(r.server, "iw accept --max 24");
    await r.rule(r.client, "iw set 40");
    expect((await said(r.client.peer, inner.server.peer)).sending.cwnd).toBe(24);
  });

  test("every extension and kind at both ends, connections opened by both", async () => {
    for (const [side, n] of [[r.client, 20] as const, [r.server, 24] as const]) {
      await r.rule(side, `uto set ${n}s`);
      await r.rule(side, "uto accept --min 1s");
      await r.rule(side, "cc-request set cubic");
      await r.rule(side, "cc-request set cubic --local");
      await r.rule(side, "cc-request accept cubic");
      await r.rule(side, `iw set ${n}`);
      await r.rule(side, `iw set ${n + 1} --local`);
      await r.rule(side, "iw accept --max 32");
    }
    const sides = [r.client, r.server] as const;
    for (const [from, to] of [sides, [r.server, r.client] as const]) {
      const n = from === r.client ? 20 : 24;
      const { value: c, capture } = await r.record(async (): Promise<Connection> => {
        const c = await connectPeers(from.peer, to.peer, to.v6);
        expect(await r.sending(from, c.client)).toEqual({ cc: "cubic", cwnd: n + 1 });
        expect(await r.sending(to, c.server)).toEqual({ cc: "cubic", cwnd: n });
        await to.peer.echo(c.server);
        await from.peer.exchange(c.client, 3, 100);
        return c;
      });
      expect(await r.u.timeout(from, c.client)).toBe(24_000);
      expect(await r.u.timeout(to, c.server)).toBe(24_000);
      const { client, server } = await trace(capture, c.port);
      const hex = (seconds: number) => `1c0400${seconds.toString(16)}`;
      expect(optionsOf(client[0]!, 28, 254)).toBe(`${hex(n)},${ccAsk(CUBIC)},${iwAsk(n)}`);
      expect(optionsOf(server[0]!, 28, 254)).toBe(`${hex(44 - n)},${ccAnswer(CUBIC)},${iwAnswer(n)}`);
      expect(
        client
          .slice(-2)
          .map((p) => optionsOf(p, 28, 254))
          .join(""),
      ).toBe("");
      expect(
        server
          .slice(-2)
          .map((p) => optionsOf(p, 28, 254))
          .join(""),
      ).toBe("");
    }
    for (const side of sides) {
      expect(await r.counted(side)).toMatchObject({
        cc: { granted: 1, refused: 0, unanswered: 0, malformed: 0, received: 1 },
        iw: { granted: 1, refused: 0, unanswered: 0, malformed: 0, received: 1 },
      });
    }
  });
});
