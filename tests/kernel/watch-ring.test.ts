// SPDX-License-Identifier: MIT
// What is written for a watcher while it is there, stopped, killed, or behind, and while rules come and go.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { buildSupport } from "../support/build.ts";
import { until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { WatchHost } from "../support/watch-host.ts";
import type { Watch } from "../support/watch-lab.ts";

const ASKED = "uto asked 30000 null";

describeIf(labRequirement.ok, labRequirement.reason)("what the ring of tcpx watch holds", () => {
  let h: WatchHost;

  beforeAll(async () => {
    h = await WatchHost.create();
  });
  afterEach(() => h.clear());
  afterAll(() => h[Symbol.asyncDispose]());

  test("a killed watcher is forgotten", async () => {
    await h.u.rule(h.u.client, "set 30s");
    const w = await h.watch();
    await w.end("SIGKILL");
    const until_ns = h.wish("WANTED").until_ns;
    expect(until_ns).toBeGreaterThan(0n);
    expect(until_ns - h.now()).toBeLessThanOrEqual(10_000_000_000n);
    expect(await until(() => h.now() > until_ns, 30_000)).toBe(true);
    h.unread();
    await h.connect();
    expect(h.unread()).toBe(0);
  });

  test("nothing is written before anybody watches, nor what nobody has asked for", async () => {
    await h.u.rule(h.u.client, "set 30s");
    await h.connect();
    expect(h.unread()).toBe(0);
    const w = await h.watch(["--cgroup", h.u.server.cgroup]);
    w.child.kill("SIGSTOP");
    await h.connect();
    expect(h.unread()).toBe(0);
    await h.u.rule(h.u.server, "accept --min 5s");
    await h.connect();
    expect(h.unread()).toBe(1);
  });

  test("other extensions and the other direction are not even written", async () => {
    await h.u.rule(h.u.client, "set 30s");
    for (const [words, written] of [
      [["--ext", "iw,ack"], 0],
      [["--from", "0.0.0.0/0"], 0],
      [["--to", "192.0.2.0/24"], 1], // addresses are chosen by the reader
      [["--to", "0.0.0.0/0", "--ext", "uto"], 1],
      [["--to", "0.0.0.0/0", "--from", "0.0.0.0/0"], 1],
    ] as const) {
      const w = await h.watch([...h.scope(), ...words]);
      w.child.kill("SIGSTOP");
      await h.connect();
      expect([words, h.unread()]).toEqual([words, written]);
      await w.end("SIGKILL");
    }
  });

  test("rules that change and scopes that come meanwhile", async () => {
    await h.u.rule(h.u.client, "set 30s");
    const w = await h.watch(["--all-netns"]);
    const first = await h.connect();
    expect(await w.sees(first.port, [ASKED])).toEqual([ASKED]);
    await h.u.rule(h.u.client, "set 20s");
    await h.u.rule(h.u.server, "accept --min 5s");
    const second = await h.connect();
    const wanted = ["their uto granted 20000 20000", "uto asked 20000 null"];
    expect(await w.sees(second.port, wanted)).toEqual(wanted);
    expect(new Set(w.events.map((e) => e.cgroup)).size).toBe(2);
    expect(w.events.every((e) => typeof e.cgroup === "string")).toBe(true);
  });

  test("all rules go and come, by unset and by reset", async () => {
    await using private_ = {
      host: await PrivateHost.create(h.u.lab),
      [Symbol.asyncDispose]: () => private_.host.stop(),
    };
    const { host } = private_;
    const w = await h.watch([...h.scope(), "--count", "3"], {
      wrap: host.wrap,
      ready: "there are no rules yet",
    });
    const ports: number[] = [];
    const negotiate = async () => {
      const so_far = w.stderr.split("there are rules now").length;
      await host.ok(["uto", "set", "30s", ...h.scope()]);
      expect(await until(() => w.stderr.split("there are rules now").length > so_far, 30_000)).toBe(true);
      ports.push((await h.connect()).port);
      expect(await w.has(ports.length)).toBe(true);
    };
    for (const undo of [["uto", "unset", "--all", ...h.scope()], ["reset"]]) {
      await negotiate();
      const so_far = w.stderr.split("the last rule was removed").length;
      await host.tcpx(undo);
      expect(await until(() => w.stderr.split("the last rule was removed").length > so_far, 30_000)).toBe(
        true,
      );
    }
    await negotiate();
    expect(await w.ended()).toBe(0);
    expect(w.events.map((e) => e.peer.port)).toEqual(ports);
    await host.ok(["uto", "unset", "--all", ...h.scope()]);
    expect(await host.pins()).toEqual([]);
  });

  /** Connections of which each makes two events, while the watcher is stopped. */
  async function whileStopped(w: Watch, count: number): Promise<void> {
    w.child.kill("SIGSTOP");
    await h.u.lab.exec(h.u.client.netns, [(await buildSupport()).loop, `${count}`], "", h.u.client.cgroup);
    w.child.kill("SIGCONT");
  }

  test("events that were lost are counted, and told", async () => {
    await h.u.rule(h.u.client, "set 30s --to 127.0.0.0/8");
    await h.u.rule(h.u.client, "accept --min 5s --from 127.0.0.0/8");
    const connections = 10_000;
    for (let attempt = 0; ; attempt++) {
      const w = await h.watch();
      await whileStopped(w, connections);
      expect(await until(() => w.stdout.includes('"event":"lost"'), 30_000)).toBe(true);
      expect(await w.end()).toBe(0);
      const lost = w.events.filter((e) => e.event === "lost");
      const [told] = lost.slice(-1);
      expect(told.lost_total).toBe(lost.reduce((sum, e) => sum + e.lost, 0));
      const shown = w.events.filter((e) => e.extension === "uto").length;
      expect(w.stderr).toEndWith(`tcpx: ${shown} events, ${told.lost_total} lost\n`);
      // on a machine that is too slow for it, the watcher was taken for dead meanwhile
      if (w.events.some((e) => e.event === "paused") && attempt < 3) continue;
      expect(shown + told.lost_total).toBe(2 * connections);
      break;
    }
  });

  test("a watcher that was stopped for long says since when it has not watched", async () => {
    await h.u.rule(h.u.client, "set 30s");
    const w = await h.watch();
    w.child.kill("SIGSTOP");
    const { until_ns } = h.wish("WANTED");
    expect(await until(() => h.now() > until_ns, 30_000)).toBe(true);
    const missed = await h.connect();
    w.child.kill("SIGCONT");
    expect(await until(() => w.stdout.includes('"event":"paused"'), 30_000)).toBe(true);
    const c = await h.connect();
    expect(await w.sees(c.port, [ASKED])).toEqual([ASKED]);
    expect(w.of(missed.port)).toEqual([]);
  });
});
