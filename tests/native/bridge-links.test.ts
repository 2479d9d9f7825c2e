// SPDX-License-Identifier: MIT
// Cgroup links, pins, and the file system that holds them.

import { describe, expect } from "bun:test";
import { mkdirSync, readFileSync, rmdirSync, statSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { testIf } from "../support/requires.ts";
import {
  CGROUP_SOCK_OPS,
  c,
  childArgv,
  dir,
  EINVAL,
  ENOENT,
  isRoot,
  load,
  mayLoad,
  withBpf,
  z,
} from "./bridge.ts";

const BPFFS_MAGIC = 0xcafe4a11n;

describe("links and pins", () => {
  const cgroup2 = readFileSync("/proc/self/mounts", "utf8").match(/^\S+ (\S+) cgroup2 /m)?.[1];

  testIf(mayLoad && cgroup2 !== undefined, "root, clang and cgroup2")(
    "a cgroup link lives, changes and is found",
    () => {
      const object = load();
      const group = join(cgroup2!, `tcpx-bridge-test-${process.pid}`);
      mkdirSync(group);
      const [groupFd, probe, other] = [
        c.tcpx_flock(z(group), 1), // any descriptor of the directory will do
        c.tcpx_object_prog_fd(object, z("probe")),
        c.tcpx_object_prog_fd(object, z("other")),
      ];
      const progId = (fd: number) => {
        const info = Buffer.alloc(48);
        expect(c.tcpx_prog_info(fd, info)).toBe(0);
        expect(info.readUInt32LE(4)).toBe(13); // BPF_PROG_TYPE_SOCK_OPS
        expect(info.toString("latin1", 24, 40)).toMatch(/^(probe|other)\0/);
        return info.readUInt32LE(0);
      };
      const link = c.tcpx_link_create(probe, groupFd, CGROUP_SOCK_OPS);
      try {
        expect(link).toBeGreaterThan(0);
        const info = Buffer.alloc(24);
        expect(c.tcpx_link_info(link, info)).toBe(0);
        expect(info.readUInt32LE(4)).toBe(progId(probe));
        expect(info.readBigUInt64LE(8)).toBe(BigInt(statSync(group).ino));
        expect(info.readUInt32LE(20)).toBe(CGROUP_SOCK_OPS);

        const [ids, count, flags] = [new Uint32Array(8), new Uint32Array([8]), new Uint32Array(1)];
        expect(c.tcpx_prog_query(groupFd, CGROUP_SOCK_OPS, 0, flags, ids, count)).toBe(0);
        expect([count[0], ids[0]]).toEqual([1, progId(probe)]);
        expect(c.tcpx_link_update(link, other)).toBe(0);
        count[0] = 8;
        expect(c.tcpx_prog_query(groupFd, CGROUP_SOCK_OPS, 0, null, ids, count)).toBe(0);
        expect([count[0], ids[0]]).toEqual([1, progId(other)]);

        const again = c.tcpx_prog_open(progId(other));
        expect(progId(again)).toBe(progId(other));
        expect(c.tcpx_close(again)).toBe(0);
      } finally {
        if (link >= 0) c.tcpx_close(link);
        c.tcpx_close(groupFd);
        rmdirSync(group);
      }
    },
  );

  testIf(isRoot && cgroup2 !== undefined, "root and cgroup2")(
    "a cgroup is found by its id, or is known to be gone",
    () => {
      const group = join(cgroup2!, `tcpx-bridge-test-${process.pid}`);
      const inner = join(group, "a b");
      mkdirSync(inner, { recursive: true });
      const out = new Uint8Array(256);
      const find = (root: string, id: bigint) => {
        const length = c.tcpx_cgroup_path(z(root), id, out, out.length);
        return length < 0 ? length : new TextDecoder().decode(out.subarray(0, length));
      };
      const [id, innerId] = [group, inner].map((path) => statSync(path, { bigint: true }).ino) as [
        bigint,
        bigint,
      ];
      try {
        expect(find(cgroup2!, innerId)).toBe(inner.slice(cgroup2!.length));
        expect(find(group, innerId)).toBe("/a b");
        expect(find(group, id)).toBe("/");
        expect(find(join(cgroup2!, "nowhere"), id)).toBe(ENOENT);
        expect(c.tcpx_cgroup_path(z(group), innerId, out, 4)).toBe(-constants.errno.ENAMETOOLONG);
        rmdirSync(inner);
        expect(find(cgroup2!, innerId)).toBe(-constants.errno.ESTALE);
      } finally {
        for (const path of [inner, group]) if (statSync(path, { throwIfNoEntry: false })) rmdirSync(path);
      }
    },
  );

  withBpf("a bpf file system holds a pin", () => {
    const path = join(dir, "bpffs");
    mkdirSync(path);
    const magic = new BigUint64Array(1);
    expect(c.tcpx_fs_type(z(path), magic)).toBe(0);
    expect(magic[0]).not.toBe(BPFFS_MAGIC);
    expect(c.tcpx_mount_bpffs(z(path), null)).toBe(0);
    try {
      expect(c.tcpx_fs_type(z(path), magic)).toBe(0);
      expect(magic[0]).toBe(BPFFS_MAGIC);
      const mounts = readFileSync("/proc/self/mounts", "utf8").split("\n");
      const options = /^tcpx \S+ bpf rw,nosuid,nodev,noexec,relatime,(uid=0,|gid=0,)*mode=700/;
      expect(mounts.find((line) => line.includes(` ${path} `))).toMatch(options);
      const pin = z(join(path, "numbers"));
      expect(c.tcpx_pin(c.tcpx_object_map_fd(load(), z("numbers")), pin)).toBe(0);
      const fd = c.tcpx_get(pin);
      expect(fd).toBeGreaterThan(0);
      expect(c.tcpx_close(fd)).toBe(0);
      expect(c.tcpx_get(z(join(path, "nothing")))).toBe(ENOENT);
    } finally {
      expect(c.tcpx_umount(z(path), null)).toBe(0);
    }
    expect(c.tcpx_umount(z(path), null)).toBe(EINVAL);
    expect(c.tcpx_mount_bpffs(z(join(path, "nowhere")), null)).toBe(ENOENT);
  });

  const unshare = Bun.which("unshare");
  testIf(isRoot && unshare !== null, "root and unshare(1)")(
    "mounts where process 1 lives, not here",
    async () => {
      const path = join(dir, "init-bpffs");
      mkdirSync(path);
      const script = `
      const mounted = (file) => require("node:fs").readFileSync(file, "utf8").includes(${JSON.stringify(` ${path} bpf `)});
      const path = z(${JSON.stringify(path)}), init = z("/proc/1/ns/mnt");
      const seen = [c.tcpx_mount_bpffs(path, init), mounted("/proc/1/mounts"), mounted("/proc/self/mounts")];
      seen.push(c.tcpx_mount_bpffs(z("/nowhere"), init), c.tcpx_umount(path, init), mounted("/proc/1/mounts"), c.tcpx_umount(path, init));
      console.log(JSON.stringify(seen));`;
      // A process 1 of our own, and a bun in a mount namespace beside it.
      const inner = [unshare!, "--mount", ...childArgv(script)];
      const outer = [
        unshare!,
        "--fork",
        "--pid",
        "--mount-proc",
        "sh",
        "-c",
        '"$@"; exit $?',
        "sh",
        ...inner,
      ];
      const out = await new Response(Bun.spawn(outer, { stdout: "pipe", stderr: "inherit" }).stdout).text();
      expect(JSON.parse(out)).toEqual([0, true, false, ENOENT, 0, false, EINVAL]);
    },
  );
});
