// SPDX-License-Identifier: MIT
// Names of scopes: units, processes and their cgroups on paper.
import { describe, expect, test } from "bun:test";
import { checkArguments, scopeArgs, scopeFlags } from "../../cli/base/args.ts";
import { belowMount, byDepth, cgroupMounts, unifiedPath } from "../../cli/system/cgroup-path.ts";
import {
  cgroupOfSlice,
  cgroupOfUnit,
  parseShown,
  parseUnit,
  pickUnit,
  unitOf,
  unitText,
} from "../../cli/system/unit-name.ts";
import { refusal } from "../support/refusal.ts";

describe("--cgroup, --unit, --pid", () => {
  test("one of them", () => {
    expect(scopeFlags({})).toEqual({ cgroup: undefined, unit: undefined, user: undefined, pid: undefined });
    expect(scopeFlags({ unit: "nginx", user: "alice" })).toMatchObject({ unit: "nginx", user: "alice" });
    expect(scopeFlags({ pid: "1" })).toMatchObject({ pid: "1" });
  });

  test.each([
    ["cgroup", "unit"],
    ["cgroup", "pid"],
    ["unit", "pid"],
  ])("--%s and --%s exclude each other, and both are named", (a, b) => {
    const error = refusal(() => scopeFlags({ [a]: "1", [b]: "1" }));
    expect([error.code, error.message]).toEqual([2, `--${a} and --${b} exclude each other`]);
  });

  test("--user is for --unit", () => {
    expect(refusal(() => scopeFlags({ user: "alice", pid: "1" })).message).toContain(
      "--user is only for --unit",
    );
  });

  test("each takes a value", () => {
    for (const flag of ["unit", "user", "pid"]) {
      expect(refusal(() => checkArguments([`--${flag}`], scopeArgs, "x")).message).toContain("needs a value");
    }
  });
});

describe("units", () => {
  test.each([
    ["nginx", "nginx.service"],
    ["nginx.service", "nginx.service"],
    ["getty@tty1", "getty@tty1.service"],
    ["web.slice", "web.slice"],
    ["session-3.scope", "session-3.scope"],
    ["-.slice", "-.slice"],
    ["srv-data\\x2dold.mount", "srv-data\\x2dold.mount"],
    ["php8.2-fpm", "php8.2-fpm.service"],
    ["a.b", "a.b.service"],
  ])("%s is %s", (text, unit) => expect(parseUnit(text)).toBe(unit));

  test.each(["", "a b", "a/b", "../x", "nginx*", "n[a]", "ä", ".service", "@x.service", "x".repeat(250)])(
    "%j is none",
    (text) => expect(refusal(() => parseUnit(text))).toMatchObject({ code: 2, value: text }),
  );

  test("a template is told as such, and so are units without processes", () => {
    expect(refusal(() => parseUnit("getty@.service")).message).toContain("is a template");
    expect(refusal(() => parseUnit("getty@")).message).toContain("is a template");
    expect(refusal(() => parseUnit("multi-user.target")).message).toContain("is a target");
    expect(refusal(() => parseUnit("apt-daily.timer")).message).toContain("is a timer");
  });

  test.each([
    ["nginx.service", "nginx.service"],
    ["cpu.service", "_cpu.service"],
    ["memory.slice", "_memory.slice"],
    ["cgroup.service", "_cgroup.service"],
    ["_x.service", "__x.service"],
    ["cpuburn.service", "cpuburn.service"],
    ["tasks.service", "tasks.service"],
    ["bpf-devices.service", "_bpf-devices.service"],
  ])("the cgroup of %s is %s, and back", (unit, name) => {
    expect(cgroupOfUnit(unit)).toBe(name);
    expect(unitOf(`/system.slice/${name}`)).toEqual({ name: unit, uid: null });
  });

  test("a unit of a user's systemd, and the user's systemd itself", () => {
    const path = "/user.slice/user-1000.slice/user@1000.service";
    expect(unitOf(path)).toEqual({ name: "user@1000.service", uid: null });
    expect(unitOf(`${path}/app.slice/firefox.service`)).toEqual({ name: "firefox.service", uid: 1000 });
    expect(unitText(`${path}/app.slice/firefox.service`)).toBe("firefox.service of user 1000");
    expect(unitText("/system.slice/nginx.service")).toBe("nginx.service");
  });

  test.each(["/", "/a", "/system.slice/nginx.service/worker", "/tcpx-run-12", "/x.target", "/a b.service"])(
    "%s is no unit's",
    (path) => expect([unitOf(path), unitText(path)]).toEqual([null, null]),
  );

  test("what systemctl says", () => {
    const text = "LoadState=loaded\nControlGroup=/system.slice/nginx.service\n";
    expect(parseShown(text)).toEqual({ found: true, cgroup: "/system.slice/nginx.service", slice: "" });
    expect(parseShown("ControlGroup=\nLoadState=loaded\nSlice=a-b.slice\n")).toEqual({
      found: true,
      cgroup: "",
      slice: "a-b.slice",
    });
    expect(parseShown("ControlGroup=\nLoadState=not-found\n")).toEqual({
      found: false,
      cgroup: "",
      slice: "",
    });
  });

  test.each([
    ["-.slice", ""],
    ["system.slice", "/system.slice"],
    ["system-getty.slice", "/system.slice/system-getty.slice"],
    ["a-b-c.slice", "/a.slice/a-b.slice/a-b-c.slice"],
    ["user-1000.slice", "/user.slice/user-1000.slice"],
  ])("the cgroup of %s", (slice, cgroup) => {
    expect(cgroupOfSlice(slice)).toBe(cgroup);
  });

  test("the host's own unit, not one of the same name in a container", () => {
    const own = "/system.slice/nginx.service";
    const inside = "/system.slice/docker-12.scope/system.slice/nginx.service";
    expect(pickUnit([inside, own])).toEqual([own]);
    expect(pickUnit([inside])).toEqual([inside]);
    expect(pickUnit([])).toEqual([]);
  });
});

