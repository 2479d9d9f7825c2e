// SPDX-License-Identifier: MIT
// What `tcpx connections`, and what else only reads, can do with fewer rights than root has.
import { afterAll, beforeAll, expect, test } from "bun:test";
import { chmodSync, copyFileSync } from "node:fs";
import { join } from "node:path";
import { type Connection, connectPeers } from "../support/lab.ts";
import { describeIf, every, hasTool, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpx, tcpxPath } from "../support/tcpx.ts";
import { tcpxOk, UtoLab } from "../support/uto-lab.ts";
import { Watch } from "../support/watch-lab.ts";

const needs = every("all", labRequirement, hasTool("setpriv"));
const HIDDEN = "may not be looked at from here: that needs CAP_SYS_PTRACE";
const NOT_ENTERED = "could not be entered: that needs CAP_SYS_ADMIN";
const BLIND = "only root may read: it is left out";

/** Root with these capabilities alone. */
const rootWith = (...caps: string[]) => [
  "setpriv",
  `--bounding-set=${["-all", ...caps.map((cap) => `+${cap}`)].join()}`,
];
/** Somebody else, who has them. */
const userWith = (...caps: string[]) => {
  const list = caps.map((cap) => `+${cap}`).join();
  return ["setpriv", "--reuid=65534", "--clear-groups", `--inh-caps=${list}`, `--ambient-caps=${list}`];
};

describeIf(needs.ok, needs.reason)("with fewer rights", () => {
  let u: UtoLab;
  let c: Connection;
  let program: string;

  beforeAll(async () => {
    u = await UtoLab.create();
    await tcpxOk(["uto", "set", "30s", "--cgroup", u.client.cgroup, "--wait"]);
    c = await open();
    // where somebody else may execute it
    chmodSync(u.lab.dir, 0o755);
    program = join(u.lab.dir, "tcpx");
    copyFileSync(tcpxPath(), program);
    chmodSync(program, 0o755);
  });
  afterAll(async () => {
    await tcpxOk(["uto", "unset", "--all", "--cgroup", u.client.cgroup, "--wait"]);
    await u[Symbol.asyncDispose]();
  });

  const open = () => connectPeers(u.client.peer, u.server.peer, u.server.v4);
  const list = (wrap: string[], flags: string[] = [], netns = u.client.netns): Promise<TcpxResult> =>
    tcpx(["connections", "--port", `${c.port}`, ...flags], { wrap, program, json: true, netns });

  test.each([
    ["BPF and PERFMON", rootWith("bpf", "perfmon")],
    ["SYS_ADMIN, which stands for both", rootWith("sys_admin")],
    ["all but SYS_ADMIN", ["setpriv", "--bounding-set=-sys_admin"]],
  ])("connections of this network namespace with %s", async (_, wrap) => {
    const { code, json, stderr } = await list(wrap);
    expect([code, stderr, json.count, json.rules_readable]).toEqual([0, "", 1, true]);
    expect(json.connections[0].extensions.uto).toMatchObject({
      ours: { status: "asked" },
      local: { status: "applied", applied: { timeout_ms: 30_000 } },
    });
  });

  test("other network namespaces are left out, and it says which right is missing", async () => {
    const without = rootWith("bpf", "perfmon", "sys_ptrace");
    const scope = ["--cgroup", u.client.cgroup];
    const entered = await list(without, scope, u.server.netns);
    expect([
      entered.code,
      entered.json.count,
      entered.json.namespaces,
      entered.json.namespaces_refused,
    ]).toEqual([0, 0, 1, 1]);
    expect(entered.stderr).toContain(NOT_ENTERED);
    const hidden = await list(rootWith("bpf", "perfmon"), scope, u.server.netns);
    expect([hidden.code, hidden.json.count]).toEqual([0, 0]);
    expect(hidden.stderr).toContain(HIDDEN);
    const all = await list(rootWith("bpf", "perfmon", "sys_ptrace", "sys_admin"), scope, u.server.netns);
    expect([all.code, all.json.count, all.json.namespaces_refused, all.stderr]).toEqual([0, 1, 0, ""]);
  });

  test("another user with BPF and PERFMON: the sockets, without what root alone may read", async () => {
    const { code, json, stderr } = await list(userWith("bpf", "perfmon"));
    expect([code, json.count, json.rules_readable]).toEqual([0, 1, false]);
    expect(stderr).toContain(BLIND);
    expect(json.connections[0]).toMatchObject({ user_timeout_ms: 30_000, scope_id: null });
  });

  test.each([
    ["connections", ["bpf"], "CAP_PERFMON missing"],
    ["connections", ["perfmon"], "CAP_BPF missing"],
    ["connections", ["net_admin"], "CAP_PERFMON, CAP_BPF missing"],
    ["status", ["perfmon", "net_admin"], "CAP_BPF missing"],
    ["uto set 5s --dry-run", ["bpf", "perfmon"], "CAP_NET_ADMIN missing"],
  ])("%s with %p: 4, and %s", async (words, caps, what) => {
    const { code, stderr } = await tcpx(words.split(" "), { wrap: rootWith(...caps) });
    expect([code, stderr.trim().split("\n").length]).toEqual([4, 1]);
    expect(stderr).toContain(what);
  });

  test.each(["status", "uto show", "export", "metrics"])("%s reads with BPF alone", async (words) => {
    const { code, stdout } = await tcpx(words.split(" "), { wrap: rootWith("bpf") });
    expect(code).toBe(0);
    expect(stdout).toContain(u.client.cgroup.split("/").at(-1)!);
  });

  test("watch with BPF alone", async () => {
    const watch = await Watch.start(u.lab, [], { netns: u.client.netns, wrap: rootWith("bpf") });
    try {
      await u.exchange(await open(), 1);
      expect(await watch.has(1)).toBe(true);
    } finally {
      expect(await watch.end("SIGTERM")).toBe(0);
    }
  });
});
