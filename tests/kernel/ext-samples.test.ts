// SPDX-License-Identifier: MIT
// The samples of embedded-bpf/samples/, built and added as their readers do: what they set and say, judged by captures,
// and by sockets as another process reads them.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { SO_MARK, SOL_SOCKET } from "../support/constants.ts";
import { copyExtension, extensionHost } from "../support/extension-host.ts";
import { congestionOf, sockoptOf, splitOptions } from "../support/lab.ts";
import type { PrivateHost } from "../support/private-host.ts";
import { optionsOf, RequestLab } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  hasTool,
  labRequirement,
  nftRequirement,
} from "../support/requires.ts";
import type { Wire } from "../support/wire.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement, hasTool("clang"));
const FAMILIES = ["v4", "v6"] as const;
const SO_MAX_PACING_RATE = 47;
const UNLIMITED = 0xffffffff;
/** 8M in bytes per second. */
const RATE = 1_000_000;
/** More than headers, once. */
const DROP_FIRST_DATA = "ip length > 100 numgen inc mod 100000 0 drop";

describeIf(needs.ok, needs.reason)("samples", () => {
  let r: RequestLab;
  let host: PrivateHost;
  let wire: Wire;

  beforeAll(async () => {
    r = await RequestLab.on(async (lab) => {
      host = await extensionHost(lab, "pacing", "tag", "rto-hint");
      return host;
    });
    wire = await r.lab.wire(r.server.netns);
  }, 60_000);
  afterEach(async () => {
    await r.filter(r.client, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  const read = (side: "client" | "server", fd: number, name: number) =>
    sockoptOf(r[side].peer.pid, fd, SOL_SOCKET, name);

  /** A connection with some data, and options of experiments on its packets. */
  async function connection(family: (typeof FAMILIES)[number]) {
    const { value: c, capture } = await r.record(async () => {
      const c = await r.open(family);
      await r.exchange(c);
      return c;
    });
    const packets = await capture.packets();
    const said = (flags: string) => packets.filter((p) => p.flags === flags).map((p) => optionsOf(p, 254));
    return { c, syn: said("S"), synAck: said("SA"), later: [...said("A"), ...said("PA")].filter(Boolean) };
  }

  test("pacing: a rate for some, and none for others", async () => {
    await r.rule(r.client, "pacing set 8M");
    const { c, syn, synAck, later } = await connection("v4");
    expect([syn, synAck, later]).toEqual([[""], [""], []]);
    expect((await read("client", c.client, SO_MAX_PACING_RATE)) >>> 0).toBe(RATE);
    expect((await read("server", c.server, SO_MAX_PACING_RATE)) >>> 0).toBe(UNLIMITED);
    await r.rule(r.client, `pacing set none --to ${r.server.v6}`);
    const exempt = await r.open("v6");
    expect((await read("client", exempt.client, SO_MAX_PACING_RATE)) >>> 0).toBe(UNLIMITED);
    expect(await r.counters(r.client, "pacing")).toMatchObject({ applied: 1, errors: 0 });
  });

  test("pacing: a connection that exists gets the rate with --live, and gives it back", async () => {
    const c = await r.open();
    const rate = async () => (await read("client", c.client, SO_MAX_PACING_RATE)) >>> 0;
    // connections are looked for in namespaces whose processes are seen, and in the caller's own
    const live = (words: string) =>
      host.ok([...words.split(" "), "--live", "--cgroup", r.client.cgroup], { netns: r.client.netns });
    await live("pacing set 8M");
    expect(await rate()).toBe(RATE);
    await live("pacing unset");
    expect(await rate()).toBe(UNLIMITED);
  });

  test.each(FAMILIES)("tag, %s: said, answered, and the mark of the server's socket", async (family) => {
    await r.rule(r.client, "tag set 7");
    await r.rule(r.server, "tag accept --max 99");
    const taken = await connection(family);
    expect([taken.syn, taken.synAck]).toEqual([["fe067d200007"], ["fe067d200007"]]);
    expect(new Set(taken.later)).toEqual(new Set(["fe067d200007"]));
    expect(await read("server", taken.c.server, SO_MARK)).toBe(7);
    await r.rule(r.server, "tag accept --max 6");
    const refused = await connection(family);
    expect([refused.syn, refused.synAck]).toEqual([["fe067d200007"], ["fe067d200000"]]);
    expect(await read("server", refused.c.server, SO_MARK)).toBe(0);
    expect(await r.counters(r.server, "tag")).toMatchObject({ received: 2, applied: 1, kept: 1 });
  });

  test("tag: who does not accept answers nothing, and takes nothing", async () => {
    await r.rule(r.client, "tag set 7");
    const { c, syn, synAck } = await connection("v4");
    expect([syn, synAck]).toEqual([["fe067d200007"], [""]]);
    expect(await read("server", c.server, SO_MARK)).toBe(0);
  });

  /** Seconds until the server sends the end of its answer again, which was lost on the way. */
  async function mended(): Promise<number> {
    const c = await r.open();
    await r.exchange(c);
    const { capture } = await r.record(async () => {
      await r.filter(r.client, `tcp sport ${c.port} ${DROP_FIRST_DATA}`);
      await r.client.peer.exchange(c.client, 1, 100);
    });
    const sent = (await capture.packets(`tcp.srcport == ${c.port} && tcp.len > 0`)).map(({ time }) => time);
    await r.filter(r.client, "");
    return sent.at(-1)! - sent[0]!;
  }

  test("rto-hint: a lost tail is sent again after the delay that the receiver has told", async () => {
    const usual = await mended();
    await r.rule(r.client, "rto-hint set 10ms");
    await r.rule(r.server, "rto-hint accept --margin 10ms");
    const hinted = await mended();
    expect(usual).toBeWithin(0.2, 1); // Linux's least
    expect(hinted).toBeWithin(0.015, 0.15);
    expect(await r.counters(r.client, "rto-hint")).toMatchObject({ applied: 1, errors: 0 });
    expect(await r.counters(r.server, "rto-hint")).toMatchObject({ received: 1, applied: 1, errors: 0 });
  });

  test("rto-hint: a server tells on its SYN-ACK", async () => {
    await r.rule(r.server, "rto-hint set 20ms");
    await r.rule(r.client, "rto-hint accept");
    const { syn, synAck } = await connection("v6");
    expect([syn, synAck]).toEqual([[""], ["fe067d210014"]]);
    expect(await r.counters(r.client, "rto-hint")).toMatchObject({ received: 1, applied: 1, errors: 0 });
    expect(await r.counters(r.server, "rto-hint")).toMatchObject({ applied: 1, errors: 0 });
  });

  test("rto-hint: a delay that nobody has is malformed, and one that helps nobody is kept", async () => {
    await r.rule(r.server, "rto-hint accept --margin 10ms");
    for (const delay of ["0000", "ffff"]) await r.fromWire(wire, { syn: `fe067d21${delay}` });
    await r.fromWire(wire, { syn: "fe067d2100c8" });
    expect(await r.counters(r.server, "rto-hint")).toMatchObject({
      malformed: 2,
      received: 1,
      applied: 0,
      kept: 1,
    });
    const { synAck } = await r.fromWire(wire, { syn: "fe067d21000a" });
    expect(splitOptions(synAck.options).filter(({ kind }) => kind === 254)).toEqual([]);
    expect(await r.counters(r.server, "rto-hint")).toMatchObject({ received: 2, applied: 1 });
  });

  test("aimd: loaded with its variables, it is a connection's congestion control", async () => {
    const folder = await copyExtension(r.lab.dir, "aimd");
    await host.ok(["ext", "build", folder]);
    await host.ok(["ext", "load", join(folder, "aimd.bpf.o"), "--set", "add=2,keep=70"]);
    try {
      await r.rule(r.client, "cc-request set aimd --local");
      const c = await r.open();
      expect(await congestionOf(r.client.peer.pid, c.client)).toBe("aimd");
      await r.exchange(c);
      await r.rule(r.client, "cc-request unset --all");
      await r.client.peer.reset(c.client);
    } finally {
      await host.ok(["ext", "unload", "aimd"]);
    }
  });

  test.each(["pacing", "tag", "rto-hint", "aimd"])(
    "%s passes its own test",
    async (name) => {
      const folder = await copyExtension(r.lab.dir, name);
      const { stdout, code } = await host.tcpx(["ext", "test", folder], { timeoutMs: 60_000 });
      expect([name, code, stdout]).toEqual([name, 0, stdout]);
    },
    60_000,
  );
});
