// SPDX-License-Identifier: MIT
// Local rules that meet a connection a second time: a socket that connects again, scopes in one another, --live
// where the value is there already.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, DEFAULT_CAP, delackRequirement } from "../support/ack-lab.ts";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { keepalive, setAll } from "../support/keepalive.ts";
import { congestionOf } from "../support/lab.ts";
import { LiveLab, STOCK } from "../support/live-lab.ts";
import { algorithmRequirement, GRANTED, type RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement } from "../support/requires.ts";
import { type Side, tcpxOk } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, delackRequirement, algorithmRequirement("cubic"));
const applied = (value: object) => ({ status: "applied", rule: value, applied: value, reason: null });
const granted = (rule: object) => ({ status: "kept", rule, applied: null, reason: "granted" });
const algorithm = (name: string) => ({ algorithm: name });

describeIf(needs.ok, needs.reason)("local rules, a second time", () => {
  let l: LiveLab;
  let r: RequestLab;

  beforeAll(async () => {
    l = await LiveLab.create();
    r = l.r;
  });
  afterEach(() => l.clear());
  afterAll(() => l[Symbol.asyncDispose]());

  /** What `tcpx connections` says of local rules. */
  async function local(side: Side, port: number) {
    const words = ["connections", "--cgroup", side.cgroup, "--port", `${port}`, "--json"];
    const { connections } = JSON.parse((await tcpxOk(words, { netns: side.netns })).stdout);
    expect(connections.length).toBe(1);
    const { extensions } = connections[0];
    return { cc: extensions["cc-request"].local, iw: extensions.iw.local, ack: extensions.ack.local };
  }

  test("a socket that connects again, to where another rule holds", async () => {
    await r.rule(r.client, "cc-request set cubic --local --port 7702");
    await r.rule(r.client, "cc-request set reno --local --port 7701");
    const fd = await r.client.peer.socket(4);
    for (const [port, cc] of [
      [7701, "reno"],
      [7702, "cubic"],
      [7701, "reno"],
    ] as const) {
      const { fd: listener } = await r.server.peer.listen(r.server.v4, port);
      await r.client.peer.connectFd(fd, r.server.v4, port);
      await r.server.peer.accept(listener);
      expect(await congestionOf(r.client.peer.pid, fd)).toBe(cc);
      expect((await local(r.client, port)).cc).toEqual(applied(algorithm(cc)));
      await r.client.peer.disconnect(fd);
      await r.server.peer.close(listener);
    }
    await r.client.peer.close(fd);
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ applied: 3, kept: 0 });
  });

  test.each(["0", "7000"])("and to where none holds, with a timeout of its own of %s ms", async (own) => {
    for (const words of ["uto set 30s --force", "cc-request set cubic --local", "ack set --delay 40ms"]) {
      await r.rule(r.client, `${words} --port 7701`);
    }
    const fd = await r.client.peer.socket(4);
    await r.client.peer.setopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, Number(own));
    const there = async (port: number) => {
      const { fd: listener } = await r.server.peer.listen(r.server.v4, port);
      await r.client.peer.connectFd(fd, r.server.v4, port);
      const settings = await l.settings(r.client, fd);
      await r.client.peer.disconnect(fd);
      await r.server.peer.close(listener);
      return settings;
    };
    const stock = [Number(own), ...STOCK.slice(1)];
    expect(await there(7701)).toEqual([30_000, "cubic", 40_000]);
    expect(await there(7702)).toEqual(stock);
    expect(await there(7701)).toEqual([30_000, "cubic", 40_000]);
    await r.client.peer.setopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, 9000);
    expect(await there(7702)).toEqual([9000, ...STOCK.slice(1)]);
    await r.client.peer.close(fd);
    for (const name of ["uto", "cc-request"] as const) {
      expect(await r.counters(r.client, name)).toMatchObject({ applied: 2, kept: 0 });
    }
  });

  test("and whose application has chosen in between", async () => {
    await r.rule(r.client, "cc-request set cubic --local");
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const fd = await r.client.peer.connect(r.server.v4, port);
    await r.client.peer.disconnect(fd);
    await r.client.peer.setcc(fd, "reno");
    await r.client.peer.connectFd(fd, r.server.v4, port);
    expect(await congestionOf(r.client.peer.pid, fd)).toBe("reno");
    expect(await r.counters(r.client, "cc-request")).toMatchObject({ applied: 1, kept: 1 });
    await r.client.peer.reset(fd);
    await r.server.peer.close(listener);
  });

  /** The server in a scope within that of its side, with these rules. */
  async function within(name: string, ...rules: string[]) {
    const cgroup = r.lab.cgroup(name, r.server.cgroup);
    const inner = { ...r.server, cgroup, peer: await r.lab.peer(r.server.netns, cgroup) };
    for (const words of rules) await r.rule(cgroup, words);
    return inner;
  }

  async function accepted(side: Side) {
    const { fd: listener, port } = await side.peer.listen(side.v4);
    const client = await r.client.peer.connect(side.v4, port);
    const { fd } = await side.peer.accept(listener);
    const found = { sending: await r.sending(side, fd), ...(await local(side, port)) };
    await r.client.peer.reset(client);
    return found;
  }

  test("what an inner scope has granted goes before the wish of an outer one, and is told", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "iw set 40");
    const inner = await within("grants", "cc-request accept cubic", "iw accept --max 32");
    await r.rule(r.server, "cc-request set reno --local");
    await r.rule(r.server, "iw set 20 --local");
    expect(await accepted(inner)).toMatchObject({
      sending: GRANTED,
      cc: granted(algorithm("reno")),
      iw: granted({ segments: 20 }),
    });
    for (const name of ["cc-request", "iw"] as const) {
      expect(await r.counters(inner.cgroup, name)).toMatchObject({ applied: 1 });
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 0 });
    }
  });

  test("what an inner scope has set is not set again by an outer one", async () => {
    const inner = await within("sets", "cc-request set cubic --local", "iw set 20 --local");
    await r.rule(r.server, "uto set 30s --no-advertise");
    expect(await accepted(inner)).toMatchObject({
      sending: { cc: "cubic", cwnd: 20 },
      cc: applied(algorithm("cubic")),
      iw: applied({ segments: 20 }),
    });
    for (const name of ["cc-request", "iw"] as const) {
      expect(await r.counters(inner.cgroup, name)).toMatchObject({ applied: 1 });
      expect(await r.counters(r.server, name)).toMatchObject({ applied: 0 });
    }
  });

  test("--live, a delay that is the kernel's", async () => {
    const c = await l.opened();
    const us = DEFAULT_CAP;
    expect(await l.live(r.client, `ack set --delay ${us / 1000}ms`)).toMatchObject({
      changed_connections: 0,
      same: 1,
    });
    expect((await local(r.client, c.port)).ack).toEqual(
      applied({ every: null, divisor: null, delay_us: us }),
    );
    expect(await capOf(r.client, c.client)).toBe(us);
  });

  test("--live, a congestion control that is the host's: ours, as after a handshake under the rule", async () => {
    const c = await l.opened();
    for (let n = 0; n < 2; n++) {
      expect(await l.live(r.client, "cc-request set reno --local")).toMatchObject({ same: 1 });
      expect((await local(r.client, c.port)).cc).toEqual(applied(algorithm("reno")));
    }
    expect(await l.live(r.client, "cc-request set cubic --local")).toMatchObject({ changed_connections: 1 });
    expect(await l.live(r.client, "cc-request unset")).toMatchObject({ changed_connections: 1 });
    expect(await congestionOf(r.client.peer.pid, c.client)).toBe("reno");
  });

  test("--live, where the peer was granted something else: as after a handshake under the rule", async () => {
    await r.usual();
    await r.rule(r.client, "ack request --every 16");
    await r.rule(r.server, "ack accept --max-every 8");
    const c = await l.opened();
    for (const words of ["cc-request set reno --local", "ack set --delay 40ms"]) {
      expect(await l.live(r.server, words)).toMatchObject({ skipped: { granted: 1 } });
    }
    expect(await local(r.server, c.port)).toMatchObject({
      cc: granted(algorithm("reno")),
      ack: granted({ every: null, divisor: null, delay_us: 40_000 }),
    });
    expect(await l.live(r.server, "cc-request unset local")).toMatchObject({ changed_connections: 0 });
    expect((await local(r.server, c.port)).cc.status).toBe("none");
    expect(await congestionOf(r.server.peer.pid, c.server)).toBe("cubic");
  });

  test("--live, a timeout that the application has chosen as the rule says, and keep-alive is shorter", async () => {
    const c = await l.opened();
    await r.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, 40_000);
    await setAll(r.client.peer, c.client, keepalive(1, 1, 3));
    expect(await l.live(r.client, "uto set 40s")).toMatchObject({
      changed_connections: 0,
      skipped: { application: 1 },
      keepalive_lowered: 0,
    });
    expect(await r.u.timeout(r.client, c.client)).toBe(40_000);
  });
});
