// SPDX-License-Identifier: MIT
// A connection that was to acknowledge at once and meets another rule of routing first: it is found, counted and told,
// and followed as rules change. What leaves is judged by a capture.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { DEFAULT_MARK, markOf, pingPong } from "../support/ack-lab.ts";
import { type Connection, run, until } from "../support/lab.ts";
import { RequestLab } from "../support/request-lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxOk } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

interface Listed {
  local: { port: number };
  ack_at_once: boolean;
  extensions: { ack: { local: Record<string, unknown> } };
}

const FIRST = 20; // segments that every new connection acknowledges at once
const TIMES = 10;

describeIf(labRequirement.ok, labRequirement.reason)("ACKs at once behind a rule of others", () => {
  let r: RequestLab;

  beforeAll(async () => {
    r = await RequestLab.create();
  });
  afterEach(async () => {
    await r.clear();
    for (const [version, client] of both()) await ip(version, "del", client).catch(() => {});
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const both = () =>
    [
      [4, r.client.v4],
      [6, r.client.v6],
    ] as const;
  /** What the server sends to the client does not come to our rule. */
  const ip = (version: 4 | 6, verb: "add" | "del", client: string) =>
    run([
      "ip",
      `-${version}`,
      "-n",
      r.server.netns,
      "rule",
      verb,
      "pref",
      "100",
      "to",
      client,
      "lookup",
      "main",
    ]);
  const inode = () => statSync(`/proc/${r.server.peer.pid}/ns/net`).ino;

  /** How `tcpx connections` has the server's end. */
  async function seen(c: Connection) {
    const words = ["connections", "--cgroup", r.server.cgroup];
    const { json } = await tcpxOk(words, { json: true });
    const { stdout } = await tcpxOk([...words, "--oneline"]);
    const one = (json.connections as Listed[]).find(({ local }) => local.port === c.port)!;
    return { atOnce: one.ack_at_once, local: one.extensions.ack.local, text: stdout };
  }

  /** The server's end has its mark, and what it has sent since shows the route. */
  async function marked(c: Connection): Promise<void> {
    const has = await until(async () => {
      await pingPong(r, c);
      return (await markOf(r.server, c.server)) === DEFAULT_MARK;
    });
    expect(has).toBe(true);
    await pingPong(r, c, 3);
  }

  /** Of so many requests, after those that every new connection acknowledges at once: how many have an ACK of their own. */
  async function acknowledged(c: Connection): Promise<number> {
    const exchange = async (thinking: number) => {
      await r.client.peer.send(c.client, 100);
      await r.server.peer.recv(c.server, 100);
      await Bun.sleep(thinking);
      await r.server.peer.send(c.server, 100);
      await r.client.peer.recv(c.client, 100);
    };
    for (let n = 0; n < FIRST; n++) await exchange(0);
    const { capture } = await r.record(async () => {
      for (let n = 0; n < TIMES; n++) await exchange(10);
    });
    const packets = await capture.packets(`tcp.port == ${c.port}`);
    return packets.filter(({ sport, length }) => sport === c.port && length === 0).length;
  }

  const status = async () => (await tcpxOk(["status"], { json: true })).json.agent;

  for (const version of [4, 6] as const) {
    const family = `v${version}` as const;
    test(`IPv${version}: is not called so, is counted, told and named, and works once the rule has gone`, async () => {
      await r.rule(r.server, "ack set --every 1");
      const [, client] = both().find(([v]) => v === version)!;
      await ip(version, "add", client);
      const watch = await Watch.start(r.lab, ["--cgroup", r.server.cgroup, "--all-netns"]);
      const c = await r.open(family);
      await marked(c);

      const without = await seen(c);
      expect(without).toMatchObject({ atOnce: false, local: { status: "failed", reason: "routes" } });
      expect(without.text).toContain("ack not set every 1: no routes for it");
      expect(without.text).not.toContain("at once");
      expect(await r.counters(r.server, "ack")).toMatchObject({ applied: 0, no_routes: 1 });
      const rule = `IPv${version} rule 100 (to ${client} lookup 254)`;
      expect((await status()).in_the_way).toEqual([{ netns: inode(), routing_rule: rule }]);
      expect(await until(() => watch.events.some(({ event }) => event === "no-effect"))).toBe(true);
      expect(watch.events.filter(({ event }) => event === "no-effect")).toMatchObject([
        { extension: "ack", reason: "routes", side: null, netns: inode() },
      ]);
      await watch.end();
      expect(await acknowledged(c)).toBeLessThan(TIMES / 2);

      // in mid-connection: no segment has to go first
      await ip(version, "del", client);
      expect(await seen(c)).toMatchObject({ atOnce: true, local: { status: "applied", reason: null } });
      expect((await status()).in_the_way).toEqual([]);
      expect(await acknowledged(c)).toBeGreaterThanOrEqual(TIMES);

      await ip(version, "add", client);
      expect(await seen(c)).toMatchObject({ atOnce: false, local: { status: "failed", reason: "routes" } });
      expect(await acknowledged(c)).toBeLessThan(TIMES / 2);
      expect(await r.counters(r.server, "ack")).toMatchObject({ applied: 0, no_routes: 1 }); // each once
    }, 60_000);
  }

  test("is counted as applied where nothing is in the way, by the segment that shows it", async () => {
    await r.rule(r.server, "ack set --every 1");
    const c = await r.open();
    await marked(c);
    expect(await seen(c)).toMatchObject({ atOnce: true, local: { status: "applied" } });
    expect(await r.counters(r.server, "ack")).toMatchObject({ applied: 1, no_routes: 0, errors: 0 });
    expect((await status()).in_the_way).toEqual([]);
  });

  test("granted to a peer: the same, and what was granted is not called at once", async () => {
    await ip(4, "add", r.client.v4);
    await r.rule(r.server, "ack accept");
    await r.rule(r.client, "ack request --every 1");
    const c = await r.open();
    await marked(c);
    const without = await seen(c);
    expect(without.atOnce).toBe(false);
    expect(without.text).toContain("ack gave every 1, ack without effect: no routes for it");
    expect(without.text).not.toContain("at once");
    expect(await r.counters(r.server, "ack")).toMatchObject({ applied: 0, no_routes: 1, granted: 0 });
    await ip(4, "del", r.client.v4);
    expect((await seen(c)).text).toContain("ack gave at once");
  });

  test("loopback: never at once, and told so by status", async () => {
    const { server } = r;
    await r.rule(server, "ack set --every 1");
    const { fd: listener, port } = await server.peer.listen("127.0.0.1");
    const client = await server.peer.connect("127.0.0.1", port);
    const { fd } = await server.peer.accept(listener);
    const exchange = async () => {
      await server.peer.send(client, 10);
      await server.peer.recv(fd, 10);
      await server.peer.send(fd, 10);
      await server.peer.recv(client, 10);
    };
    const counted = async () => (await r.counters(server, "ack")).no_routes === 2;
    const told = await until(async () => {
      await exchange();
      return counted();
    });
    expect(told).toBe(true);
    expect(await r.counters(server, "ack")).toMatchObject({ applied: 0, no_routes: 2 });
    const { stdout } = await tcpxOk(["connections", "--cgroup", server.cgroup, "--oneline"]);
    expect(stdout).not.toContain("at once");
    expect((await tcpxOk(["status"])).stdout).toContain(
      "not at once: connections of this host to itself (loopback)",
    );
  });
});
