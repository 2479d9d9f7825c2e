// SPDX-License-Identifier: MIT
// Maps by descriptor, single and in batches.

import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import {
  asRoot,
  CGROUP_SOCK_OPS,
  c,
  dir,
  EBADF,
  EEXIST,
  EINVAL,
  ENOENT,
  load,
  withBpf,
  z,
} from "./bridge.ts";

describe("maps", () => {
  withBpf("update, look up, walk, delete, freeze", () => {
    const fd = c.tcpx_object_map_fd(load(), z("numbers"));
    const [key, value] = [new Uint32Array([5]), new BigUint64Array([55n])];
    expect(c.tcpx_map_lookup(fd, key, value)).toBe(ENOENT);
    expect(c.tcpx_map_update(fd, key, value, 0n)).toBe(0);
    expect(c.tcpx_map_update(fd, key, value, 1n)).toBe(EEXIST);
    value[0] = 0n;
    expect(c.tcpx_map_lookup(fd, key, value)).toBe(0);
    expect(value[0]).toBe(55n);
    const next = new Uint32Array(1);
    expect(c.tcpx_map_next_key(fd, null, next)).toBe(0);
    expect(next[0]).toBe(5);
    expect(c.tcpx_map_next_key(fd, key, next)).toBe(ENOENT);
    expect(c.tcpx_map_delete(fd, key)).toBe(0);
    expect(c.tcpx_map_delete(fd, key)).toBe(ENOENT);
    expect(c.tcpx_map_freeze(fd)).toBe(0);
    expect(c.tcpx_map_update(fd, key, value, 0n)).toBe(-1); // EPERM
  });

  withBpf("batches on a hash, also with flags that a batch refuses", () => {
    const fd = c.tcpx_object_map_fd(load(), z("numbers"));
    const keys = Uint32Array.from({ length: 50 }, (_, i) => i);
    const values = BigUint64Array.from(keys, (k) => BigInt(k) * 3n);
    expect(c.tcpx_map_update_batch(fd, keys, values, 50, 1n)).toBe(0); // BPF_NOEXIST
    expect(c.tcpx_map_update_batch(fd, keys, values, 50, 1n)).toBe(EEXIST);
    expect(c.tcpx_map_update_batch(fd, keys, values, 0, 0n)).toBe(0);
    const [k, v] = [new Uint32Array(64), new BigUint64Array(64)];
    expect(c.tcpx_map_lookup_batch(fd, k, v, 64)).toBe(50);
    expect([...k.subarray(0, 50)].sort((a, b) => a - b)).toEqual([...keys]);
    expect([...k.subarray(0, 50)].every((each, i) => v[i] === BigInt(each) * 3n)).toBe(true);
    expect(c.tcpx_map_lookup_batch(fd, k, v, 10)).toBe(10);
    expect(c.tcpx_map_lookup_batch(fd, k, v, 0)).toBe(0);
    const many = Uint32Array.from({ length: 100 }, (_, i) => i);
    expect(c.tcpx_map_update_batch(fd, many, new BigUint64Array(100), 100, 0n)).toBe(-7); // E2BIG: full
  });

  withBpf("batches on an LPM trie of 1000 prefixes", () => {
    const fd = c.tcpx_object_map_fd(load(), z("prefixes"));
    const keys = Buffer.alloc(8 * 1000);
    const values = new BigUint64Array(1000);
    for (let i = 0; i < 1000; i++) {
      keys.writeUInt32LE(24, i * 8);
      keys.set([10, i >> 8, i & 255, 0], i * 8 + 4);
      values[i] = BigInt(i);
    }
    expect(c.tcpx_map_update_batch(fd, keys, values, 1000, 0n)).toBe(0);
    const [k, v] = [Buffer.alloc(8 * 1001), new BigUint64Array(1001)];
    expect(c.tcpx_map_lookup_batch(fd, k, v, 1001)).toBe(1000);
    expect(new Set(v.subarray(0, 1000)).size).toBe(1000);
    for (let i = 0; i < 1000; i++) expect(k[i * 8 + 5]! * 256 + k[i * 8 + 6]!).toBe(Number(v[i]));
    const one = new BigUint64Array(1);
    expect(c.tcpx_map_lookup(fd, Buffer.from([32, 0, 0, 0, 10, 1, 2, 99]), one)).toBe(0);
    expect(one[0]).toBe(258n);
    expect(c.tcpx_map_update_batch(fd, Buffer.from([33, 0, 0, 0, 1, 1, 1, 1]), one, 1, 0n)).toBe(EINVAL);
  });

  withBpf("batches on a per-CPU array count a slot for every possible CPU", () => {
    const fd = c.tcpx_object_map_fd(load(), z("percpu"));
    const cpus = c.tcpx_possible_cpus();
    expect(cpus).toBeGreaterThan(0);
    const values = BigUint64Array.from({ length: 4 * cpus }, (_, i) => BigInt(i));
    expect(c.tcpx_map_update_batch(fd, new Uint32Array([0, 1, 2, 3]), values, 4, 0n)).toBe(0);
    const [k, v] = [new Uint32Array(4), new BigUint64Array(4 * cpus)];
    expect(c.tcpx_map_lookup_batch(fd, k, v, 4)).toBe(4);
    expect([...k]).toEqual([0, 1, 2, 3]);
    expect([...v]).toEqual([...values]);
  });

  test("refuse bad descriptors and NULL", () => {
    const some = Buffer.alloc(64);
    expect(c.tcpx_map_update(-1, null, some, 0n)).toBe(EINVAL);
    expect(c.tcpx_map_lookup(-1, some, null)).toBe(EINVAL);
    expect(c.tcpx_map_next_key(-1, some, null)).toBe(EINVAL);
    expect(c.tcpx_map_update_batch(-1, null, some, 1, 0n)).toBe(EINVAL);
    expect(c.tcpx_map_info(-1, null)).toBe(EINVAL);
    expect(c.tcpx_prog_info(-1, null)).toBe(EINVAL);
    expect(c.tcpx_link_info(-1, null)).toBe(EINVAL);
    expect(c.tcpx_close(-1)).toBe(EBADF);
  });

  asRoot("-EBADF for descriptors that are none", () => {
    const some = Buffer.alloc(64);
    expect(c.tcpx_map_update(-1, some, some, 0n)).toBe(EBADF);
    expect(c.tcpx_map_lookup(-1, some, some)).toBe(EBADF);
    expect(c.tcpx_map_delete(-1, some)).toBe(EBADF);
    expect(c.tcpx_map_next_key(-1, null, some)).toBe(EBADF);
    expect(c.tcpx_map_update_batch(-1, some, some, 1, 0n)).toBe(EBADF);
    expect(c.tcpx_map_lookup_batch(-1, some, some, 1)).toBe(EBADF);
    expect(c.tcpx_map_freeze(-1)).toBe(EBADF);
    expect(c.tcpx_map_info(-1, some)).toBe(EBADF);
    expect(c.tcpx_prog_info(-1, some)).toBe(EBADF);
    expect(c.tcpx_link_info(-1, some)).toBe(EBADF);
    expect(c.tcpx_link_update(-1, -1)).toBe(EBADF);
    expect(c.tcpx_link_detach(-1)).toBe(EBADF);
    expect(c.tcpx_link_create(-1, -1, CGROUP_SOCK_OPS)).toBe(EBADF);
    expect(c.tcpx_prog_query(-1, CGROUP_SOCK_OPS, 0, null, null, some)).toBe(EBADF);
    expect(c.tcpx_pin(-1, z(join(dir, "x")))).toBeLessThan(0);
    expect(c.tcpx_prog_open(0xffff_fff0)).toBe(ENOENT);
    expect(c.tcpx_sockopt_of(process.pid, -1, 6, 18, some, 4)).toBe(EBADF);
    expect(c.tcpx_sockopt_set(process.pid, -1, 6, 18, some, 4)).toBe(EBADF);
  });
});
