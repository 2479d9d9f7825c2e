// SPDX-License-Identifier: MIT
// `tcpx run` and its host: the ACK agent, cgroups that cannot be made, missing permission.

import { afterAll, beforeAll, expect, test } from "bun:test";
import { existsSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { AgentHost } from "../support/agent-host.ts";
import { until } from "../support/lab.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { RunLab } from "../support/run-lab.ts";
import { tcpx, tcpxPath } from "../support/tcpx.ts";
import { tcpxOk } from "../support/uto-lab.ts";

const UTO = ["--uto", "10s", "--"];

describeIf(labRequirement.ok, labRequirement.reason)("tcpx run with ack rules", () => {
  let a: AgentHost;
  beforeAll(async () => {
    a = await AgentHost.create();
  });
  afterAll(() => a[Symbol.asyncDispose]());

  test("the agent serves it, is nobody's child, is not in its scope, and ends with it", async () => {
    // one that may thin needs a newer kernel than one that acknowledges at once
    const script = `${tcpxPath()} status --json; echo; ps -o comm= --ppid $$; exit 4`;
    const { code, stdout, stderr } = await a.host.tcpx(
      ["run", "--ack", "every=1", "--", "sh", "-c", script],
      {
        cgroup: a.outer,
      },
    );
    expect([code, stderr]).toEqual([4, ""]);
    const [status = "", ...children] = stdout.split("\n").filter(Boolean);
    expect(JSON.parse(status)).toMatchObject({
      agent: { running: true },
      scopes: [{ rules: [{ extension: "ack", kind: "local", every: 1 }] }],
    });
    expect(children).toEqual(["ps"]);
    expect(await until(async () => (await a.agents()).length === 0, 10_000)).toBe(true);
    const { json } = await a.host.ok(["status"], { json: true });
    expect(json).toMatchObject({ active: false, agent: { running: false } });
  });

  test("killed while its rules are on their way: no agent is left for them", async () => {
    const own = async (word: string) => (await a.processes()).find(({ args }) => args.includes(word));
    await a.host.ok(["uto", "set", "10s", "--cgroup", a.inner]);
    const argv = ["flock", "/sys/fs/bpf/tcpx", "sh", "-c", "echo held; exec cat"];
    const holder = a.lab.spawn([...a.host.wrap, ...argv]);
    await holder.stdout.getReader().read();
    const run = ["run", "--ack", "every=1", "--", "sleep", "60"];
    const child = a.lab.spawn([...a.host.wrap, tcpxPath(), ...run], { cgroup: a.outer });
    expect(await until(async () => (await own("internal-run-rules")) !== undefined)).toBe(true);
    await a.host.sh(`kill -KILL ${(await own("internal-run-rules"))!.ppid}`);
    expect(await child.exited).not.toBe(0);
    // its rules come first, and then its end
    expect(await until(async () => (await own("internal-run-end")) !== undefined)).toBe(true);
    const end = (await own("internal-run-end"))!.pid;
    await a.host.sh(`kill -STOP ${end}`);
    holder.stdin.end();
    expect(await until(async () => (await a.agents()).length === 1)).toBe(true);
    await a.host.sh(`kill -CONT ${end}`);
    expect(await until(async () => (await a.agents()).length === 0)).toBe(true);
    expect(await a.remains()).toEqual([]);
    await a.host.ok(["uto", "unset", "--cgroup", a.inner]);
  });
});

describeIf(labRequirement.ok, labRequirement.reason)("tcpx run where it cannot", () => {
  let r: RunLab;
  beforeAll(async () => {
    r = await RunLab.create();
  });
  afterAll(() => r[Symbol.asyncDispose]());

  test("a threaded cgroup: 125, and what to do", async () => {
    const threaded = r.lab.cgroup("threaded", r.lab.cgroup("domain"));
    writeFileSync(join(threaded, "cgroup.type"), "threaded");
    const script = `echo $$ > ${join(threaded, "..", "cgroup.procs")} && echo $$ > ${threaded}/cgroup.threads && exec "$0" "$@"`;
    const { code, stderr } = await tcpx(["run", ...UTO, "true"], { wrap: ["sh", "-c", script] });
    for (const dir of [threaded, join(threaded, "..")]) {
      expect(await until(() => rmdirSync(dir) === undefined)).toBe(true); // whose processes cannot be listed
    }
    expect([code, stderr]).toEqual([125, expect.stringMatching(/is threaded: .*systemd-run --scope/)]);
  });

  test("no more cgroups allowed: 125, and where the limit is", async () => {
    const full = r.lab.cgroup("full");
    writeFileSync(join(full, "cgroup.max.descendants"), "0");
    const { code, stderr } = await tcpx(["run", ...UTO, "true"], { cgroup: full });
    expect([code, stderr]).toEqual([125, expect.stringMatching(/\(EAGAIN\); .*cgroup\.max\.descendants/)]);
  });

  test("without permission: 125, and nothing was made", async () => {
    const wrap = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
    const { code, stderr } = await tcpx(["run", ...UTO, "true"], { wrap, cgroup: r.home });
    expect([code, stderr]).toEqual([125, expect.stringContaining("not permitted")]);
    const capable = ["setpriv", "--reuid", "65534", "--inh-caps=+bpf,+net_admin,+perfmon"];
    const caps = await tcpx(["run", ...UTO, "true"], {
      wrap: [...capable, "--ambient-caps=+bpf,+net_admin,+perfmon"],
      cgroup: r.home,
    });
    expect([caps.code, caps.stderr]).toEqual([
      125,
      expect.stringMatching(/cannot make a cgroup .*delegated to you/),
    ]);
    expect(r.runs()).toEqual([]);
  });

  test("read-only cgroups, as in a container: 125", async () => {
    const script = `mount -o remount,ro,bind "$(awk '$3 == "cgroup2" {print $2; exit}' /proc/mounts)" && exec "$0" "$@"`;
    const wrap = ["unshare", "--mount", "--", "sh", "-c", script];
    const { code, stderr } = await tcpx(["run", ...UTO, "true"], { wrap, cgroup: r.home });
    expect([code, stderr]).toEqual([125, expect.stringContaining("(EROFS); cgroups are read-only here")]);
    expect(existsSync(r.home)).toBe(true);
  });

  test("from inside `ip netns exec`, which hides cgroups: it works", async () => {
    const netns = await r.lab.netns("hidden");
    const wrap = ["ip", "netns", "exec", netns];
    // from in there bpffs can be mounted only where process 1 is in reach: a rule keeps it mounted
    const keeper = ["--cgroup", r.lab.cgroup("keeper")];
    await tcpxOk(["uto", "set", "30s", ...keeper]);
    const { code, stdout, stderr } = await tcpx(["run", ...UTO, "cat", "/proc/self/cgroup"], {
      wrap,
      cgroup: r.home,
    });
    expect([code, stderr, stdout]).toEqual([0, "", expect.stringMatching(/^0::.*\/tcpx-run-[\d-]+$/m)]);
    expect(await r.gone()).toBe(true);
    await tcpxOk(["uto", "unset", "--all", ...keeper]);
  });
});
