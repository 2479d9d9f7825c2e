// SPDX-License-Identifier: MIT
// The part of the kernel's BTF that an object is relocated with: the same program comes of it, and
// what is not understood is left to libbpf.

import type { Pointer } from "bun:ffi";
import { expect, test } from "bun:test";
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { buildObjects } from "../../scripts/build.ts";
import { run } from "../../scripts/lib/run.ts";
import { buildKernelBtf, fieldsObject } from "../support/build.ts";
import { describeIf } from "../support/requires.ts";
import { c, clang, dir, isRoot, z } from "./bridge.ts";

const KERNEL = "/sys/kernel/btf/vmlinux";
const [ENOENT, EIO, EINVAL, EOPNOTSUPP] = ["all 2", "all 5", "all 22", "all 95"];
const [STRUCT, FUNC] = [4, 12]; // kinds
const mayRun = isRoot && clang !== null && existsSync(KERNEL);
const compiled = mayRun ? await buildObjects() : "";
const kernel = mayRun ? readFileSync(KERNEL) : Buffer.alloc(0);

/** What comes of an object with a whole BTF and with the part: see tests/support/kernel-btf. */
async function relocated(object: string, btf = KERNEL): Promise<string> {
  const path = object.endsWith(".o") ? object : join(compiled, `${object}.bpf.o`);
  return (await run([await buildKernelBtf(), path, btf])).trim();
}

async function relocatedWith(btf: Buffer): Promise<string> {
  const path = join(dir, "btf");
  writeFileSync(path, btf);
  return relocated("tcpx", path);
}

interface Parts {
  header: Buffer;
  types: Buffer;
  strings: Buffer;
}

/** A copy of a BTF, to be changed. */
function parts(btf: Buffer): Parts {
  const at = btf.readUInt32LE(4);
  const cut = (field: number) => {
    const from = at + btf.readUInt32LE(field);
    return Buffer.from(btf.subarray(from, from + btf.readUInt32LE(field + 4)));
  };
  return { header: Buffer.from(btf.subarray(0, at)), types: cut(8), strings: cut(16) };
}

function whole({ header, types, strings }: Parts): Buffer {
  [0, types.length, types.length, strings.length].forEach((n, i) => {
    header.writeUInt32LE(n, 8 + 4 * i);
  });
  return Buffer.concat([header, types, strings]);
}

/** Number and record of the first type of a kind, and of a name. */
function type({ types, strings }: Parts, kind: number, name?: string): { id: number; record: Buffer } {
  const wanted = name && strings.indexOf(`\0${name}\0`) + 1;
  const fixed: Record<number, number> = { 1: 4, 3: 12, 14: 4, 17: 4 };
  const each: Record<number, number> = { 4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12 };
  for (let at = 0, id = 1; at < types.length; id++) {
    const info = types.readUInt32LE(at + 4);
    const [itsKind, count] = [(info >> 24) & 0x1f, info & 0xffff];
    const size = 12 + (fixed[itsKind] ?? 0) + count * (each[itsKind] ?? 0);
    if (itsKind === kind && (!name || types.readUInt32LE(at) === wanted)) {
      return { id, record: types.subarray(at, at + size) };
    }
    at += size;
  }
  throw new Error(`no type of kind ${kind} ${name}`);
}

const struct = (btf: Parts, name: string) => type(btf, STRUCT, name).record;

/** Another type, or another name, for the first member. */
const otherType = (record: Buffer, id: number) => record.writeUInt32LE(id, 16);
const otherName = (record: Buffer, at: number) => record.writeUInt32LE(at, 12);

