// SPDX-License-Identifier: MIT
// C structs by the generated layout.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { structs } from "../../cli/layout/layout.generated.ts";
import {
  bytesGetter,
  decode,
  encode,
  encodeAll,
  getter,
  type StructName,
  sizeOf,
} from "../../cli/layout/struct.ts";

interface Field {
  readonly offset: number;
  readonly type: string;
  readonly dims?: readonly number[];
}

const NAMES = Object.keys(structs) as StructName[];
const fieldsOf = (name: StructName): [string, Field][] => Object.entries(structs[name].fields);
const SCALARS: Record<string, fc.Arbitrary<unknown>> = {
  u8: fc.nat(0xff),
  u16: fc.nat(0xffff),
  u32: fc.integer({ min: 0, max: 0xffff_ffff }),
  s32: fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 }),
  u64: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
};
const WIDTHS: Record<string, number> = { u8: 1, u16: 2, u32: 4, s32: 4, u64: 8, char: 1 };

/** Text that a C string can hold: no NUL, no byte order mark, within so many bytes. */
const text = (bytes: number) =>
  fc
    .string({ unit: "grapheme", maxLength: Math.min(bytes, 60) })
    .filter((s) => Buffer.byteLength(s) <= bytes && !/[\0\uFEFF]/.test(s));

function value({ type, dims = [] }: Field): fc.Arbitrary<unknown> {
  const [count, ...inner] = dims;
  if (count === undefined) return SCALARS[type] ?? struct(type as StructName);
  if (type === "char") return text(count);
  if (type === "u8" && inner.length === 0) return fc.uint8Array({ minLength: count, maxLength: count });
  return fc.array(value({ offset: 0, type, dims: inner }), { minLength: count, maxLength: count });
}

function struct(name: StructName): fc.Arbitrary<Record<string, unknown>> {
  return fc.record(Object.fromEntries(fieldsOf(name).map(([key, field]) => [key, value(field)])));
}

describe("round trips", () => {
  test.each(NAMES)("%s", (name) => {
    fc.assert(
      fc.property(struct(name), (wanted) => {
        const bytes = encode(name, wanted);
        expect(bytes).toHaveLength(structs[name].size);
        expect(decode(name, bytes)).toEqual(wanted as never);
      }),
    );
  });

  test("several structs back to back, and one out of the middle of a buffer", () => {
    fc.assert(
      fc.property(fc.array(struct("tcpx_rule_record"), { minLength: 1, maxLength: 5 }), (all) => {
        const bytes = encodeAll("tcpx_rule_record", all);
        const shifted = new Uint8Array([1, 2, 3, ...bytes]).subarray(3);
        for (const [i, wanted] of all.entries()) {
          expect(decode("tcpx_rule_record", bytes, i * sizeOf("tcpx_rule_record"))).toEqual(wanted as never);
          expect(decode("tcpx_rule_record", shifted, i * sizeOf("tcpx_rule_record"))).toEqual(
            wanted as never,
          );
        }
      }),
    );
    expect(encodeAll("tcpx_rule", [])).toHaveLength(0);
  });

  test("a field by itself is what it is in the whole struct", () => {
    const read = {
      port: getter("tcpx_rule_record", "port"),
      second: getter("tcpx_rule_record", "value", 1),
      cookie: getter("tcpx_rule_record", "netns_cookie"),
      address: bytesGetter("tcpx_rule_record", "address"),
    };
    fc.assert(
      fc.property(fc.array(struct("tcpx_rule_record"), { minLength: 1, maxLength: 5 }), (all) => {
        const bytes = encodeAll("tcpx_rule_record", all);
        const view = new DataView(bytes.buffer);
        for (let at = 0; at < bytes.length; at += sizeOf("tcpx_rule_record")) {
          const { port, value, netns_cookie, address } = decode("tcpx_rule_record", bytes, at);
          expect(read.port(view, at)).toBe(port);
          expect(read.second(view, at)).toBe(value[1]!);
          expect(read.cookie(view, at)).toBe(netns_cookie);
          expect(read.address(bytes, at)).toEqual(address);
        }
      }),
    );
  });
});

