// SPDX-License-Identifier: MIT
// What `tcpx watch` tells of connections between real sockets.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { ackAsk, TARR_CAPABLE, tarrAsk } from "../support/ack-lab.ts";
import { IPPROTO_TCP, TCP_USER_TIMEOUT } from "../support/constants.ts";
import type { Wire } from "../support/lab.ts";
import { algorithmRequirement, ccAnswer, RequestLab } from "../support/request-lab.ts";
import { describeIf, every, labRequirement, nftRequirement } from "../support/requires.ts";
import { type Side, tcpxOk } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const reno = algorithmRequirement("reno");
const needs = every("all", labRequirement, nftRequirement, algorithmRequirement("cubic"), reno);
const DROP_SYN = "tcp flags syn / fin,syn,rst,ack tcp option 254 exists drop";

describeIf(needs.ok, needs.reason)("the events of tcpx watch", () => {
  let r: RequestLab;
  let wire: Wire;
  let open: Watch | undefined;

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.server.netns);
  });
  afterEach(async () => {
    await open?.end("SIGTERM");
    open = undefined;
    for (const side of [r.client, r.server]) await r.filter(side, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  async function watch(...args: string[]): Promise<Watch> {
    open = await Watch.start(r.lab, args);
    return open;
  }

  /** Both hosts, each of which has its own namespace. */
  const watchAll = (...args: string[]) => watch("--all-netns", ...args);

  async function expectEvents(w: Watch, port: number, wanted: string[]): Promise<void> {
    expect(await w.sees(port, wanted)).toEqual(wanted.sort());
  }

  test("granted, both sides, all extensions, IPv4 and IPv6", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.server, "uto accept --min 40s");
    await r.rule(r.client, "ack request --every 16");
    await r.rule(r.server, "ack accept --max-every 8 --max-delay 40ms");
    const w = await watchAll();
    for (const family of ["v4", "v6"] as const) {
      const c = await r.open(family);
      await r.exchange(c);
      await expectEvents(w, c.port, [
        "uto asked 30000 null",
        "their uto granted 30000 40000 clamped",
        'ack granted {"every":16,"divisor":0} {"every":8,"divisor":0}',
        'their ack granted {"every":16,"divisor":0} {"every":8,"divisor":0} clamped',
        "cc-request granted cubic cubic",
        "their cc-request granted cubic cubic",
        "iw granted 40 32",
        "their iw granted 40 32 clamped",
      ]);
    }
  });

  test("refused by the rule, and not answered at all", async () => {
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.client, "iw set 20");
    await r.rule(r.server, "cc-request accept reno");
    const w = await watchAll();
    const c = await r.open();
    await r.exchange(c);
    await expectEvents(w, c.port, [
      "cc-request refused cubic null",
      "their cc-request refused cubic null not-allowed",
      "iw unanswered 20 null",
    ]);
  });

  test("what the application has chosen is not touched, and that is the reason", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(r.server, "uto accept --min 5s");
    await r.rule(r.server, "cc-request accept cubic");
    const w = await watchAll();
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    await r.server.peer.setopt(listener, IPPROTO_TCP, TCP_USER_TIMEOUT, 12_345);
    await r.server.peer.setcc(listener, "reno");
    const [client, { fd: server }] = await Promise.all([
      r.client.peer.connect(r.server.v4, port),
      r.server.peer.accept(listener),
    ]);
    await r.exchange({ listener, port, client, server });
    await expectEvents(w, port, [
      "uto asked 30000 null",
      "their uto refused 30000 null application",
      "cc-request granted cubic cubic", // by the SYN-ACK
      "cc-request refused cubic null", // by the data that corrects it
      "their cc-request refused cubic null application",
    ]);
  });

  test("options that are ignored", async () => {
    for (const words of ["uto accept", "cc-request accept cubic", "iw accept --max 32", "ack accept"])
      await r.rule(r.server, words);
    const w = await watchAll();
    const bad = ["1c040000", "fe057c1000", ccAnswer(3), "fe067ca00000"];
    for (const [i, extension] of ["uto", "iw", "cc-request", "ack"].entries()) {
      const c = await r.fromWire(wire, { syn: bad[i]!, family: i % 2 ? "v6" : "v4" });
      await expectEvents(w, c.port, [`${extension} malformed null null`]);
    }
  });

  test("a lost SYN: one event per extension, with the reason", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, DROP_SYN);
    const w = await watchAll();
    const c = await r.open("v4", { timeoutMs: 15_000 });
    await r.exchange(c);
    await expectEvents(w, c.port, [
      "uto asked 30000 null",
      "uto fallback null null",
      "cc-request unanswered cubic null loss",
      "iw unanswered 40 null loss",
    ]);
  });

  test("TARR is asked and granted, and never answered", async () => {
    await r.rule(r.client, "ack request --every 8 --tarr");
    await r.rule(r.server, "ack accept --max-every 4 --max-delay 40ms");
    const w = await watchAll();
    const c = await r.open();
    await r.exchange(c);
    await expectEvents(w, c.port, [
      'ack asked {"every":8,"divisor":0} null',
      'their ack granted {"every":8,"divisor":0} {"every":4,"divisor":0} clamped',
    ]);
  });

  test("both our option and TARR: told is what was granted last", async () => {
    await r.rule(r.server, "ack accept --max-every 16 --max-delay 40ms");
    const w = await watchAll();
    const c = await r.fromWire(wire, { syn: TARR_CAPABLE });
    const say = async (hex: string) => {
      await wire.data(c.flow, 10, hex);
      await r.server.peer.recv(c.fd, 10);
    };
    const delay = 'their ack granted {"every":0,"divisor":4} {"every":0,"divisor":4}';
    await say(ackAsk(0, 4) + tarrAsk(8)); // ours goes before
    await expectEvents(w, c.port, [delay]);
    await say(tarrAsk(8)); // the same again
    await say(tarrAsk(5));
    const rate = 'their ack granted {"every":5,"divisor":0} {"every":5,"divisor":0}';
    await expectEvents(w, c.port, [delay, rate]);
    expect((await listedAck(c.port)).peers).toMatchObject({ status: "granted", granted: { every: 5 } });
    await say(ackAsk(0, 8));
    const later = 'their ack granted {"every":0,"divisor":8} {"every":0,"divisor":8}';
    await expectEvents(w, c.port, [delay, rate, later]);
    expect((await listedAck(c.port)).peers).toMatchObject({
      status: "granted",
      granted: { every: 0, divisor: 8 },
    });
  });

  async function listedAck(port: number) {
    const words = ["connections", "--cgroup", r.server.cgroup, "--port", `${port}`];
    const { json } = await tcpxOk(words, { netns: r.server.netns, json: true });
    return json.connections[0].extensions.ack;
  }

  test("a document has time, ends, namespace and scope", async () => {
    await r.rule(r.client, "uto set 30s");
    const w = await watchAll();
    const before = Date.now();
    const c = await r.open("v6");
    await w.sees(c.port, ["uto asked 30000 null"]);
    const [event] = w.events;
    expect(Object.keys(event)).toEqual([
      ...["schema", "time", "direction", "family", "local", "peer", "extension", "event", "side"],
      ...["asked", "granted", "reason", "netns", "scope_id", "cgroup"],
    ]);
    expect(event.peer).toEqual({ address: r.server.v6, port: c.port });
    expect(event.local).toEqual({
      address: r.client.v6,
      port: (await r.client.peer.sockName(c.client)).port,
    });
    expect(event).toMatchObject({ schema: 2, direction: "opened", family: 6 });
    expect(r.client.cgroup).toEndWith(event.cgroup);
    expect(event.scope_id).toBe(`${(await Bun.file(r.client.cgroup).stat()).ino}`);
    expect(event.netns).toBe((await Bun.file(`/run/netns/${r.client.netns}`).stat()).ino);
    expect(Math.abs(Date.parse(event.time) - before)).toBeLessThan(60_000);
  });

  test("IPv4 on an IPv6 socket is IPv4", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.server, "uto accept --min 5s");
    const w = await watch("--cgroup", r.server.cgroup, "--from", r.client.v4);
    const { fd, port } = await r.server.peer.listen("::", 0, { v6only: false });
    await Promise.all([r.client.peer.connect(r.server.v4, port), r.server.peer.accept(fd)]);
    await expectEvents(w, port, ["their uto granted 30000 30000"]);
    expect(w.events[0]).toMatchObject({ family: 4, local: { address: r.server.v4 } });
  });

  /** What a watcher with these arguments has seen of two connections. */
  async function seen(args: string[], where?: Side): Promise<string[]> {
    open = await Watch.start(r.lab, args, where ? { netns: where.netns } : {});
    const made = [await r.open("v4"), await r.open("v6")];
    for (const c of made) await r.exchange(c);
    const v6 = made[1]!.port;
    await open.end(); // it shows what was before
    const side = (e: { direction: string }) => (e.direction === "opened" ? "client" : "server");
    const lines = open.events.map(
      (e) => `${side(e)} ${[e.local.port, e.peer.port].includes(v6) ? "v6" : "v4"} ${e.extension}`,
    );
    open = undefined;
    return lines.sort();
  }

  test("scopes, namespaces, selectors and extensions narrow it down", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.client, "iw set 40");
    await r.rule(r.server, "iw accept --max 32");
    const client = ["client v4 iw", "client v4 uto", "client v6 iw", "client v6 uto"];
    const server = ["server v4 iw", "server v6 iw"];
    expect(await seen(["--all-netns"])).toEqual([...client, ...server]);
    expect(await seen([], r.client)).toEqual(client);
    expect(await seen([], r.server)).toEqual(server);
    expect(await seen(["--cgroup", r.server.cgroup], r.client)).toEqual(server);
    expect(await seen(["--pid", `${r.client.peer.pid}`])).toEqual(client);
    expect(await seen(["--all-netns", "--to", `${r.server.v4}/32`])).toEqual(client.slice(0, 2));
    expect(await seen(["--all-netns", "--from", "::/0"])).toEqual([server[1]!]);
    expect(await seen(["--all-netns", "--port", "1"])).toEqual([]);
    expect(await seen(["--all-netns", "--ext", "uto,ack"])).toEqual([client[1]!, client[3]!]);
  });

  test("a scope stands for those below it, whoever's rules they follow", async () => {
    const inner = r.lab.cgroup("inner", r.client.cgroup);
    await r.rule(r.client, "uto set 30s");
    await r.rule(inner, "iw set 20");
    const peer = await r.lab.peer("client", inner);
    const w = await watch("--cgroup", inner);
    const other = await r.open();
    await r.exchange(other);
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const [fd, accepted] = await Promise.all([
      peer.connect(r.server.v4, port),
      r.server.peer.accept(listener),
    ]);
    await r.server.peer.echo(accepted.fd);
    await peer.exchange(fd, 3, 100);
    await expectEvents(w, port, ["uto asked 30000 null", "iw unanswered 20 null"]);
    expect(w.of(other.port)).toEqual([]);
  });

  test("for people: a line each where stdout is no terminal, with the longest addresses too", async () => {
    await r.usual();
    await r.rule(r.client, "uto set 1h");
    await r.rule(r.client, "ack request --every 64 --delay rtt/16");
    await r.rule(r.server, "ack accept --max-every 32");
    const long = {
      client: "fd77:1234:5678:9abc:def1:2345:6789:ab01",
      server: "fd77:1234:5678:9abc:def1:2345:6789:ab02",
    };
    for (const side of ["client", "server"] as const) {
      await r.lab.exec(r[side].netns, ["ip", "addr", "add", `${long[side]}/64`, "dev", r[side].device]);
    }
    open = await Watch.start(r.lab, ["--all-netns"], { human: true });
    const w = open;
    for (const address of [r.server.v4, r.server.v6, long.server]) {
      const { fd: listener, port } = await r.server.peer.listen(address);
      const [client, { fd: server }] = await Promise.all([
        r.client.peer.connect(address, port),
        r.server.peer.accept(listener),
      ]);
      await r.exchange({ listener, port, client, server });
    }
    expect(await w.has(3 * 7)).toBe(true);
    expect(w.lines).toContainEqual(
      expect.stringMatching(/^\d\d:\d\d:\d\d\.\d{3} +:\d+ > 10\.77\.1\.2:\d+ +cc-request granted cubic$/),
    );
    expect(w.lines).toContainEqual(
      expect.stringMatching(/ > \[fd77:1::2\]:\d+ +iw +granted 32 \(asked 40\)$/),
    );
    expect(w.stdout).toMatch(
      / < \[fd77:1234:5678:9abc:def1:2345:6789:ab01\]:\d+ +iw +gave 32 \(asked 40\)\n/,
    );
    expect(w.stdout).not.toMatch(/^ /m);
  });
});