describe("a process's cgroup", () => {
  test("the line of cgroup v2, on a hybrid host, too", () => {
    expect(unifiedPath("0::/system.slice/nginx.service\n")).toBe("/system.slice/nginx.service");
    expect(unifiedPath("9:name=systemd:/a\n4:memory:/b\n0::/c\n")).toBe("/c");
    expect(unifiedPath("0::/../../x\n")).toBe("/../../x");
    expect(unifiedPath("0::/x (deleted)\n")).toBe("/x");
    expect(unifiedPath("4:memory:/b\n")).toBeUndefined();
    expect(unifiedPath("")).toBeUndefined();
  });

  test("mounts with their roots", () => {
    const text = [
      "25 30 0:23 / /sys rw,nosuid - sysfs sysfs rw",
      "26 25 0:24 / /sys/fs/cgroup/unified rw,relatime shared:4 - cgroup2 cgroup2 rw,nsdelegate",
      "27 25 0:24 /../.. /host\\040cgroup rw - cgroup2 none rw",
      "28 25 0:25 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu",
      "",
    ].join("\n");
    expect(cgroupMounts(text)).toEqual([
      { root: "/", path: "/sys/fs/cgroup/unified" },
      { root: "/../..", path: "/host cgroup" },
    ]);
  });

  test.each([
    ["/", "/", "/"],
    ["/", "/a/b", "/a/b"],
    ["/a", "/a", "/"],
    ["/a", "/a/b", "/b"],
    ["/a", "/ab", undefined],
    ["/", "/..", undefined],
    ["/", "/../a", undefined],
    ["/../..", "/../../a", "/a"],
    ["/../..", "/../..", "/"],
    ["/..", "/../../a", undefined],
    // its own place below the mount has no name that we could know
    ["/../..", "/a", undefined],
    ["/", "/..a", "/..a"],
  ])("below a mount of %s, %s is %p", (root, cgroup, below) => {
    expect(belowMount(root, cgroup)).toBe(below);
  });
});

test("of several mounts the one that shows most is the root; of those at one place only the last can be reached", () => {
  const mount = (root: string, path: string) => ({ root, path });
  const paths = (...mounts: [string, string][]) =>
    byDepth(mounts.map(([r, p]) => mount(r, p))).map((m) => `${m.root} ${m.path}`);
  expect(paths(["/box/a", "/mnt"], ["/", "/sys/fs/cgroup"], ["/box", "/opt"])).toEqual([
    "/ /sys/fs/cgroup",
    "/box /opt",
    "/box/a /mnt",
  ]);
  expect(paths(["/", "/own"], ["/../..", "/host"], ["/..", "/parent"])[0]).toBe("/../.. /host");
  expect(paths(["/", "/sys/fs/cgroup"], ["/box", "/sys/fs/cgroup"])).toEqual(["/box /sys/fs/cgroup"]);
  expect(paths(["/", "/first"], ["/", "/second"])[0]).toBe("/ /first");
});
