// SPDX-License-Identifier: MIT
// Paths that answer a SYN with one of our options by a reset: the reset is held back, the second SYN goes out plain,
// and what becomes of that one decides. Not even the first connection is lost.

import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { statSync } from "node:fs";
import { IPPROTO_TCP, TCP_FASTOPEN } from "../support/constants.ts";
import type { Wire } from "../support/lab.ts";
import { FAMILIES, type Family, pathActions, RULES, reset, SYN, TARR } from "../support/path-lab.ts";
import { pathsOf, pathsRequirement } from "../support/paths.ts";
import { run } from "../support/process.ts";
import { RequestLab } from "../support/request-lab.ts";
import {
  captureRequirement,
  describeIf,
  every,
  labRequirement,
  mptcpRequirement,
  nftRequirement,
  testIf,
} from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { tcpxOk } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, captureRequirement, nftRequirement, pathsRequirement);
/** Of an application that waits until the second SYN is answered. */
const PATIENT = 15_000;
/** Of one that would give up before the second SYN. */
const SOON = 700;

describeIf(needs.ok, needs.reason)("resets of SYNs with our option", () => {
  let r: RequestLab;
  let wire: Wire;
  const { fails, opens, said } = pathActions(() => r);

  beforeAll(async () => {
    r = await RequestLab.create();
    wire = await r.lab.wire(r.client.netns);
  });
  afterEach(async () => {
    await r.filter(r.server, "");
    await r.clear();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  /** A refusal that the application hears of within a time. */
  async function refused(addr: string, port: number, ms: number, peer = r.client.peer): Promise<void> {
    const fd = await peer.socket(addr.includes(":") ? 6 : 4);
    await expect(peer.connectFd(fd, addr, port, ms)).rejects.toThrow("ECONNREFUSED");
    await peer.close(fd);
  }

  async function closedPort(family: Family): Promise<number> {
    const { fd, port } = await r.server.peer.listen(r.server[family]);
    await r.server.peer.close(fd);
    return port;
  }

  /** Programs attached to a cgroup, as bpftool names them. */
  async function programs(cgroup: string): Promise<string[]> {
    const text = await run(["bpftool", "-j", "cgroup", "show", cgroup]);
    const found: { name: string }[] = text.trim() === "" ? [] : JSON.parse(text);
    return found.map(({ name }) => name).sort();
  }

  test.each(FAMILIES.flatMap((family) => [...RULES, TARR].map((rule) => [family, ...rule] as const)))(
    "a firewall that resets them, %s, %s (%s): the first connection is saved, the others go plain at once",
    async (family, extension, words, kind, option) => {
      await r.rule(r.client, words);
      await r.filter(r.server, reset(kind));
      const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
      const { syns, later } = await said(port, async () => {
        await opens(listener, port, family, PATIENT);
        expect(await pathsOf(port)).toEqual(["avoided refused"]);
        await opens(listener, port, family);
      });
      expect(syns).toEqual([option, "", ""]);
      expect(later.join("")).toBe("");
      const counted = await r.counters(r.client, extension);
      expect(counted).toMatchObject({ sent: 1, fallback: 2, path: 2, unanswered: 0, malformed: 0 });
    },
  );

  test("an IPv6 socket that speaks IPv4", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, async () => {
      await r.client.peer.connect(`::ffff:${r.server.v4}`, port, { timeoutMs: PATIENT });
      await r.server.peer.accept(listener);
      await opens(listener, port);
    });
    expect(syns).toEqual(["1c04001e", "", ""]);
  });

  test("watch tells of the saved connection", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const watch = await Watch.start(r.lab, ["--all-netns", "--cgroup", r.client.cgroup]);
    await opens(listener, port, "v4", PATIENT);
    const wanted = ["uto asked 30000 null", "uto fallback null null path"];
    expect(await watch.sees(port, wanted)).toEqual(wanted);
    await watch.end();
  });

  test.each(FAMILIES)(
    "a host without a listener: one refusal comes late, later ones at once, %s",
    async (family) => {
      await r.rule(r.client, "uto set 30s");
      const [one, two] = [await closedPort(family), await closedPort(family)];
      const first = await said(one, () => refused(r.server[family], one, PATIENT));
      expect(first.syns).toEqual(["1c04001e", ""]); // the refusal was that of the second
      expect([await pathsOf(one), await pathsOf(0)]).toEqual([[], ["believed refused"]]);
      for (const port of [one, two]) {
        const { syns } = await said(port, () => refused(r.server[family], port, SOON));
        expect(syns).toEqual(["1c04001e"]);
      }
      expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 3, fallback: 0, path: 0 });
    },
  );

  test("where resets are believed, a firewall still costs one connection and no more", async () => {
    await r.rule(r.client, "uto set 30s");
    await refused(r.server.v4, await closedPort("v4"), PATIENT);
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, async () => {
      await refused(r.server.v4, port, SOON);
      for (let i = 0; i < 2; i++) await opens(listener, port);
    });
    expect(syns).toEqual(["1c04001e", "", ""]);
    expect(await pathsOf(port)).toEqual(["avoided refused"]);
  });

  test("an application that gives up before the second SYN learns of its host all the same", async () => {
    await r.rule(r.client, "uto set 30s");
    const port = await closedPort("v4");
    const { syns } = await said(port, async () => {
      await fails(port, "v4", SOON);
      expect(await pathsOf(port)).toEqual(["suspected refused"]);
      await refused(r.server.v4, port, SOON); // a plain one
      expect([await pathsOf(port), await pathsOf(0)]).toEqual([[], ["believed refused"]]);
      await refused(r.server.v4, port, SOON);
    });
    expect(syns).toEqual(["1c04001e", "", "1c04001e"]);
  });

  test("on the host itself resets pass at once: loopback, and its own addresses", async () => {
    await r.rule(r.server, "uto set 30s");
    for (const addr of ["127.0.0.1", "127.1.2.3", "::1", r.server.v4, r.server.v6]) {
      const version = addr.includes(":") ? "v6" : "v4";
      await refused(addr, await closedPort(version), SOON, r.server.peer);
    }
    expect(await pathsOf(0)).toEqual([]);
    expect(await r.counters(r.server, "uto")).toMatchObject({ sent: 5, fallback: 0 });
  });

  test("connections without a rule, exempt ones and plain ones: resets pass at once", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.client, `uto set none --to ${r.server.v4}`);
    await refused(r.server.v4, await closedPort("v4"), SOON);
    await refused(r.server.v6, await closedPort("v6"), PATIENT);
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 1, fallback: 0 });
  });

  test.each(FAMILIES)("Fast Open: data on the SYN arrives with the second one, %s", async (family) => {
    for (const side of [r.client, r.server]) await r.lab.sysctl(side.netns, "net.ipv4.tcp_fastopen", 3);
    await r.rule(r.client, "uto set 30s");
    const { fd: listener, port } = await r.server.peer.listen(r.server[family]);
    await r.server.peer.setopt(listener, IPPROTO_TCP, TCP_FASTOPEN, 16);
    const arrives = async () => {
      const client = await r.client.peer.socket(family === "v4" ? 4 : 6);
      await r.client.peer.sendFastOpen(client, r.server[family], port, 100);
      const { fd: server } = await r.server.peer.accept(listener);
      await r.server.peer.recv(server, 100);
      return { listener, port, client, server };
    };
    await arrives(); // fetches the cookie
    await r.filter(r.server, reset(28));
    const { syns } = await said(port, async () => r.exchange(await arrives(), 1));
    expect(syns).toEqual(["1c04001e", ""]);
    expect(await pathsOf(port)).toEqual(["avoided refused"]);
  });

  testIf(mptcpRequirement.ok, mptcpRequirement.reason)("MPTCP", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4, 0, { mptcp: true });
    const { syns } = await said(port, async () => {
      const client = await r.client.peer.connect(r.server.v4, port, { mptcp: true, timeoutMs: PATIENT });
      await r.exchange({ listener, port, client, server: (await r.server.peer.accept(listener)).fd }, 1);
    });
    expect(syns).toEqual(["1c04001e", ""]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ sent: 1, fallback: 1, path: 1 });
  });

  test("the same socket once more: refused late, then connected", async () => {
    await r.rule(r.client, "uto set 30s");
    const port = await closedPort("v4");
    const { syns } = await said(port, async () => {
      const client = await r.client.peer.socket(4);
      await expect(r.client.peer.connectFd(client, r.server.v4, port, PATIENT)).rejects.toThrow(
        "ECONNREFUSED",
      );
      await expect(r.client.peer.connectFd(client, r.server.v4, port, SOON)).rejects.toThrow("ECONNABORTED");
      const { fd: listener } = await r.server.peer.listen(r.server.v4, port);
      await r.client.peer.connectFd(client, r.server.v4, port, SOON);
      await r.exchange({ listener, port, client, server: (await r.server.peer.accept(listener)).fd }, 1);
    });
    expect(syns).toEqual(["1c04001e", "", "1c04001e"]);
  });

  test("an inner and an outer scope: the reset is held for both", async () => {
    const cgroup = r.lab.cgroup("inner", r.client.cgroup);
    const peer = await r.lab.peer(r.client.netns, cgroup);
    await r.rule(r.client, "cc-request set cubic");
    await r.rule(cgroup, "uto set 30s");
    await r.filter(r.server, reset(28));
    const { fd: listener, port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, async () => {
      const client = await peer.connect(r.server.v4, port, { timeoutMs: PATIENT });
      await r.server.peer.accept(listener);
      await peer.close(client);
    });
    expect(syns).toEqual(["1c04001e,fe067cc00003", ""]);
    expect(await r.counters(cgroup, "uto")).toMatchObject({ sent: 1, fallback: 1, path: 1 });
  });

  test("the program is there while some rule puts an option on SYNs, and no longer", async () => {
    const { cgroup } = r.client;
    const holds = async () =>
      (await tcpxOk(["status", "--cgroup", cgroup], { json: true })).json.scopes[0].holds_resets;
    const steps: [string, boolean][] = [
      ["uto set 30s --no-advertise", false],
      ["uto set 30s", true],
      ["uto set none", false],
      ["iw set 40", true],
      ["iw unset", false],
      ["iw accept --max 40", false],
      ["ack accept --max-every 8", true],
      ["ack unset --all", false],
      ["cc-request set cubic --from 192.0.2.1", false],
    ];
    for (const [words, wanted] of steps) {
      const done = await tcpx([...words.split(" "), "--cgroup", cgroup], { json: true });
      if (done.code === 0) await r.rule(r.client, words); // so that it goes
      expect([words, await holds()]).toEqual([words, wanted]);
      expect((await programs(cgroup)).includes("tcpx_reset")).toBe(wanted);
    }
    await r.rule(r.client, "uto set 30s");
    await tcpxOk(["reset"]);
    expect(await programs(cgroup)).toEqual([]);
    await r.rule(r.client, "uto set 30s");
    expect(await programs(cgroup)).toEqual(["tcpx", "tcpx_reset"]);
    await r.clear();
    expect(await programs(cgroup)).toEqual([]);
  });

  test("another's program keeps it out: rules work, and status says it", async () => {
    const cgroup = r.lab.cgroup("shut", r.client.cgroup);
    const pin = "/sys/fs/bpf/tcpx-t-shut";
    await r.rule(r.server, "uto set 30s");
    const shown = JSON.parse(await run(["bpftool", "-j", "cgroup", "show", r.server.cgroup]));
    const { id } = shown.find(({ name }: { name: string }) => name === "tcpx_reset");
    await run(["bpftool", "prog", "pin", "id", `${id}`, pin]);
    await run(["bpftool", "cgroup", "attach", cgroup, "ingress", "pinned", pin]); // for itself alone
    await r.rule(cgroup, "uto set 30s");
    const told = () => tcpx(["status", "--cgroup", cgroup]);
    expect((await told()).stdout).toContain("notice: resets are not held back here");
    await run(["bpftool", "cgroup", "detach", cgroup, "ingress", "pinned", pin]);
    await run(["rm", pin]);
    await r.rule(cgroup, "uto set 40s");
    expect((await told()).stdout).not.toContain("notice");
    expect(await programs(cgroup)).toEqual(["tcpx", "tcpx_reset"]);
  });

  test("a link that somebody has detached is told, and the next change makes it anew", async () => {
    const { cgroup } = r.client;
    await r.rule(r.client, "uto set 30s");
    const pin = `/sys/fs/bpf/tcpx/v*/${statSync(cgroup).ino}/reset`;
    await run(["sh", "-c", `bpftool link detach pinned ${pin}`]);
    const told = () => tcpx(["status", "--cgroup", cgroup]);
    expect((await told()).stdout).toContain("notice: resets are not held back here");
    await r.rule(r.client, "uto set 40s");
    expect((await told()).stdout).not.toContain("notice");
    expect(await programs(cgroup)).toEqual(["tcpx", "tcpx_reset"]);
  });

  /** The next SYN that the peer in user space gets, whatever an attempt before has left. */
  async function nextSyn() {
    let packet = await wire.expect();
    while (packet.flags.replace(/[EC]/g, "") !== "S") packet = await wire.expect();
    return packet;
  }

  /** An attempt to connect to it, and its SYN. */
  async function attempt(port: number, ms: number) {
    await wire.listen(wire.own.v4, port);
    const fd = await r.client.peer.socket(4);
    const result = r.client.peer.connectFd(fd, wire.own.v4, port, ms).then(
      () => "connected",
      ({ code }) => code,
    );
    return { fd, result, syn: await nextSyn() };
  }

  test("a reset before the answer, by somebody else: the answer counts", async () => {
    await r.rule(r.client, "uto set 30s");
    const { fd, result, syn } = await attempt(7101, SOON);
    for (let i = 0; i < 2; i++) await wire.raw(syn.flow, "RA", 0, syn.seq + 1);
    await wire.synack(syn.flow);
    expect(await result).toBe("connected");
    expect((await wire.expect(syn.flow)).options).toContain("1c04001e"); // goes on asking
    expect(await pathsOf(7101)).toEqual([]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ fallback: 0, path: 0 });
    await r.client.peer.reset(fd);
  });

  test("the same reset twice: both are held, and the second SYN is plain", async () => {
    await r.rule(r.client, "uto set 30s");
    const { fd, result, syn } = await attempt(7102, PATIENT);
    for (let i = 0; i < 2; i++) await wire.raw(syn.flow, "RA", 0, syn.seq + 1);
    const again = await nextSyn(); // a flow of its own
    expect([syn, again].map(({ options }) => options.includes("1c04001e"))).toEqual([true, false]);
    await wire.synack(again.flow);
    expect(await result).toBe("connected");
    expect(await pathsOf(7102)).toEqual(["avoided refused"]);
    await r.client.peer.reset(fd);
  });

  test("resets that TCP does not obey, either, are left to it", async () => {
    await r.rule(r.client, "uto set 30s");
    const without = await attempt(7103, 300);
    await wire.raw(without.syn.flow, "R", 0, 0);
    expect(await without.result).toBe("ETIME");
    await r.client.peer.close(without.fd);
    expect(await pathsOf(7103)).toEqual(["suspected lost"]);
    for (const [port, wrong] of [7104, 7105].map((port, i) => [port, i * 1000] as const)) {
      const { fd, result, syn } = await attempt(port, 300);
      await wire.raw(syn.flow, "RA", 0, syn.seq + wrong);
      expect(await result).toBe("ETIME");
      await r.client.peer.close(fd);
      expect(await pathsOf(port)).not.toContain("suspected refused"); // TCP has repeated the SYN at once
    }
  });

  test("a host that goes away after its reset: the next attempt is plain", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.filter(r.server, `${reset(28)}\n ${SYN} drop`);
    const { port } = await r.server.peer.listen(r.server.v4);
    const { syns } = await said(port, () => fails(port, "v4", 1500));
    expect(syns).toEqual(["1c04001e", ""]);
    expect([await pathsOf(port), await pathsOf(0)]).toEqual([["suspected refused"], []]);
    expect(await r.counters(r.client, "uto")).toMatchObject({ fallback: 0, path: 0 });
  });
});
