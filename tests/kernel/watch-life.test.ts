// SPDX-License-Identifier: MIT
// `tcpx watch` as a process: how it begins and ends, and what happens meanwhile and afterwards.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { join } from "node:path";
import { type Bridge, bridge } from "../../cli/loader/bridge.ts";
import { findBpffs } from "../../cli/loader/host.ts";
import { structs, WatchSlot } from "../../cli/loader/layout.generated.ts";
import { lookup, openPin } from "../../cli/loader/maps.ts";
import { layoutDir } from "../../cli/loader/pins.ts";
import { decode } from "../../cli/loader/struct.ts";
import { LONGEST, Watched } from "../../cli/observe/watched.ts";
import { buildSupport } from "../support/build.ts";
import { type Connection, connectPeers, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";
import { Watch, type WatchOptions } from "../support/watch-lab.ts";

const ASKED = "uto asked 30000 null";

describeIf(labRequirement.ok, labRequirement.reason)("tcpx watch as a process", () => {
  let u: UtoLab;
  let lib: Bridge;
  let open: Watch[] = [];

  beforeAll(async () => {
    [u, lib] = [await UtoLab.create(), await bridge()];
  });
  afterEach(async () => {
    for (const watch of open.splice(0)) await watch.end("SIGKILL");
    open = [];
    await u.clear();
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const scope = () => ["--cgroup", u.client.cgroup];

  async function watch(args = scope(), options: WatchOptions = {}): Promise<Watch> {
    const started = await Watch.start(u.lab, args, options);
    open.push(started);
    return started;
  }

  const connect = (): Promise<Connection> => connectPeers(u.client.peer, u.server.peer, u.server.v4);

  const pinned = (name: string) => openPin(lib, join(layoutDir(findBpffs(lib)!), name))!;

  /** What the maps say of the watcher. */
  function wish(slot: keyof typeof WatchSlot) {
    using map = pinned("watch");
    const key = new Uint8Array(new Uint32Array([WatchSlot[slot]]).buffer);
    return decode("tcpx_watch", lookup(lib, map.fd, key, structs.tcpx_watch.size));
  }

  /** Takes away what nobody has read: how many events. */
  function unread(): number {
    using map = pinned("events");
    const out = new BigUint64Array(1);
    expect(lib.tcpx_ring_open(map.fd, out)).toBe(0);
    const bytes = new Uint8Array(100 * LONGEST);
    let count = 0;
    for (let n = 1; n > 0; ) {
      n = lib.tcpx_ring_take(out[0]!, bytes, LONGEST, bytes.length);
      const list = new Watched(bytes.subarray(0, n));
      for (let at = 0; at < n; at = list.after(at)) count += list.count(at);
    }
    lib.tcpx_ring_close(out[0]!);
    return count;
  }

  function now(): bigint {
    const out = new BigUint64Array(1);
    expect(lib.tcpx_monotonic(out)).toBe(0);
    return out[0]!;
  }

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`${signal} ends it with 0, the counts, and nobody watching`, async () => {
      await u.rule(u.client, "set 30s");
      const w = await watch();
      expect(wish("WANTED").until_ns).toBeGreaterThan(now());
      const c = await connect();
      expect(await w.end(signal)).toBe(0);
      expect(w.of(c.port)).toEqual([ASKED]); // what was before is shown
      expect(w.stderr).toEndWith("\ntcpx: 1 events, 0 lost\n");
      expect(wish("WANTED").until_ns).toBe(0n);
      await connect();
      expect(unread()).toBe(0);
    });
  }

  test("after so many events it ends by itself", async () => {
    await u.rule(u.client, "set 30s");
    const w = await watch([...scope(), "--count", "2"]);
    const ports = [(await connect()).port, (await connect()).port, (await connect()).port];
    expect(await w.ended()).toBe(0);
    expect(w.events.map((e) => e.peer.port)).toEqual(ports.slice(0, 2));
  });

  test("a reader that goes is noticed without another event, and is no error", async () => {
    await u.rule(u.client, "set 30s");
    for (const flag of ["", "--json"]) {
      const script = `"$0" watch --cgroup "$1" ${flag} 2>"$2" | head -1; echo "\${PIPESTATUS[0]}"`;
      const log = join(u.lab.dir, `head${flag}`);
      const argv = ["bash", "-c", script, tcpxPath(), u.client.cgroup, log];
      const child = u.lab.spawn(argv, { netns: u.client.netns });
      const ready = async () =>
        (await Bun.file(log).exists()) && (await Bun.file(log).text()).includes("Ctrl-C");
      expect(await until(ready, 30_000)).toBe(true);
      await connect();
      const [line, code] = (await new Response(child.stdout as ReadableStream).text()).trim().split("\n");
      expect(line).toContain(flag ? '"asked":30000' : "asked 30s");
      expect(code).toBe("0");
      expect((await Bun.file(log).text()).trim().split("\n")).toHaveLength(1);
      expect(wish("WANTED").until_ns).toBe(0n);
    }
  });

  test("a reader that does not read keeps it neither from ending nor in memory", async () => {
    await u.rule(u.client, "set 30s --to 127.0.0.0/8");
    const log = join(u.lab.dir, "stuck");
    const script = `"$0" watch --cgroup "$1" --json 2>"$2" | { echo; sleep 1000; }`;
    const child = u.lab.spawn(["bash", "-c", `${script} & wait`, tcpxPath(), u.client.cgroup, log], {
      cgroup: u.lab.cgroup("stuck"),
    });
    const says = (text: string) =>
      until(
        async () => (await Bun.file(log).exists()) && (await Bun.file(log).text()).includes(text),
        30_000,
      );
    expect(await says("Ctrl-C")).toBe(true);
    // more than a pipe holds
    await u.lab.exec(u.client.netns, [(await buildSupport()).loop, "1000"], "", u.client.cgroup);
    const procs = (await Bun.file(join(u.lab.cgroup("stuck"), "cgroup.procs")).text()).trim().split("\n");
    const pids = procs.filter((pid) => {
      const line = Bun.spawnSync(["cat", `/proc/${pid}/cmdline`]).stdout.toString();
      return line.includes("\0watch\0");
    });
    expect(pids).toHaveLength(1);
    process.kill(Number(pids[0]), "SIGTERM");
    expect(await until(() => wish("WANTED").until_ns === 0n, 30_000)).toBe(true);
    const gone = () => Bun.spawnSync(["kill", "-0", pids[0]!]).exitCode !== 0;
    expect(await until(gone, 30_000)).toBe(true);
    child.kill("SIGKILL");
  });

  test("there is one watcher only, until it is gone, however it went", async () => {
    await u.rule(u.client, "set 30s");
    const watched = async () => (await tcpx(["status", ...scope()], { json: true })).json.watched;
    expect(await watched()).toBe(false);
    const first = await watch();
    expect(await watched()).toBe(true);
    const { code, stdout, stderr } = await tcpx(["watch", ...scope()]);
    expect([code, stdout]).toEqual([5, ""]);
    expect(stderr).toMatch(/^tcpx: another `tcpx watch` is open on this host[^\n]*\n$/);
    const { code: busy, json } = await tcpx(["watch", ...scope()], { json: true });
    expect([busy, json.error.code]).toEqual([5, 5]);
    await first.end("SIGKILL");
    const second = await watch();
    const c = await connect();
    expect(await second.sees(c.port, [ASKED])).toEqual([ASKED]);
  });

  test("a killed watcher is forgotten", async () => {
    await u.rule(u.client, "set 30s");
    const w = await watch();
    await w.end("SIGKILL");
    const until_ns = wish("WANTED").until_ns;
    expect(until_ns).toBeGreaterThan(0n);
    expect(until_ns - now()).toBeLessThanOrEqual(10_000_000_000n);
    expect(await until(() => now() > until_ns, 30_000)).toBe(true);
    unread();
    await connect();
    expect(unread()).toBe(0);
  });

  test("nothing is written before anybody watches, nor what nobody has asked for", async () => {
    await u.rule(u.client, "set 30s");
    await connect();
    expect(unread()).toBe(0);
    const w = await watch(["--cgroup", u.server.cgroup]);
    w.child.kill("SIGSTOP");
    await connect();
    expect(unread()).toBe(0);
    await u.rule(u.server, "accept --min 5s");
    await connect();
    expect(unread()).toBe(1);
  });

  test("other extensions and the other direction are not even written", async () => {
    await u.rule(u.client, "set 30s");
    for (const [words, written] of [
      [["--ext", "iw,ack"], 0],
      [["--from", "0.0.0.0/0"], 0],
      [["--to", "192.0.2.0/24"], 1], // addresses are chosen by the reader
      [["--to", "0.0.0.0/0", "--ext", "uto"], 1],
      [["--to", "0.0.0.0/0", "--from", "0.0.0.0/0"], 1],
    ] as const) {
      const w = await watch([...scope(), ...words]);
      w.child.kill("SIGSTOP");
      await connect();
      expect([words, unread()]).toEqual([words, written]);
      await w.end("SIGKILL");
    }
  });

  test("rules that change and scopes that come meanwhile", async () => {
    await u.rule(u.client, "set 30s");
    const w = await watch(["--all-netns"]);
    const first = await connect();
    expect(await w.sees(first.port, [ASKED])).toEqual([ASKED]);
    await u.rule(u.client, "set 20s");
    await u.rule(u.server, "accept --min 5s");
    const second = await connect();
    const wanted = ["their uto granted 20000 20000", "uto asked 20000 null"];
    expect(await w.sees(second.port, wanted)).toEqual(wanted);
    expect(new Set(w.events.map((e) => e.cgroup)).size).toBe(2);
    expect(w.events.every((e) => typeof e.cgroup === "string")).toBe(true);
  });

  test("all rules go and come, by unset and by reset", async () => {
    await using private_ = {
      host: await PrivateHost.create(u.lab),
      [Symbol.asyncDispose]: () => private_.host.stop(),
    };
    const { host } = private_;
    const w = await watch([...scope(), "--count", "3"], { wrap: host.wrap, ready: "there are no rules yet" });
    const ports: number[] = [];
    const negotiate = async () => {
      const so_far = w.stderr.split("there are rules now").length;
      await host.ok(["uto", "set", "30s", ...scope()]);
      expect(await until(() => w.stderr.split("there are rules now").length > so_far, 30_000)).toBe(true);
      ports.push((await connect()).port);
      expect(await w.has(ports.length)).toBe(true);
    };
    for (const undo of [["uto", "unset", "--all", ...scope()], ["reset"]]) {
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
    await host.ok(["uto", "unset", "--all", ...scope()]);
    expect(await host.pins()).toEqual([]);
  });

  /** Connections of which each makes two events, while the watcher is stopped. */
  async function whileStopped(w: Watch, count: number): Promise<void> {
    w.child.kill("SIGSTOP");
    await u.lab.exec(u.client.netns, [(await buildSupport()).loop, `${count}`], "", u.client.cgroup);
    w.child.kill("SIGCONT");
  }

  test("events that were lost are counted, and told", async () => {
    await u.rule(u.client, "set 30s --to 127.0.0.0/8");
    await u.rule(u.client, "accept --min 5s --from 127.0.0.0/8");
    const connections = 10_000;
    for (let attempt = 0; ; attempt++) {
      const w = await watch();
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
    await u.rule(u.client, "set 30s");
    const w = await watch();
    w.child.kill("SIGSTOP");
    const { until_ns } = wish("WANTED");
    expect(await until(() => now() > until_ns, 30_000)).toBe(true);
    const missed = await connect();
    w.child.kill("SIGCONT");
    expect(await until(() => w.stdout.includes('"event":"paused"'), 30_000)).toBe(true);
    const c = await connect();
    expect(await w.sees(c.port, [ASKED])).toEqual([ASKED]);
    expect(w.of(missed.port)).toEqual([]);
  });

  test("bad input is named in one line, before anything is touched", async () => {
    const cases: [string, string][] = [
      ["--ext tarr", "'tarr'"],
      ["--ext uto,,iw", "has ''"],
      ["--count 0", "'0'"],
      ["--count 1e3", "'1e3'"],
      ["--count -1", "'-1'"],
      ["--to example.org", "'example.org'"],
      ["--port 70000", "'70000'"],
      ["--cgroup /nowhere", "/nowhere"],
      ["--unit a --pid 1", "exclude each other"],
      ["--state established", "--state"],
      ["now", "'now'"],
    ];
    for (const [words, named] of cases) {
      const { code, stdout, stderr } = await tcpx(["watch", ...words.split(" ")]);
      expect([words, code, stdout]).toEqual([words, 2, ""]);
      expect(stderr).toContain(named);
      expect(stderr.trim().split("\n").length).toBe(1);
    }
  });

  test("without permission", async () => {
    const wrap = ["setpriv", "--reuid", "65534", "--clear-groups", "--bounding-set=-all", "--inh-caps=-all"];
    const { code, stderr } = await tcpx(["watch"], { wrap });
    expect([code, stderr.trim().split("\n").length]).toEqual([4, 1]);
  });
});
