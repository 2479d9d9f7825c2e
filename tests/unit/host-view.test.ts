// SPDX-License-Identifier: MIT
// What is read off a host: kernel versions, and mounts as one of its views has them.
import { describe, expect, test } from "bun:test";
import { mkdtempSync, readlinkSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { atLeast } from "../../cli/doctor/host-checks.ts";
import { hostView, isDirectory, mountsOf, viewpoints } from "../../cli/system/viewpoint.ts";

describe("atLeast", () => {
  test.each([
    ["5.10.0-30-cloud-amd64", true],
    ["5.10.0", true],
    ["5.10", true],
    ["5.10-rc1", true],
    ["5.10+", true],
    ["5.100.0", true],
    ["6.1.0-37-amd64", true],
    ["6.0", true],
    ["7", true],
    ["10.2.0", true],
    ["5.9.16", false],
    ["5.9", false],
    ["5.1", false],
    ["5", false],
    ["4.19.0-27-amd64", false],
    ["4.99", false],
    ["", false],
    ["linux", false],
  ])("%j is 5.10 or later: %p", (version, ok) => expect(atLeast(version, [5, 10])).toBe(ok));

  test("the other threshold of the checks", () => {
    expect(atLeast("5.14.0-427.el9.x86_64", [5, 15])).toBe(false);
    expect(atLeast("5.15.167.4-microsoft-standard-WSL2", [5, 15])).toBe(true);
    expect(atLeast("6.0.0", [5, 15])).toBe(true);
  });
});

describe("views of the file system", () => {
  test("our own is the first, and no mount namespace is there twice", () => {
    const [own, ...others] = viewpoints();
    expect(own).toEqual({ root: "", mntNs: null, mounts: "/proc/self/mounts" });
    const namespaces = others.map(({ mntNs }) => readlinkSync(mntNs!));
    expect(namespaces).not.toContain(readlinkSync("/proc/self/ns/mnt"));
    expect(new Set(namespaces).size).toBe(namespaces.length);
    for (const { root, mounts } of others) expect(mounts).toBe(root.replace(/root$/, "mounts"));
    expect(viewpoints()).toBe(viewpoints());
  });

  test("the host's is one of them, or out of reach", () => {
    const view = hostView();
    if (view) expect(viewpoints()).toContainEqual(view);
  });

  test("mounts: source, path and type; a blank in a path is one", () => {
    const dir = mkdtempSync(join(tmpdir(), "tcpx-mounts-"));
    try {
      const mounts = join(dir, "mounts");
      writeFileSync(
        mounts,
        "cgroup2 /sys/fs/cgroup cgroup2 rw,nsdelegate 0 0\nnone /mnt/my\\040own\\040bpf bpf rw 0 0\n",
      );
      expect(mountsOf({ root: "", mntNs: null, mounts })).toEqual([
        { source: "cgroup2", path: "/sys/fs/cgroup", type: "cgroup2" },
        { source: "none", path: "/mnt/my own bpf", type: "bpf" },
      ]);
    } finally {
      rmSync(dir, { recursive: true });
    }
  });

  test("a view that has gone has no mounts, and what is not there is no directory", () => {
    expect(mountsOf({ root: "/proc/0/root", mntNs: null, mounts: "/proc/0/mounts" })).toEqual([]);
    expect(isDirectory("/proc/self/")).toBe(true);
    expect(isDirectory("/proc/self/mounts")).toBe(false);
    expect(isDirectory("/proc/0")).toBe(false);
  });
});
