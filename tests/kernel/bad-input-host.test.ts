// SPDX-License-Identifier: MIT
// Hosts on which tcpx cannot work: no permission, somebody else's program, no bpffs, no BTF, no cgroup2.
// One line that says why, the documented exit code, and nothing changed.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { cgroupMount, connectPeers, run } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import type { TcpxResult } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";

const tools = ["bpftool", "clang", "setpriv"].map((name) =>
  requirement(name, Bun.which(name) !== null, `the program ${name}`),
);
const needs = every("all", labRequirement, ...tools);

/** A program of somebody else. It lets everything be. */
const STRANGER = `
__attribute__((section("sockops"), used)) int stranger(void *ctx) { return 1; }
char LICENSE[] __attribute__((section("license"), used)) = "GPL";`;

function expectLine({ code, stdout, stderr }: TcpxResult, expected: number, ...named: string[]): void {
  expect({ code, stdout, stderr }).toMatchObject({ code: expected, stdout: "" });
  expect(stderr).toMatch(/^tcpx: [^\n]+\n$/);
  for (const part of named) expect(stderr).toContain(part);
}

describeIf(needs.ok, needs.reason)("a host that tcpx cannot work on", () => {
  let u: UtoLab;
  let host: PrivateHost;
  let set: string[];

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    set = ["uto", "set", "30s", "--cgroup", u.client.cgroup];
    const source = u.lab.file("stranger.bpf.c", STRANGER);
    await run(["clang", "-O2", "-target", "bpf", "-c", source, "-o", source.replace(/c$/, "o")]);
    await host.sh(`bpftool prog load ${source.replace(/c$/, "o")} /sys/fs/bpf/stranger type sockops`);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const clientTimeout = async () => {
    const c = await connectPeers(u.client.peer, u.server.peer, u.server.v4);
    return u.timeout(u.client, c.client);
  };

  test("an unprivileged user: exit 4, whatever the command; bad input is 2 all the same", async () => {
    const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const before = await host.pins();
    for (const words of [
      "uto set 30s",
      "uto set 30s --dry-run",
      "uto accept",
      "uto unset",
      "uto show",
      "status",
    ]) {
      expectLine(
        await host.tcpx([...words.split(" "), "--cgroup", u.client.cgroup], { wrap }),
        4,
        "CAP_",
        "root",
      );
      expectLine(await host.tcpx(words.split(" "), { wrap }), 4, "CAP_", "root");
    }
    expectLine(await host.tcpx(["uto", "set", "0s"], { wrap }), 2, "'0s'");
    expectLine(await host.tcpx(["uto", "set", "30s", "--cgroup", "/tmp"], { wrap }), 2, "'/tmp'");
    const { json, code } = await host.tcpx(set, { wrap, json: true });
    expect([code, json.error.code]).toEqual([4, 4]);
    expect(await host.pins()).toEqual(before);
    for (const words of ["version", "uto --help", "uto set --help"]) {
      expect((await host.tcpx(words.split(" "), { wrap })).code).toBe(0);
    }
  });

  test("root with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON alone can change rules, and without one of them cannot", async () => {
    const caps = (...names: string[]) => ["setpriv", "--bounding-set", ["-all", ...names].join(",")];
    const needed = ["+bpf", "+net_admin", "+perfmon"];
    for (const missing of needed) {
      const wrap = caps(...needed.filter((name) => name !== missing));
      expectLine(await host.tcpx(set, { wrap }), 4, `CAP_${missing.slice(1).toUpperCase()}`);
    }
    const wrap = caps(...needed);
    await host.ok(set, { wrap });
    expect(await clientTimeout()).toBe(30_000);
    await host.ok(["uto", "unset", "--cgroup", u.client.cgroup], { wrap });
    expect(await clientTimeout()).toBe(0);
  });

  test("bpffs that is not there and cannot be mounted: exit 3, and how to mount it", async () => {
    const bare = await PrivateHost.create(u.lab, { bpffs: false });
    const wrap = ["setpriv", "--bounding-set", "-sys_admin"];
    expectLine(await bare.tcpx(set, { wrap }), 3, "bpffs", "mount -t bpf bpf /sys/fs/bpf");
    expect(await bare.bpffs()).toBe("");
    await bare.sh("mount -t bpf bpf /sys/fs/bpf");
    await bare.ok(set, { wrap });
    expect(await clientTimeout()).toBe(30_000);
    await bare.stop();
  });

  test("a foreign program that holds the cgroup for itself: exit 3 and its name", async () => {
    const { cgroup } = u.client;
    await host.sh(`bpftool cgroup attach ${cgroup} sock_ops pinned /sys/fs/bpf/stranger`);
    const before = await host.pins();
    expectLine(await host.tcpx(set), 3, "'stranger'", "this cgroup");
    const { json } = await host.tcpx(set, { json: true });
    expect(json.error).toMatchObject({ code: 3, what: expect.stringContaining("stranger") });
    expect(await host.pins()).toEqual(before);
    const bare = await PrivateHost.create(u.lab, { bpffs: false });
    expectLine(await bare.tcpx(set), 3, "'stranger'", "this cgroup");
    expect(await bare.bpffs()).toBe("");
    await bare.stop();
    await host.sh(`bpftool cgroup detach ${cgroup} sock_ops pinned /sys/fs/bpf/stranger`);
    await host.ok(set);
    await host.ok(["uto", "unset", "--cgroup", cgroup]);
  });

  test("one that holds a parent: exit 3, its name and where it is", async () => {
    const middle = u.lab.cgroup("middle", u.client.cgroup);
    const leaf = u.lab.cgroup("leaf", middle);
    await host.sh(`bpftool cgroup attach ${u.client.cgroup} sock_ops pinned /sys/fs/bpf/stranger`);
    const before = await host.pins();
    const refused = await host.tcpx(["uto", "set", "30s", "--cgroup", leaf]);
    expectLine(refused, 3, "'stranger'", `${u.client.cgroup} for itself`);
    expect(await host.pins()).toEqual(before);
    await host.sh(`bpftool cgroup detach ${u.client.cgroup} sock_ops pinned /sys/fs/bpf/stranger`);
  });

  test("one that shares the cgroup is no obstacle, and stays", async () => {
    const { cgroup } = u.client;
    const list = async () =>
      (JSON.parse(await host.sh(`bpftool cgroup show ${cgroup} -j`)) as { attach_type: string }[]).filter(
        ({ attach_type }) => attach_type.endsWith("sock_ops"),
      );
    await host.sh(`bpftool cgroup attach ${cgroup} sock_ops pinned /sys/fs/bpf/stranger multi`);
    await host.ok(set);
    expect(await clientTimeout()).toBe(30_000);
    expect(await list()).toHaveLength(2);
    await host.ok(["uto", "unset", "--cgroup", cgroup]);
    expect(await list()).toMatchObject([{ name: "stranger" }]);
    await host.sh(`bpftool cgroup detach ${cgroup} sock_ops pinned /sys/fs/bpf/stranger`);
  });

  test("a directory in bpffs that somebody else has planted: exit 4, and it is left alone", async () => {
    await host.sh("mkdir /sys/fs/bpf/tcpx && chown 65534 /sys/fs/bpf/tcpx");
    expectLine(await host.tcpx(set), 4, "/sys/fs/bpf/tcpx");
    await host.sh("chown 0 /sys/fs/bpf/tcpx && chmod 777 /sys/fs/bpf/tcpx");
    expectLine(await host.tcpx(set), 4, "/sys/fs/bpf/tcpx");
    expect(await host.pins()).toEqual(["/sys/fs/bpf/stranger", "/sys/fs/bpf/tcpx"]);
    await host.sh("rmdir /sys/fs/bpf/tcpx");
    expect(await clientTimeout()).toBe(0);
  });

  test("a kernel without BTF: exit 3, which names it, and nothing is left", async () => {
    const blind = await PrivateHost.create(u.lab, {
      bpffs: false,
      setup: "mount -t tmpfs none /sys/kernel/btf",
    });
    expectLine(await blind.tcpx(set), 3, "BTF", "CONFIG_DEBUG_INFO_BTF");
    expect(await blind.bpffs()).toBe(""); // the mount that it had to make is taken back
    await blind.sh("mount -t bpf bpf /sys/fs/bpf");
    expectLine(await blind.tcpx(set), 3, "BTF");
    expect(await blind.pins()).toEqual([]);
    await blind.stop();
  });

  test("a host without cgroup2: exit 3, and how to mount it", async () => {
    const old = await PrivateHost.create(u.lab, { setup: `umount -l ${cgroupMount()}` });
    expectLine(
      await old.tcpx(["uto", "set", "30s"], { netns: u.client.netns }),
      3,
      "cgroup2",
      "mount -t cgroup2",
    );
    expect(await old.pins()).toEqual([]);
    await old.stop();
  });
});
