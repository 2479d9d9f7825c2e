// SPDX-License-Identifier: MIT
// The file itself, the log, and BPF objects.

import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { c, EBADF, EBUSY, EINVAL, ENOENT, load, open, SYMBOLS, so, takeLog, withBpf, z } from "./bridge.ts";

describe("the file", () => {
  const tool = (...argv: string[]) => Bun.spawnSync(argv).stdout.toString();

  test("exports the functions of the ABI and nothing else", () => {
    const names = tool("nm", "-D", "--defined-only", "--format=posix", so).trim().split("\n");
    expect(names.map((line) => line.split(" ")[0]!).sort()).toEqual(Object.keys(SYMBOLS).sort());
  });

  test("takes only allowed symbols of the C library, by no version", () => {
    const folder = join(import.meta.dir, "../../native-loader");
    const lists = ["", "agent"].map((dir) =>
      readFileSync(join(folder, dir, "undefined-symbols.txt"), "utf8"),
    );
    const allowed = new Set(lists.join("\n").split("\n"));
    const used = tool("nm", "-D", "--undefined-only", "--format=posix", so).trim().split("\n");
    expect(used.map((line) => line.split(" ")[0]!).filter((name) => !allowed.has(name))).toEqual([]);
  });

  test("needs no library, binds at once, has no text relocations and no build paths", () => {
    const dynamic = tool("readelf", "-dW", so);
    expect(dynamic).not.toMatch(/NEEDED|VERNEED|TEXTREL|RPATH|RUNPATH/);
    expect(dynamic).toContain("BIND_NOW");
    expect(tool("readelf", "-lW", so)).toMatch(/GNU_STACK .* RW /);
    expect(readFileSync(so).includes(import.meta.dir.replace("/tests/native", ""))).toBe(false);
  });

  test("knows its versions", () => {
    expect(c.tcpx_abi()).toBe(1);
    expect(String(c.tcpx_libbpf_version())).toMatch(/^v1\.\d+$/);
  });
});

describe("the log", () => {
  const garbage = Buffer.alloc(256, 0xab);
  const openGarbage = () => {
    const out = new BigUint64Array(1);
    const result = c.tcpx_object_open(garbage, garbage.length, z("garbage"), out);
    expect(out[0]).toBe(0n);
    return result;
  };

  test("keeps what the level allows; taking moves the text out", () => {
    c.tcpx_log_level(-1);
    takeLog();
    expect(openGarbage()).toBeLessThan(0);
    expect(takeLog()).toBe("");
    c.tcpx_log_level(0);
    expect(openGarbage()).toBeLessThan(0);
    const first = Buffer.alloc(7);
    expect(c.tcpx_log_take(first, 7)).toBe(7);
    const rest = takeLog();
    expect(first.toString() + rest).toStartWith("libbpf: ");
    expect(rest).toContain("garbage");
    expect(takeLog()).toBe("");
    c.tcpx_log_level(2);
    expect(openGarbage()).toBeLessThan(0);
    expect(takeLog().length).toBeGreaterThan(first.length + rest.length);
    c.tcpx_log_level(0);
  });

  test("drops the oldest text when nobody takes it", () => {
    const out = new BigUint64Array(1);
    for (let i = 0; i < 30_000; i++) c.tcpx_object_open(garbage, garbage.length, z("garbage"), out);
    const text = takeLog();
    expect(text.length).toBe(1 << 20);
    expect(text).toEndWith("\n");
  });

  withBpf("has the verifier's reason when a program does not load", () => {
    const object = open();
    expect(c.tcpx_object_autoload(object, z("broken"), 1)).toBe(0);
    expect(c.tcpx_object_load(object)).toBeLessThan(0);
    expect(takeLog()).toContain("BEGIN PROG LOAD LOG");
  });
});

