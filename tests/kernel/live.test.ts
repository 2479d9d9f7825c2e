// SPDX-License-Identifier: MIT
// --live: connections that exist get the rules, and give back what they were given.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { capOf, DEFAULT_CAP, DEFAULT_MARK, delackRequirement, markOf, marksOf } from "../support/ack-lab.ts";
import { IPPROTO_TCP, SO_MARK, SOL_SOCKET, TCP_USER_TIMEOUT } from "../support/constants.ts";
import { congestionOf } from "../support/lab.ts";
import { LiveLab, STOCK } from "../support/live-lab.ts";
import type { RequestLab } from "../support/request-lab.ts";
import { captureRequirement, describeIf, every, labRequirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";
import { trace, utoOf } from "../support/uto-lab.ts";

const needs = every("all", labRequirement, captureRequirement, delackRequirement);
const OWN = 7000;

describeIf(needs.ok, needs.reason)("connections that exist", () => {
  let l: LiveLab;
  let r: RequestLab;

  beforeAll(async () => {
    l = await LiveLab.create();
    r = l.r;
  });
  afterEach(() => l.clear());
  afterAll(() => l[Symbol.asyncDispose]());

  test.each(["v4", "v6"] as const)(
    "set and unset of all three settings, %s: exact, and only once",
    async (family) => {
      const c = await l.opened(family);
      expect(await l.live(r.client, "uto set 30s")).toMatchObject({
        changed_connections: 1,
        namespaces: 1,
        announced: 1,
      });
      expect(await l.live(r.client, "cc-request set cubic --local")).toMatchObject({
        changed_connections: 1,
      });
      expect(await l.live(r.client, "ack set --delay 40ms")).toMatchObject({ changed_connections: 1 });
      expect(await l.settings(r.client, c.client)).toEqual([30_000, "cubic", 40_000]);
      expect(await l.settings(r.server, c.server)).toEqual(STOCK);
      for (const words of ["uto set 30s", "cc-request set cubic --local", "ack set --delay 40ms"]) {
        expect(await l.live(r.client, words)).toMatchObject({
          changed_connections: 0,
          same: 1,
          announced: 0,
        });
      }
      await r.exchange(c);
      for (const name of ["uto", "cc-request", "ack"]) {
        expect(await l.live(r.client, `${name} unset`)).toMatchObject({
          changed_connections: 1,
          namespaces: 1,
        });
      }
      expect(await l.settings(r.client, c.client)).toEqual(STOCK);
      expect(await l.live(r.client, "uto unset")).toMatchObject({ changed_connections: 0, same: 0 });
      await r.exchange(c);
    },
  );

  test("what rules have set when the connection was set up is given back, too", async () => {
    await r.rule(r.client, "uto set 30s");
    await r.rule(r.client, "cc-request set cubic --local");
    await r.rule(r.client, "ack set --delay 40ms");
    const c = await l.opened();
    expect(await l.settings(r.client, c.client)).toEqual([30_000, "cubic", 40_000]);
    for (const name of ["uto", "cc-request", "ack"]) {
      expect(await l.live(r.client, `${name} unset --all`)).toMatchObject({ changed_connections: 1 });
    }
    expect(await l.settings(r.client, c.client)).toEqual(STOCK);
  });

  test("a value of the application's own is kept, and with --force replaced and given back", async () => {
    const c = await l.opened();
    await r.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, OWN);
    await r.client.peer.setcc(c.client, "cubic");
    expect(await l.live(r.client, "uto set 30s")).toMatchObject({
      changed_connections: 0,
      skipped: { application: 1 },
    });
    expect(await l.live(r.client, "cc-request set reno --local")).toMatchObject({
      changed_connections: 0,
      skipped: { application: 1 },
    });
    expect(await l.live(r.client, "uto set 30s --force")).toMatchObject({ changed_connections: 1 });
    expect(await l.live(r.client, "cc-request set reno --local --force")).toMatchObject({
      changed_connections: 1,
    });
    expect(await l.settings(r.client, c.client)).toEqual([30_000, "reno", DEFAULT_CAP]);
    await l.live(r.client, "uto unset");
    await l.live(r.client, "cc-request unset");
    expect(await l.settings(r.client, c.client)).toEqual([OWN, "cubic", DEFAULT_CAP]);
  });

  test("what the application has chosen since is not taken from it", async () => {
    const c = await l.opened();
    await l.live(r.client, "uto set 30s");
    await l.live(r.client, "cc-request set cubic --local");
    await r.client.peer.setopt(c.client, IPPROTO_TCP, TCP_USER_TIMEOUT, OWN);
    await r.client.peer.setcc(c.client, "reno");
    for (const name of ["uto", "cc-request"]) {
      expect(await l.live(r.client, `${name} unset`)).toMatchObject({
        changed_connections: 0,
        skipped: { application: 1 },
      });
    }
    expect(await l.settings(r.client, c.client)).toEqual([OWN, "reno", DEFAULT_CAP]);
  });

  test("the timeout is announced with the next segment, whenever that is, and adopted; once", async () => {
    await r.rule(r.server, "uto accept --min 1s");
    await r.rule(r.client, "uto set 20s");
    const c = await l.opened();
    const capture = await r.u.capture();
    expect(await l.live(r.client, "uto set 30s")).toMatchObject({ changed_connections: 1, announced: 1 });
    await Bun.sleep(3500); // longer than a new connection asks
    await r.exchange(c, 4);
    await capture.stop();
    const { client } = await trace(capture, c.port);
    expect(client.filter((p) => p.length > 0).map(utoOf)).toEqual(["1c04001e", "", "", ""]);
    expect(await r.u.timeouts(c)).toEqual({ client: 30_000, server: 30_000 });
  });

  test("a connection without any rule announces it, too", async () => {
    const c = await l.opened();
    const capture = await r.u.capture();
    await l.live(r.client, "uto set 30s");
    await r.exchange(c, 3);
    await capture.stop();
    const { client } = await trace(capture, c.port);
    expect(client.filter((p) => p.length > 0).map(utoOf)).toEqual(["1c04001e", "", ""]);
  });

  test("what a peer was granted stays when a local rule is unset", async () => {
    await r.rule(r.server, "cc-request accept cubic");
    await r.rule(r.server, "cc-request set reno --local");
    await r.rule(r.client, "cc-request set cubic");
    const c = await l.opened();
    expect(await l.live(r.server, "cc-request unset local")).toMatchObject({
      changed_connections: 0,
      skipped: { granted: 1 },
    });
    expect(await congestionOf(r.server.peer.pid, c.server)).toBe("cubic");
    expect(await l.live(r.server, "cc-request set reno --local")).toMatchObject({ skipped: { granted: 1 } });
    await r.exchange(c, 1);
  });

  test("a mark for ACKs at once is taken back; other bits stay", async () => {
    await r.rule(r.client, "ack set --every 1");
    const c = await l.opened();
    expect(await marksOf(r, c, [DEFAULT_MARK, 0])).toEqual([DEFAULT_MARK, 0]);
    await r.client.peer.setopt(c.client, SOL_SOCKET, SO_MARK, DEFAULT_MARK | 5);
    expect(await l.live(r.client, "ack unset")).toMatchObject({ changed_connections: 1 });
    expect(await markOf(r.client, c.client)).toBe(5);
  });

  test("a fraction of the round-trip time", async () => {
    const c = await l.opened();
    expect(await l.live(r.client, "ack set --delay rtt/4")).toMatchObject({ changed_connections: 1 });
    expect(await capOf(r.client, c.client)).toBeLessThan(DEFAULT_CAP);
  });

  test.each([
    ["uto set none --live", "'none' takes no --live"],
    ["cc-request set cubic --live", "--live is for --local"],
    ["ack set --every 4 --live", "--live is for --delay alone"],
    ["ack request none --live", "'none' takes no --live"],
    ["iw set 20 --live", "unknown flag '--live'"],
    ["uto accept --live", "unknown flag '--live'"],
    ["iw unset --live", "unknown flag '--live'"],
  ])("%s is refused, and nothing changes", async (words, what) => {
    const { code, stderr } = await tcpx([...words.split(" "), "--cgroup", r.client.cgroup]);
    expect(code).toBe(2);
    expect(stderr).toContain(what);
  });
});
