// SPDX-License-Identifier: MIT
// Routes and rules change while a connection acknowledges at once: its route does as main's, the connection goes on,
// and what `tcpx connections` says of it stays true.
import { afterAll, afterEach, beforeAll, describe, expect, test } from "bun:test";
import { DEFAULT_MARK, markOf } from "../support/ack-lab.ts";
import { type Connection, type LinkEnd, run, until } from "../support/lab.ts";
import { veth } from "../support/network.ts";
import { RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpxOk } from "../support/uto-lab.ts";

const { ok, reason } = every("once", labRequirement, captureRequirement);
const OURS = "31904";
const FAMILIES = ["v4", "v6"] as const;
type Family = (typeof FAMILIES)[number];

interface Way {
  dev: string;
  table?: string;
  metrics?: Record<string, number>[];
}

describeIf(ok, reason)("ACKs at once, when in mid-connection", () => {
  let r: RequestLab;
  let near: LinkEnd;
  let far: LinkEnd;
  let undo: string[][] = [];

  beforeAll(async () => {
    r = await RequestLab.create();
    near = { netns: r.server.netns, device: "other", v4: "10.79.1.1", v6: "fd79:1::1" };
    far = { netns: r.client.netns, device: "other", v4: "10.79.1.2", v6: "fd79:1::2" };
    await veth(400, near, far);
    for (const { netns, device } of [near, far]) {
      await r.lab.sysctl(netns, `net.ipv4.conf.${device}.rp_filter`, 0);
      await r.lab.sysctl(netns, "net.ipv4.conf.all.rp_filter", 0);
    }
  });
  afterEach(async () => {
    const lines = undo.reverse();
    undo = [];
    for (const words of lines) await run(["ip", "-n", r.server.netns, ...words]);
    await r.clear();
  });
  afterAll(() => r?.[Symbol.asyncDispose]());

  const ip = async (family: Family, words: string, back = "") => {
    const version = family === "v4" ? "-4" : "-6";
    await run(["ip", "-n", r.server.netns, version, ...words.split(" ")]);
    if (back) undo.push([version, ...back.split(" ")]);
  };
  /** Where the server's segments to the client go, by the kernel's word. */
  const way = async (family: Family): Promise<Way> => {
    const get = ["route", "get", r.client[family], "from", r.server[family], "mark", `${DEFAULT_MARK}`];
    const text = await run(["ip", "-n", r.server.netns, "-j", "-d", ...get]).catch(() => "[]");
    return JSON.parse(text)[0] ?? { dev: "" };
  };
  const leads = async (family: Family, dev: string, table = OURS) =>
    await until(async () => {
      const { dev: found, table: by } = await way(family);
      return found === dev && by === table;
    });
  const open = async (family: Family): Promise<Connection> => {
    await r.rule(r.server, "ack set --every 1");
    const c = await r.open(family);
    const marked = async () => (await markOf(r.server, c.server)) === DEFAULT_MARK;
    for (let n = 0; n < 100 && !(await marked()); n++) {
      await r.exchange(c, 1);
      await Bun.sleep(20);
    }
    expect(await marked()).toBe(true);
    return c;
  };
  /** The connection goes on, by this device of the client, and is told of as it is. */
  const goesOn = async (c: Connection, device: string) => {
    const capture = await r.lab.capture(r.client.netns, device);
    await r.exchange(c, 5);
    await capture.stop();
    expect((await capture.packets(`tcp.srcport == ${c.port}`)).length).toBeGreaterThan(4);
    expect(await markOf(r.server, c.server)).toBe(DEFAULT_MARK);
  };
  const told = async (c: Connection) => {
    const words = ["connections", "--cgroup", r.server.cgroup, "--port", `${c.port}`];
    const { json } = await tcpxOk(words, { netns: r.server.netns, json: true });
    return json.connections[0].extensions.ack.local;
  };

  for (const family of FAMILIES) {
    describe(`IP${family}`, () => {
      test("a route is replaced by one with another device and gateway", async () => {
        const c = await open(family);
        expect(await leads(family, r.server.device)).toBe(true);
        await goesOn(c, r.client.device);
        await ip(family, `route add ${r.client[family]} via ${far[family]}`, `route del ${r.client[family]}`);
        expect(await leads(family, "other")).toBe(true);
        await goesOn(c, "other");
        expect(await told(c)).toMatchObject({ status: "applied", applied: { every: 1 } });
      });

      test("a route comes, and goes again", async () => {
        const c = await open(family);
        await ip(family, `route add ${r.client[family]} via ${far[family]}`);
        expect(await leads(family, "other")).toBe(true);
        await ip(family, `route del ${r.client[family]}`);
        expect(await leads(family, r.server.device)).toBe(true);
        await goesOn(c, r.client.device);
        expect(await told(c)).toMatchObject({ status: "applied", applied: { every: 1 } });
      });

      test("a route gets another MTU", async () => {
        const c = await open(family);
        const to = `${r.client[family]} via ${far[family]}`;
        await ip(family, `route add ${to}`, `route del ${r.client[family]}`);
        expect(await leads(family, "other")).toBe(true);
        await ip(family, `route replace ${to} mtu 1300`);
        const mtu = async () => (await way(family)).metrics?.find((metrics) => "mtu" in metrics)?.mtu;
        expect(await until(async () => (await mtu()) === 1300)).toBe(true);
        expect(await leads(family, "other")).toBe(true);
        await goesOn(c, "other");
      });

      test("a rule by source leads past the copy, and the connection with it", async () => {
        const c = await open(family);
        await ip(family, `route add ${r.client[family]} via ${far[family]} table 77`, "route flush table 77");
        await ip(family, `rule add from ${r.server[family]} lookup 77 pref 100`, "rule del pref 100");
        expect(await leads(family, "other", "77")).toBe(true);
        await goesOn(c, "other");
      });

      test("a rule behind it changes nothing", async () => {
        const c = await open(family);
        await ip(family, `route add ${r.client[family]} via ${far[family]} table 77`, "route flush table 77");
        await ip(family, `rule add from ${r.server[family]} lookup 77 pref 32770`, "rule del pref 32770");
        expect(await leads(family, r.server.device)).toBe(true);
        await goesOn(c, r.client.device);
        expect(await told(c)).toMatchObject({ status: "applied", applied: { every: 1 } });
      });
    });
  }
});
