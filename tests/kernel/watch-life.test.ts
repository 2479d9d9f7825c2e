// SPDX-License-Identifier: MIT
// `tcpx watch` as a process: how it begins and ends.
import { afterAll, afterEach, beforeAll, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { buildSupport } from "../support/build.ts";
import { until } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { WatchHost } from "../support/watch-host.ts";

const ASKED = "uto asked 30000 null";

describeIf(labRequirement.ok, labRequirement.reason)("tcpx watch as a process", () => {
  let h: WatchHost;

  beforeAll(async () => {
    h = await WatchHost.create();
  });
  afterEach(() => h.clear());
  afterAll(() => h[Symbol.asyncDispose]());

  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    test(`${signal} ends it with 0, the counts, and nobody watching`, async () => {
      await h.u.rule(h.u.client, "set 30s");
      const w = await h.watch();
      expect(h.wish("WANTED").until_ns).toBeGreaterThan(h.now());
      const c = await h.connect();
      expect(await w.end(signal)).toBe(0);
      expect(w.of(c.port)).toEqual([ASKED]); // what was before is shown
      expect(w.stderr).toEndWith("\ntcpx: 1 event, 0 lost\n");
      expect(h.wish("WANTED").until_ns).toBe(0n);
      await h.connect();
      expect(h.unread()).toBe(0);
    });
  }

  test("after so many events it ends by itself", async () => {
    await h.u.rule(h.u.client, "set 30s");
    const w = await h.watch([...h.scope(), "--count", "2"]);
    const ports = [(await h.connect()).port, (await h.connect()).port, (await h.connect()).port];
    expect(await w.ended()).toBe(0);
    expect(w.events.map((e) => e.peer.port)).toEqual(ports.slice(0, 2));
  });

  test("a reader that goes is noticed without another event, and is no error", async () => {
    await h.u.rule(h.u.client, "set 30s");
    for (const flag of ["", "--json"]) {
      const script = `"$0" watch --cgroup "$1" ${flag} 2>"$2" | head -1; echo "\${PIPESTATUS[0]}"`;
      const log = join(h.u.lab.dir, `head${flag}`);
      const argv = ["bash", "-c", script, tcpxPath(), h.u.client.cgroup, log];
      const child = h.u.lab.spawn(argv, { netns: h.u.client.netns });
      const ready = async () =>
        (await Bun.file(log).exists()) && (await Bun.file(log).text()).includes("Ctrl-C");
      expect(await until(ready, 30_000)).toBe(true);
      await h.connect();
      const [line, code] = (await new Response(child.stdout as ReadableStream).text()).trim().split("\n");
      expect(line).toContain(flag ? '"asked":{"timeout_ms":30000}' : "asked 30s");
      expect(code).toBe("0");
      expect((await Bun.file(log).text()).trim().split("\n")).toHaveLength(1);
      expect(h.wish("WANTED").until_ns).toBe(0n);
    }
  });

  test("a reader that does not read keeps it neither from ending nor in memory", async () => {
    await h.u.rule(h.u.client, "set 30s --to 127.0.0.0/8");
    const log = join(h.u.lab.dir, "stuck");
    const script = `"$0" watch --cgroup "$1" --json 2>"$2" | { echo; sleep 1000; }`;
    const child = h.u.lab.spawn(["bash", "-c", `${script} & wait`, tcpxPath(), h.u.client.cgroup, log], {
      cgroup: h.u.lab.cgroup("stuck"),
    });
    const says = (text: string) =>
      until(
        async () => (await Bun.file(log).exists()) && (await Bun.file(log).text()).includes(text),
        30_000,
      );
    expect(await says("Ctrl-C")).toBe(true);
    // more than a pipe holds
    await h.u.lab.exec(h.u.client.netns, [(await buildSupport()).loop, "1000"], "", h.u.client.cgroup);
    const procs = (await Bun.file(join(h.u.lab.cgroup("stuck"), "cgroup.procs")).text()).trim().split("\n");
    const pids = procs.filter((pid) => {
      const line = Bun.spawnSync(["cat", `/proc/${pid}/cmdline`]).stdout.toString();
      return line.includes("\0watch\0");
    });
    expect(pids).toHaveLength(1);
    process.kill(Number(pids[0]), "SIGTERM");
    expect(await until(() => h.wish("WANTED").until_ns === 0n, 30_000)).toBe(true);
    const gone = () => Bun.spawnSync(["kill", "-0", pids[0]!]).exitCode !== 0;
    expect(await until(gone, 30_000)).toBe(true);
    child.kill("SIGKILL");
  });

  test("there is one watcher only, until it is gone, however it went", async () => {
    await h.u.rule(h.u.client, "set 30s");
    const watched = async () => (await tcpx(["status", ...h.scope()], { json: true })).json.watched;
    expect(await watched()).toBe(false);
    const first = await h.watch();
    expect(await watched()).toBe(true);
    const { code, stdout, stderr } = await tcpx(["watch", ...h.scope()]);
    expect([code, stdout]).toEqual([5, ""]);
    expect(stderr).toMatch(
      /^tcpx: another `tcpx watch` is open on this host[^\n]*: process \d+ \([^\n]* watch [^\n]*\n$/,
    );
    const { code: busy, json } = await tcpx(["watch", ...h.scope()], { json: true });
    expect([busy, json.error.code, json.error.holder.state]).toEqual([5, 5, "running"]);
    expect(readFileSync(`/proc/${json.error.holder.pid}/cmdline`, "utf8")).toContain("\0watch\0");
    await first.end("SIGKILL");
    const second = await h.watch();
    const c = await h.connect();
    expect(await second.sees(c.port, [ASKED])).toEqual([ASKED]);
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
