// SPDX-License-Identifier: MIT
// Keep-alive and a user timeout on connections that exist: what happens, what is shown, changed, and given back.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ETIMEDOUT, IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { keepalive, type SocketOption, setAll } from "../support/keepalive.ts";
import { type Connection, connectPeers } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import type { Side } from "../support/uto-lab.ts";
import { WatchHost } from "../support/watch-host.ts";

const needs = every("all", labRequirement, nftRequirement);
const FAST = keepalive(2, 2, 5);
const FAST_MS = 12_000;
const TIMES = { idle_ms: 2000, interval_ms: 2000, probes: 5 };

describeIf(needs.ok, needs.reason)("keep-alive and a user timeout, on connections that exist", () => {
  let host: WatchHost;
  let u: WatchHost["u"];

  beforeAll(async () => {
    host = await WatchHost.create();
    ({ u } = host);
  });
  const open: Connection[] = [];
  afterEach(async () => {
    await u.filter(u.server, "");
    for (const c of open.splice(0)) {
      await u.client.peer.reset(c.client); // no test's connection is another one's bystander
      await u.server.peer.close(c.listener);
    }
    await host.clear();
  });
  afterAll(() => host[Symbol.asyncDispose]());

  async function connect(options: readonly SocketOption[] = [], port = 0): Promise<Connection> {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4, { options, port });
    open.push(c);
    return c;
  }

  /** To a listener with these options. */
  async function accepted(options: readonly SocketOption[]): Promise<Connection> {
    const { fd: listener, port } = await u.server.peer.listen(u.server.v4);
    await setAll(u.server.peer, listener, options);
    const client = await u.client.peer.connect(u.server.v4, port);
    const c = { listener, port, client, server: (await u.server.peer.accept(listener)).fd };
    open.push(c);
    return c;
  }

  /** A rule command with --live; what it says about connections. */
  const live = async (where: Side, words: string) => (await u.rule(where, `${words} --live`)).json.live;

  async function shown(port: number, json = true) {
    const args = ["connections", "--cgroup", u.client.cgroup, "--port", `${port}`];
    const result = await tcpx(args, { netns: u.client.netns, json });
    return json ? result.json.connections[0] : result.stdout;
  }

  test("a dead peer is found as soon as without a rule, and by a short rule at the first lost probe", async () => {
    const options = keepalive(1, 1, 3);
    await u.rule(u.client, "set 90s --port 7001");
    await u.rule(u.client, "set 1s --port 7002");
    const doomed = await Promise.all([7000, 7001, 7002].map((port) => connect(options, port)));
    const alive = await connect(options);
    await u.filter(u.server, "tcp dport 7000-7002 drop");
    const ends = await Promise.all(doomed.map(({ client }) => u.client.peer.waitError(client, 30_000)));
    expect(ends.map(({ errno }) => errno)).toEqual([ETIMEDOUT, ETIMEDOUT, ETIMEDOUT]);
    expect(await u.client.peer.waitError(alive.client, 100)).toMatchObject({ why: "timeout" });
    const [none, lowered, short] = ends.map(({ ms }) => ms);
    expect(lowered).toBeLessThan(none! + 5000);
    expect(short).toBeLessThan(none!);
  }, 60_000);

  test("connections: keep-alive as it is, and what it makes of the timeout", async () => {
    await u.rule(u.client, "set 40s");
    const lowered = await connect(FAST);
    const late = await connect();
    const plain = await connect();
    await setAll(u.client.peer, late.client, FAST);
    expect(await shown(lowered.port)).toMatchObject({
      user_timeout_ms: FAST_MS,
      keepalive: { ...TIMES, user_timeout: "lowered" },
    });
    expect(await shown(late.port)).toMatchObject({
      user_timeout_ms: 40_000,
      keepalive: { ...TIMES, user_timeout: "later" },
    });
    expect(await shown(plain.port)).toMatchObject({
      keepalive: null,
    });
    expect(await shown(lowered.port, false)).toContain(", uto set 12s (rule 40s): keep-alive ends it then");
    expect(await shown(late.port, false)).toContain(", uto set 40s: keep-alive would end it earlier");
    await u.rule(u.client, "set 1s");
    const short = await connect(FAST);
    expect(await shown(short.port)).toMatchObject({ keepalive: { user_timeout: "short" } });
    expect(await shown(short.port, false)).toContain(", uto set 1s: the first lost keep-alive probe ends it");
    // the application's own timeout is its own business
    await u.client.peer.setopt(short.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
    expect(await shown(short.port)).toMatchObject({ keepalive: { user_timeout: null } });
  });

  test("a connection of no rule's", async () => {
    const c = await connect(FAST);
    await u.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 1500);
    expect(await shown(c.port)).toMatchObject({
      scope_id: null,
      keepalive: { ...TIMES, user_timeout: null },
    });
  });

  test("watch: what was set, and why", async () => {
    await u.rule(u.client, "set 40s");
    await u.rule(u.server, "accept --min 1s");
    const watch = await host.watch([...host.scope(), "--ext", "uto"]);
    const { port } = await connect(FAST);
    const WANTED = ["uto asked 40000 null", "uto keep-alive 40000 12000 keep-alive"];
    expect(await watch.sees(port, WANTED)).toEqual(WANTED);
    await u.rule(u.client, "set 1s");
    const short = await connect(FAST);
    const SHORT = ["uto asked 1000 null", "uto keep-alive 1000 1000 short"];
    expect(await watch.sees(short.port, SHORT)).toEqual(SHORT);
  });

  test("watch: what a peer was granted, in words, too", async () => {
    await u.rule(u.client, "set 40s");
    await u.rule(u.server, "accept --min 1s");
    const watch = await host.watch(["--cgroup", u.server.cgroup], { human: true });
    await accepted(FAST);
    expect(await watch.has(2)).toBe(true);
    expect(watch.stdout).toMatch(/uto +set 12s, not 40s: keep-alive ends it then\n/);
    expect(watch.stdout).toMatch(/uto +gave 12s \(asked 40s\): keep-alive ends it then\n/);
  });

  test("watch tells nothing of it to who has asked for something else", async () => {
    await u.rule(u.client, "set 40s");
    const watch = await host.watch([...host.scope(), "--ext", "iw"]);
    const { port } = await connect(FAST);
    expect(await watch.end()).toBe(0);
    expect(watch.of(port)).toEqual([]);
  });

  test("--live: turned on after the rule, and mended; unset gives back what was there", async () => {
    await u.rule(u.client, "set 40s");
    const c = await connect();
    const timeout = () => u.timeout(u.client, c.client);
    await setAll(u.client.peer, c.client, FAST);
    expect(await timeout()).toBe(40_000);
    expect(await live(u.client, "set 40s")).toMatchObject({
      changed_connections: 1,
      keepalive_lowered: 1,
      keepalive_short: 0,
    });
    expect(await timeout()).toBe(FAST_MS);
    expect(await live(u.client, "set 40s")).toMatchObject({
      changed_connections: 0,
      same: 1,
      keepalive_lowered: 1,
    });
    expect(await live(u.client, "set 3s")).toMatchObject({
      changed_connections: 1,
      keepalive_lowered: 0,
      keepalive_short: 1,
    });
    expect(await timeout()).toBe(3000);
    expect(await live(u.client, "set 50s")).toMatchObject({ changed_connections: 1, keepalive_lowered: 1 });
    expect(await timeout()).toBe(FAST_MS);
    expect(await u.counters(u.client)).toMatchObject({ keepalive_lowered: 2, keepalive_short: 1 });
    expect(await live(u.client, "unset")).toMatchObject({ changed_connections: 1 });
    expect(await timeout()).toBe(0);
  });

  test("--live on a connection without a rule, and a timeout of the application's own", async () => {
    const [c, own] = [await connect(FAST), await connect(FAST)];
    await u.client.peer.setopt(own.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 30_000);
    expect(await live(u.client, "set 40s")).toMatchObject({
      changed_connections: 1,
      skipped: { application: 1 },
    });
    expect([await u.timeout(u.client, c.client), await u.timeout(u.client, own.client)]).toEqual([
      FAST_MS,
      30_000,
    ]);
    expect(await live(u.client, "set 40s --force")).toMatchObject({ changed_connections: 1, same: 1 });
    expect(await u.timeout(u.client, own.client)).toBe(FAST_MS);
    expect(await live(u.client, "unset")).toMatchObject({ changed_connections: 2 });
    expect([await u.timeout(u.client, c.client), await u.timeout(u.client, own.client)]).toEqual([0, 30_000]);
  });

  test("unset --live leaves what a peer was granted, and that is bound, too", async () => {
    await u.rule(u.client, "set 40s");
    await u.rule(u.server, "accept --min 1s");
    await u.rule(u.server, "set 5s");
    const { server: fd } = await accepted([]);
    expect(await u.timeout(u.server, fd)).toBe(40_000);
    await setAll(u.server.peer, fd, FAST);
    expect(await live(u.server, "unset local")).toMatchObject({ changed_connections: 1 });
    expect(await u.timeout(u.server, fd)).toBe(FAST_MS);
  });

  test("reset gives back what was there", async () => {
    const alone = await PrivateHost.create(u.lab, { ownRun: false });
    const scope = ["--cgroup", u.client.cgroup];
    await alone.ok(["uto", "set", "40s", ...scope]);
    const c = await connect(FAST);
    expect(await u.timeout(u.client, c.client)).toBe(FAST_MS);
    await alone.reset();
    expect(await u.timeout(u.client, c.client)).toBe(0);
    await alone.stop();
  });
});