describe("the layout", () => {
  test.each(NAMES)("fields of %s lie side by side, aligned, within its size", (name) => {
    const ranges = fieldsOf(name).map(([, { offset, type, dims = [] }]) => {
      const width = WIDTHS[type] ?? sizeOf(type as StructName);
      if (WIDTHS[type]) expect(offset % width).toBe(0);
      return [offset, offset + dims.reduce((product, n) => product * n, width)] as const;
    });
    for (const [i, [start]] of ranges.entries()) {
      expect(start).toBeGreaterThanOrEqual(ranges[i - 1]?.[1] ?? 0);
    }
    expect(ranges.at(-1)![1]).toBeLessThanOrEqual(sizeOf(name));
  });

  test("multi-byte numbers are the machine's, which is little endian on what tcpx supports", () => {
    const head = { flags: 1, prefix: 2, reserved: new Uint8Array([4, 3]), id: 0x0a0b0c0d };
    const bytes = encode("tcpx_rule", { ...head, value: [0x05060708, 9] });
    expect(bytes.subarray(0, 16).toHex()).toBe("010204030d0c0b0a0807060509000000");
    expect(encode("tcpx_config", { scope: 0x0102030405060708n }).subarray(8, 16).toHex()).toBe(
      "0807060504030201",
    );
  });

  test("nested arrays are in row order", () => {
    const { offset, dims } = structs.tcpx_config.fields.exids;
    const exids = Array.from({ length: dims[0] }, (_, ext) => [1, 2, 3].map((role) => ext * 16 + role));
    const bytes = encode("tcpx_config", { exids });
    expect([0, 2, 4, 6].map((at) => bytes[offset + at])).toEqual([1, 2, 3, 17]);
    expect(decode("tcpx_config", bytes).exids).toEqual(exids);
  });
});

describe("encode", () => {
  test("what is left out is zero", () => {
    expect(encode("tcpx_config", {}).every((byte) => byte === 0)).toBe(true);
    expect(decode("tcpx_config", encode("tcpx_config", { layout: 1 }))).toMatchObject({
      layout: 1,
      scope: 0n,
      version: "",
      cgroup: "",
    });
    expect(encode("tcpx_config", { exids: [] })).toHaveLength(sizeOf("tcpx_config"));
  });

  test("a string ends at its NUL, or at the end of its field", () => {
    const full = "v".repeat(32);
    expect(decode("tcpx_config", encode("tcpx_config", { version: full })).version).toBe(full);
    expect(decode("tcpx_config", encode("tcpx_config", { version: "1.0\0rest" })).version).toBe("1.0");
  });

  test("a string that is too long is refused, in bytes and not in characters", () => {
    for (const version of ["v".repeat(33), "é".repeat(17), "🙂".repeat(9)]) {
      expect(() => encode("tcpx_config", { version })).toThrow(RangeError);
    }
    expect(() => encode("tcpx_config", { cgroup: `/${"c".repeat(4024)}` })).toThrow(
      "4025 bytes do not fit into 4024",
    );
  });

  test("bytes that are too many are refused", () => {
    expect(() => encode("tcpx_policy_key", { address: new Uint8Array(17) })).toThrow(RangeError);
  });

  test("an array that is too long is refused, and does not reach the fields behind it", () => {
    expect(() => encode("tcpx_rule_record", { value: [1, 2, 3] })).toThrow(RangeError);
  });
});

describe("decode", () => {
  test("a buffer that is too short is refused", () => {
    expect(() => decode("tcpx_rule", new Uint8Array(15))).toThrow(RangeError);
    expect(() => decode("tcpx_rule", new Uint8Array(16), 1)).toThrow(RangeError);
  });

  test("what was decoded does not change with the buffer", () => {
    const bytes = encode("tcpx_policy_key", { address: new Uint8Array(16).fill(7) });
    const { address } = decode("tcpx_policy_key", bytes);
    bytes.fill(0);
    expect(address).toEqual(new Uint8Array(16).fill(7));
  });
});
