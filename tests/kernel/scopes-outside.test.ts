// SPDX-License-Identifier: MIT
// --pid of a process outside: what stands in its /proc is another view's, and its cgroup must not become another one.
import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { cgroupMount, Lab, until } from "../support/lab.ts";
import { describeIf, every, labRequirement, requirement } from "../support/requires.ts";
import { tcpx } from "../support/tcpx.ts";

const isMachine = requirement("root", statSync(cgroupMount()).ino === 1, "the root of the cgroup2 hierarchy");
const needs = every("all", labRequirement, isMachine);

/** Commands that take a process for a scope; none of them changes anything. */
const COMMANDS = [
  "uto set 9s --dry-run",
  "uto accept --dry-run",
  "uto unset --all --dry-run",
  "cc-request set cubic --local --dry-run",
  "iw set 20 --dry-run",
  "ack set --delay 20ms --dry-run",
  "uto show",
  "status",
  "connections",
  "watch",
  "metrics",
];

describeIf(needs.ok, needs.reason)("--pid of a process outside", () => {
  let lab: Lab;
  /** Where tcpx runs, and where somebody else does. */
  let own: string;
  let other: string;

  beforeAll(async () => {
    lab = await Lab.create();
    own = lab.cgroup("own");
    other = lab.cgroup("other");
  });
  afterAll(() => lab[Symbol.asyncDispose]());

  /** One that sleeps, in a cgroup and perhaps in namespaces of its own. */
  async function sleeper(cgroup: string, ...how: string[]): Promise<number> {
    const child = lab.spawn([...how, "sleep", "300"], { cgroup });
    const name = cgroup.slice(cgroupMount().length) || "/";
    const there = () => {
      const [text, words] = ["cgroup", "cmdline"].map((file) =>
        readFileSync(`/proc/${child.pid}/${file}`, "utf8"),
      );
      return text!.includes(`0::${name}\n`) && words!.startsWith("sleep");
    };
    expect(await until(there)).toBe(true);
    return child.pid;
  }

  const inNamespaces = (...flags: string[]) => ["unshare", ...flags, "--"];
  /** A mount namespace that is changed first. */
  const mounted = (flags: string[], script: string) => [
    ...inNamespaces("--mount", ...flags),
    ...["sh", "-c", `${script} && exec "$@"`, "sh"],
  ];
  const mount = cgroupMount();

  async function refused(words: string, pid: number, wrap: string[], ...named: string[]) {
    const { code, stdout, stderr } = await tcpx([...words.split(" "), "--pid", `${pid}`], {
      wrap,
      cgroup: own,
    });
    expect([words, [2, 3].includes(code), stdout]).toEqual([words, true, ""]);
    expect(stderr.trim().split("\n").length).toBe(1);
    for (const text of [`${pid}`, ...named]) expect(stderr).toContain(text);
    return { code, stderr };
  }

  describe("in the root cgroup, which is every process of the machine", () => {
    test.each(COMMANDS)("%s, in a cgroup namespace", async (words) => {
      const pid = await sleeper(mount);
      const { code, stderr } = await refused(
        words,
        pid,
        inNamespaces("--cgroup"),
        "another cgroup namespace",
      );
      const its = statSync(`/proc/${pid}/ns/cgroup`).ino;
      expect([code, stderr.includes(`(${its})`), stderr.includes("root cgroup")]).toEqual([2, true, true]);
    });

    test("seen from elsewhere", async () => {
      const pid = await sleeper(mount);
      const ways: [string[], string][] = [
        [inNamespaces("--mount"), "another mount namespace"],
        [mounted([], `umount ${mount}`), "another mount namespace"],
        [mounted([], `mount --bind ${own} ${mount}`), "another mount namespace"],
        [mounted(["--cgroup"], `mount --bind ${own} ${mount}`), "another cgroup namespace"],
        [
          mounted(["--cgroup"], `umount ${mount} && mount -t cgroup2 none ${mount}`),
          "another cgroup namespace",
        ],
        [["ip", "netns", "exec", await lab.netns("side")], "another mount namespace"],
      ];
      for (const [wrap, what] of ways) await refused("uto set 9s --dry-run", pid, wrap, what);
    });

    test("a process that is in namespaces of its own", async () => {
      const apart = await sleeper(mount, ...inNamespaces("--cgroup"));
      await refused("uto set 9s --dry-run", apart, [], "another cgroup namespace");
      const mounts = await sleeper(mount, ...inNamespaces("--mount"));
      await refused("uto set 9s --dry-run", mounts, [], "another mount namespace");
    });

    test("in none of its own: as ever, with a warning", async () => {
      const words = ["uto", "set", "9s", "--dry-run", "--pid", `${await sleeper(mount)}`];
      const { code, json, stderr } = await tcpx(words, { json: true, cgroup: own });
      expect([code, json.scope.cgroup]).toEqual([0, "/"]);
      expect(stderr).toContain("not only it, but every process");
    });
  });

  test("in another cgroup: that one, wherever it can be seen", async () => {
    const pid = await sleeper(other, ...inNamespaces("--cgroup", "--mount"));
    const id = `${statSync(other).ino}`;
    for (const wrap of [
      [],
      inNamespaces("--cgroup"),
      inNamespaces("--mount"),
      mounted([], `umount ${mount}`),
      mounted([], `mount --bind ${own} ${mount}`),
    ]) {
      const words = ["uto", "set", "9s", "--dry-run", "--pid", `${pid}`];
      const { code, json } = await tcpx(words, { json: true, wrap, cgroup: own });
      expect([wrap, code, json.scope.id]).toEqual([wrap, 0, id]);
    }
    // a cgroup namespace with a mount of its own shows its own cgroups only
    const fresh = mounted(["--cgroup"], `umount ${mount} && mount -t cgroup2 none ${mount}`);
    const { code } = await refused(
      "uto set 9s --dry-run",
      pid,
      fresh,
      "cannot be seen from here",
      "cgroup namespace",
    );
    expect(code).toBe(3);
  });

  test("a part of the hierarchy that is mounted over another one has cgroups of the same names", async () => {
    // other/x, and own/<path of other>/x: what is mounted shows the second at the first one's path
    const inner = join(other, "x");
    const double = join(own, other.slice(mount.length), "x");
    for (const path of [inner, double]) mkdirSync(path, { recursive: true });
    const pid = await sleeper(inner);
    const words = ["uto", "set", "9s", "--dry-run", "--pid", `${pid}`];
    const wrap = mounted([], `mount --bind ${own} ${mount}`);
    const { code, json } = await tcpx(words, { json: true, wrap });
    expect([code, json.scope.id]).toEqual([0, `${statSync(inner).ino}`]);
  });
});