/** What it is, what comes of it, and how it is made. */
const STRANGE: [string, string, (btf: Parts) => void][] = [
  ["another byte order", EINVAL, ({ header }) => header.writeUInt16BE(0xeb9f, 0)],
  ["another version", EINVAL, ({ header }) => header.writeUInt8(2, 2)],
  ["flags", EINVAL, ({ header }) => header.writeUInt8(1, 3)],
  ["an unknown kind", EINVAL, ({ types }) => types.writeUInt8(31, 7)],
  ["strings without an end", EINVAL, ({ strings }) => strings.write("x", strings.length - 1)],
  ["a type that is not there", EINVAL, (btf) => otherType(struct(btf, "tcp_sock"), 1 << 30)],
  ["a name that is not there", EINVAL, (btf) => otherName(struct(btf, "tcp_sock"), 1 << 30)],
  ["a function as a member", EOPNOTSUPP, (btf) => otherType(struct(btf, "tcp_sock"), type(btf, FUNC).id)],
  ["no type of a name", ENOENT, ({ strings }) => strings.write("x", strings.indexOf("\0tcp_sock\0") + 8)],
  [
    "a record that is cut off",
    EINVAL,
    (btf) => {
      btf.types = btf.types.subarray(0, -4);
    },
  ],
  [
    "a flavor of a name",
    EOPNOTSUPP,
    (btf) => {
      struct(btf, "sk_buff").writeUInt32LE(btf.strings.length, 0);
      btf.strings = Buffer.concat([btf.strings, z("tcp_sock___odd")]);
    },
  ],
];

/** How many such parts this process has. */
function memfds(): number {
  const links = readdirSync("/proc/self/fd").map((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`);
    } catch {
      return ""; // that of the directory itself
    }
  });
  return links.filter((link) => link.startsWith("/memfd:kernel-btf")).length;
}

describeIf(mayRun, "root, clang and the kernel's BTF")("a part of the kernel's BTF", () => {
  test.each(["tcpx", "ack", "list", "live"])("makes the same programs of %s", async (object) => {
    const [verdict, result, instructions, bytes] = (await relocated(object)).split(" ");
    expect([verdict, result]).toEqual(["same", "0"]);
    expect(Number(instructions)).toBeGreaterThan(500);
    expect(Number(bytes)).toBeLessThan(200_000);
  });

  test("says the same of fields of any shape", async () => {
    expect(await relocated(await fieldsObject())).toStartWith("same 0 ");
  });

  test("is not made where there is nothing to relocate", async () => {
    expect(await relocated("site")).toBe(ENOENT);
  });

  test("has all types of a name", async () => {
    const btf = parts(kernel);
    const again = Buffer.from(struct(btf, "tcp_sock"));
    const types = btf.types;
    btf.types = Buffer.concat([types, again]);
    expect(await relocatedWith(whole(btf))).toStartWith("same 0 ");
    for (let at = 12; at < again.length; at += 12)
      again.writeUInt32LE(again.readUInt32LE(at + 8) + 64, at + 8);
    btf.types = Buffer.concat([types, again]);
    expect(await relocatedWith(whole(btf))).toStartWith("same -22 "); // which of them?
  });

  test.each(STRANGE)("is not made of a BTF with %s", async (_, verdict, change) => {
    const btf = parts(kernel);
    change(btf);
    expect(await relocatedWith(whole(btf))).toBe(verdict);
  });

  test("is not made of a file that ends early or is not there", async () => {
    expect(await relocatedWith(kernel.subarray(0, kernel.length >> 1))).toBe(EINVAL);
    expect(await relocatedWith(kernel.subarray(0, 20))).toBe(EINVAL);
    expect(await relocatedWith(Buffer.alloc(0))).toBe(EIO);
    expect(await relocated("tcpx", join(dir, "nothing"))).toBe(ENOENT);
  });

  test("is there from opening an object to loading or closing it", () => {
    const open = (name: string) => {
      const bytes = readFileSync(join(compiled, `${name}.bpf.o`));
      const out = new BigUint64Array(1);
      expect(c.tcpx_object_open(bytes, bytes.length, z(name), out)).toBe(0);
      return Number(out[0]) as Pointer;
    };
    const before = memfds();
    const [site, tcpx, unused] = [open("site"), open("tcpx"), open("tcpx")];
    expect(memfds()).toBe(before + 2);
    expect(c.tcpx_object_load(tcpx!)).toBe(0);
    expect(memfds()).toBe(before + 1);
    for (const object of [unused, tcpx, site]) c.tcpx_object_close(object!);
    expect(memfds()).toBe(before);
  });
});
