// SPDX-License-Identifier: MIT
// `tcpx doctor` where it may not try something, or cannot: that is no "no". What really is one is judged in guests
// with other kernels (tests/vm), and without any in the native ring.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync } from "node:fs";
import { join } from "node:path";
import { cgroupMount } from "../support/lab.ts";
import { PrivateHost } from "../support/private-host.ts";
import { describeIf, labRequirement } from "../support/requires.ts";
import { type TcpxResult, tcpxPath } from "../support/tcpx.ts";
import { UtoLab } from "../support/uto-lab.ts";

interface Check {
  name: string;
  verdict: string;
  detail: string;
}

const NOBODY = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];
const RULES = "+bpf,+net_admin,+perfmon";
const within = (script: string, ...flags: string[]) => [
  ...["unshare", "--mount", "--pid", "--fork", ...flags],
  ...["sh", "-c", `mount -t proc proc /proc && ${script} && exec "$@"`, "sh"],
];

describeIf(labRequirement.ok, labRequirement.reason)("doctor", () => {
  let u: UtoLab;
  let host: PrivateHost;
  /** Where others may read it, too. */
  let program: string;

  beforeAll(async () => {
    u = await UtoLab.create();
    host = await PrivateHost.create(u.lab);
    program = join("/run", "tcpx-for-all");
    await host.sh("true");
    copyFileSync(tcpxPath(), join(u.lab.dir, "tcpx"));
    await host.sh(`cp ${join(u.lab.dir, "tcpx")} ${program} && chmod 755 ${program}`);
  });
  afterAll(() => u[Symbol.asyncDispose]());

  const doctor = (...wrap: string[]) => host.tcpx(["doctor"], { program, wrap, json: true });
  const verdict = ({ json }: TcpxResult, name: string): Check =>
    json.checks.find((check: Check) => check.name === name);

  /** It says that it does not know, and nothing that sounds like a no. */
  function expectNotTried(result: TcpxResult, name: string, why: RegExp): void {
    expect(result.json.checks.filter((check: Check) => check.verdict === "fail")).toEqual([]);
    expect(verdict(result, name)).toMatchObject({ verdict: "skip", detail: expect.stringMatching(why) });
    expect(verdict(result, "negotiation")).toMatchObject({ verdict: "skip" });
    expect(result.json.features.map(({ works }: { works: unknown }) => works)).toEqual([
      ...Array.from({ length: result.json.features.length }, () => null),
    ]);
    expect(result).toMatchObject({ code: 4, json: { core: null } });
    expect(result.stderr).toContain("not known");
  }

  test("says that the core works, and how it knows", async () => {
    const result = await doctor();
    expect(result).toMatchObject({ code: 0, stderr: "", json: { core: true } });
    expect(verdict(result, "negotiation")).toMatchObject({ verdict: "ok" });
  });

  test("to nobody says what was not tried, and what that needs", async () => {
    const result = await doctor(...NOBODY);
    expectNotTried(result, "TCP header options", /^not tried: needs root \(CAP_/);
    expect(verdict(result, "capabilities").detail).toContain("CAP_BPF");
    const { stdout } = await host.tcpx(["doctor"], { program, wrap: NOBODY });
    expect(stdout).toMatch(/^ {2}\? {4}uto$/m);
    expect(stdout).not.toMatch(/^ {2}no /m);
  });

  test("needs no other network namespace, and no right to look at other processes", async () => {
    const own = await doctor("setpriv", "--bounding-set=-sys_ptrace");
    expect(own).toMatchObject({ code: 0, json: { core: true } });
    const caps = `-all,${RULES},+dac_override`;
    const here = await doctor(
      "unshare",
      "--net",
      "sh",
      "-c",
      'ip link set lo up; exec "$@"',
      "sh",
      ...[...["setpriv", `--bounding-set=${caps}`]],
    );
    expect(here).toMatchObject({ code: 0, json: { core: true } });
    expect(verdict(here, "negotiation").detail).toMatch(/loopback of this network namespace$/);
  });

  test("says when held ACKs could not be sent: the core works all the same", async () => {
    expect(verdict(await doctor(), "raw sockets")).toMatchObject({ verdict: "ok" });
    const without = await doctor("setpriv", "--bounding-set=-net_raw");
    expect(without).toMatchObject({ code: 0, json: { core: true } });
    const detail = expect.stringContaining("CAP_NET_RAW is missing");
    expect(verdict(without, "raw sockets")).toMatchObject({ verdict: "warn", detail });
  });

  describe("does not take for a no", () => {
    test("a loopback that is down", async () => {
      const result = await doctor(
        "unshare",
        "--net",
        "setpriv",
        `--bounding-set=-all,${RULES},+dac_override`,
      );
      expectNotTried(result, "negotiation", /^not tried: no connection over loopback/);
    });

    test("a cgroup where it may make none", async () => {
      const result = await doctor("setpriv", `--bounding-set=-all,${RULES}`);
      expectNotTried(result, "negotiation", /EACCES/);
      const script = `mount -o remount,bind,ro ${cgroupMount()}`;
      expectNotTried(await doctor(...within(script)), "negotiation", /EROFS/);
    });

    test("no cgroup2", async () => {
      const result = await doctor(...within(`umount -l ${cgroupMount()}`));
      expectNotTried(result, "cgroup2", /mount -t cgroup2/);
    });

    test("no bpffs, where it can mount none", async () => {
      const caps = ["setpriv", `--bounding-set=-all,${RULES},+dac_override`];
      const result = await doctor(...within("umount /sys/fs/bpf"), ...caps);
      expectNotTried(result, "negotiation", /bpffs is not mounted/);
      expect(verdict(result, "bpffs")).toMatchObject({ verdict: "warn" });
      expect(verdict(result, "bpffs").detail).toContain("CAP_SYS_ADMIN is missing");
    });

    test("no sysfs", async () => {
      expectNotTried(await doctor(...within("umount -l /sys")), "BTF", /sysfs is not mounted/);
    });

    test("a kernel that lets this root load nothing", async () => {
      const result = await doctor(...within("true", "--user", "--map-root-user"));
      expectNotTried(result, "TCP header options", /EPERM/);
    });
  });

  test("a missing securityfs says nothing about lockdown", async () => {
    const hidden = "umount -l /sys/kernel/security 2>/dev/null; true";
    const tried = verdict(await doctor(...within(hidden)), "lockdown");
    expect(tried).toMatchObject({ verdict: "ok", detail: expect.stringMatching(/^the mode is not known/) });
    const untried = verdict(await doctor(...within(hidden), ...NOBODY), "lockdown");
    expect(untried).toMatchObject({ verdict: "skip", detail: expect.stringMatching(/^not known/) });
  });

  test("what it tells, `uto set` does", async () => {
    const caps = ["setpriv", `--bounding-set=-all,${RULES}`];
    const set = await host.tcpx(["uto", "set", "7s", "--cgroup", u.client.cgroup], { program, wrap: caps });
    expect(set).toMatchObject({ code: 0 });
    await host.ok(["uto", "unset", "--all", "--cgroup", u.client.cgroup]);
  });
});