describe("objects", () => {
  withBpf("are configured before they are loaded", () => {
    const object = open();
    expect(c.tcpx_object_map_fd(object, z("numbers"))).toBe(EBADF);
    expect(c.tcpx_object_map_fd(object, z("nothing"))).toBe(ENOENT);
    expect(c.tcpx_object_prog_fd(object, z("nothing"))).toBe(ENOENT);
    expect(c.tcpx_object_max_entries(object, z("numbers"), 128)).toBe(0);
    expect(c.tcpx_object_max_entries(object, z("nothing"), 128)).toBe(ENOENT);
    expect(c.tcpx_object_rodata(object, new Uint32Array([42]), 4)).toBe(0);
    expect(c.tcpx_object_rodata(object, new Uint32Array([42, 43]), 8)).toBe(EINVAL);
    expect(c.tcpx_object_autoload(object, null, 0)).toBe(0);
    expect(c.tcpx_object_autoload(object, z("probe"), 1)).toBe(0);
    expect(c.tcpx_object_load(object)).toBe(0);
    expect(c.tcpx_object_prog_fd(object, z("other"))).toBeLessThan(0);

    const info = Buffer.alloc(40);
    expect(c.tcpx_map_info(c.tcpx_object_map_fd(object, z("numbers")), info)).toBe(0);
    expect([4, 8, 12, 16].map((at) => info.readUInt32LE(at))).toEqual([1, 4, 8, 128]);
    expect(info.toString("latin1", 24, 40)).toStartWith("numbers\0");
    const value = new Uint32Array(1);
    expect(c.tcpx_map_lookup(c.tcpx_object_map_fd(object, z(".rodata")), new Uint32Array(1), value)).toBe(0);
    expect(value[0]).toBe(42);
  });

  withBpf("have values of the size that a map is given, which are read and written whole", () => {
    const object = open();
    expect(c.tcpx_object_value_size(object, z("numbers"), 24)).toBe(0);
    expect(c.tcpx_object_value_size(object, z("nothing"), 24)).toBe(ENOENT);
    expect(c.tcpx_object_value_size(null, z("numbers"), 24)).toBe(EINVAL);
    expect(c.tcpx_object_value_size(object, null, 24)).toBe(EINVAL);
    expect(c.tcpx_object_load(object)).toBe(0);
    expect(c.tcpx_object_value_size(object, z("numbers"), 32)).toBe(EBUSY);

    const [numbers, info] = [c.tcpx_object_map_fd(object, z("numbers")), Buffer.alloc(40)];
    expect(c.tcpx_map_info(numbers, info)).toBe(0);
    expect([4, 8, 12, 16].map((at) => info.readUInt32LE(at))).toEqual([1, 4, 24, 64]);
    const keys = new Uint32Array([5, 6]);
    const values = new BigUint64Array([1n, 2n, 3n, 4n, 5n, 6n]);
    expect(c.tcpx_map_update_batch(numbers, keys, values, 2, 0n)).toBe(0);
    const value = new BigUint64Array(4);
    expect(c.tcpx_map_lookup(numbers, keys.subarray(1), value)).toBe(0);
    expect([...value]).toEqual([4n, 5n, 6n, 0n]);
  });

  withBpf("share a map with an earlier object", () => {
    const fd = c.tcpx_object_map_fd(load(), z("numbers"));
    const second = open();
    expect(c.tcpx_object_reuse_map(second, z("numbers"), fd)).toBe(0);
    expect(c.tcpx_object_reuse_map(second, z("nothing"), fd)).toBe(ENOENT);
    expect(c.tcpx_object_load(second)).toBe(0);
    const ids = [fd, c.tcpx_object_map_fd(second, z("numbers"))].map((each) => {
      const info = Buffer.alloc(40);
      expect(c.tcpx_map_info(each, info)).toBe(0);
      return info.readUInt32LE(0);
    });
    expect(ids[0]).toBe(ids[1]!);
  });

  test("refuse NULL and do not crash on it", () => {
    const out = new BigUint64Array(1);
    expect(c.tcpx_object_open(null, 10n, z("x"), out)).toBe(EINVAL);
    expect(c.tcpx_object_open(z("abc"), 0n, z("x"), out)).toBe(EINVAL);
    expect(c.tcpx_object_open(z("abc"), 3n, null, out)).toBe(EINVAL);
    expect(c.tcpx_object_open(z("abc"), 3n, z("x"), null)).toBe(EINVAL);
    expect(c.tcpx_object_load(null)).toBe(EINVAL);
    expect(c.tcpx_object_autoload(null, null, 1)).toBe(EINVAL);
    expect(c.tcpx_object_map_fd(null, z("x"))).toBe(EINVAL);
    expect(c.tcpx_object_prog_fd(null, z("x"))).toBe(EINVAL);
    expect(c.tcpx_object_rodata(null, z("x"), 1n)).toBe(EINVAL);
    c.tcpx_object_close(null);
    for (const call of [c.tcpx_get, c.tcpx_netns_cookie, c.tcpx_netns_enter, c.tcpx_capabilities]) {
      expect(call(null)).toBe(EINVAL);
    }
    for (const call of [c.tcpx_flock, c.tcpx_log_take]) expect(call(null, 1)).toBe(EINVAL);
    for (const call of [c.tcpx_mount_bpffs, c.tcpx_umount]) expect(call(null, null)).toBe(EINVAL);
    expect(c.tcpx_packet_socket(null)).toBe(EINVAL);
    expect(c.tcpx_fs_type(null, null)).toBe(EINVAL);
    expect(c.tcpx_cgroup_path(null, 1n, null, 0)).toBe(EINVAL);
  });
});
