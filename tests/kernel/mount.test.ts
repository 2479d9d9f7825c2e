// SPDX-License-Identifier: MIT
// bpffs: whoever needs it mounts it, and no tcpx that leaves nothing there leaves it mounted.
import { afterAll, beforeAll, beforeEach, expect, test } from "bun:test";
import { connectPeers, until } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { tcpxPath } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";

describeIf(labRequirement.ok, labRequirement.reason)("the mount of bpffs", () => {
  let u: UtoLab;
  let bare: PrivateHost;
  let scope: string[];

  beforeAll(async () => {
    u = await UtoLab.create();
    scope = ["--cgroup", u.client.cgroup];
  });
  beforeEach(async () => {
    bare = await PrivateHost.create(u.lab, { bpffs: false });
  });
  afterAll(() => u[Symbol.asyncDispose]());

  async function clientTimeout(): Promise<number> {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    return u.timeout(u.client, c.client);
  }

  const unmounted = () => until(async () => (await bare.bpffs()) === "");

  /** Starts tcpx in the bare host; the pid is the one in there. */
  async function start(words: string) {
    const child = u.lab.spawn([...bare.wrap, "sh", "-c", `echo $$; exec "$0" ${words}`, tcpxPath()], {
      stderr: "pipe",
    });
    const reader = child.stdout.getReader();
    const pid = Number.parseInt(new TextDecoder().decode((await reader.read()).value), 10);
    return { child, pid, end: (signal: string) => bare.sh(`kill -${signal} ${pid}`) };
  }

  test("a look mounts nothing, a change does, the last rule takes it back", async () => {
    for (const words of ["uto show", "status", "uto unset", "uto set 30s --dry-run"]) {
      await bare.ok([...words.split(" "), ...scope]);
      expect(await bare.bpffs()).toBe("");
    }
    await bare.ok(["uto", "set", "30s", ...scope]);
    expect(await bare.bpffs()).toBe("tcpx");
    expect(await clientTimeout()).toBe(30_000);
    await bare.ok(["iw", "set", "20", ...scope]);
    await bare.ok(["uto", "unset", ...scope]);
    expect(await bare.bpffs()).toBe("tcpx");
    await bare.ok(["iw", "unset", ...scope]);
    expect(await bare.bpffs()).toBe("");
  });

  test("reset takes it back", async () => {
    await bare.ok(["uto", "set", "30s", ...scope]);
    await bare.reset();
    expect(await bare.bpffs()).toBe("");
    expect(await clientTimeout()).toBe(0);
  });

  test("doctor, demo and run leave it as they found it", async () => {
    await bare.ok(["doctor"]);
    expect(await bare.bpffs()).toBe("");
    await bare.ok(["demo"], { timeoutMs: 50_000 });
    expect(await bare.bpffs()).toBe("");
    const seen = ["run", "--uto", "30s", "--", "sh", "-c", "grep -c ^tcpx./sys/fs/bpf /proc/mounts"];
    expect((await bare.ok(seen, { cgroup: u.client.cgroup })).stdout).toBe("1\n");
    expect(await unmounted()).toBe(true);
  }, 80_000);

  test("a demo that is ended half-way takes it back; one that is killed leaves that to reset", async () => {
    for (const signal of ["TERM", "KILL"]) {
      const demo = await start("demo");
      expect(await until(async () => (await bare.pins()).some((path) => path.endsWith("/link")))).toBe(true);
      await demo.end(signal);
      await demo.child.exited;
      if (signal === "KILL") await bare.reset();
      expect(await bare.bpffs()).toBe("");
    }
  }, 60_000);

  test("while somebody watches it cannot go; it goes when the watcher has let go", async () => {
    await bare.ok(["uto", "set", "30s", ...scope]);
    const watch = await start("watch");
    const held = async () => (await bare.sh(`ls -l /proc/${watch.pid}/fd`)).includes("/sys/fs/bpf/tcpx/");
    expect(await until(held)).toBe(true);
    await bare.ok(["uto", "unset", ...scope]);
    expect(await unmounted()).toBe(true);
    await watch.end("TERM");
    expect(await watch.child.exited).toBe(0);
  });

  test("a mount that is not tcpx's own, or holds somebody's pins, stays", async () => {
    const set = async () => {
      await bare.ok(["uto", "set", "30s", ...scope]);
      await bare.ok(["uto", "unset", ...scope]);
      return [await bare.bpffs(), await bare.pins()];
    };
    await bare.ok(["uto", "set", "30s", ...scope]);
    await bare.sh("mkdir /sys/fs/bpf/somebody");
    expect((await bare.reset()).stdout).not.toContain("unmounted");
    const pins = ["/sys/fs/bpf/somebody"];
    expect([await bare.bpffs(), await bare.pins()]).toEqual(["tcpx", pins]);
    expect(await set()).toEqual(["tcpx", pins]);
    // somebody's own, over ours, is what everybody sees
    await bare.sh("rmdir /sys/fs/bpf/somebody && mount -t bpf bpf /sys/fs/bpf");
    await set();
    expect((await bare.sh("grep -c ' /sys/fs/bpf bpf ' /proc/mounts")).trim()).toBe("2");
  });
});
