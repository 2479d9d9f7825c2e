// SPDX-License-Identifier: MIT
// Addresses and prefixes: text to bytes and back. node:net judges what an address is.
import { describe, expect, test } from "bun:test";
import { isIP } from "node:net";
import fc from "fast-check";
import { formatCidr, parseCidr } from "../../cli/policy/selector.ts";

type Cidr = ReturnType<typeof parseCidr>;

const parse = (text: string) => parseCidr(text, "--to");
const format = (cidr: Cidr) => formatCidr({ direction: "to", port: 0, ...cidr });
const hex = (text: string) => parse(text).address.toHex();

const MAPPED = "00000000000000000000ffff";
const octet = fc.nat(255);
const quad = fc.tuple(octet, octet, octet, octet).map((bytes) => bytes.join("."));

/** Clears everything behind the first `bits`. */
function network(bytes: number[], bits: number): number[] {
  return bytes.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, bits - i * 8))));
}

const v4 = fc.tuple(octet, octet, octet, octet, fc.nat(32)).map(([a, b, c, d, prefix]) => {
  const bytes = network([a, b, c, d], prefix);
  return { bytes, prefix, text: `${bytes.join(".")}/${prefix}` };
});

const group = fc.oneof(fc.constant(0), fc.nat(0xffff));
const groups = fc.array(group, { minLength: 8, maxLength: 8 });

/** One of the many spellings of an IPv6 address: case, leading zeros, where :: stands. */
const spelled = fc.tuple(groups, fc.boolean(), fc.boolean(), fc.nat(7), fc.nat(8)).map(([values, ...how]) => {
  const [upper, padded, at, length] = how;
  const words = values.map((n) => n.toString(16).padStart(padded ? 4 : 1, "0"));
  const run = values.slice(at, at + length);
  const zeros = run.length > 0 && run.every((n) => n === 0);
  const text = zeros
    ? `${words.slice(0, at).join(":")}::${words.slice(at + run.length).join(":")}`
    : words.join(":");
  const bytes = values.flatMap((n) => [n >> 8, n & 0xff]);
  return { text: upper ? text.toUpperCase() : text, bytes };
});

describe("parseCidr", () => {
  test("IPv4: what is written is what is meant", () => {
    fc.assert(
      fc.property(v4, ({ bytes, prefix, text }) => {
        const cidr = parse(text);
        expect(cidr).toMatchObject({ family: 4, prefix });
        expect(cidr.address.toHex()).toBe(MAPPED + new Uint8Array(bytes).toHex());
        expect(parse(format(cidr))).toEqual(cidr);
      }),
    );
  });

  test("IPv6: every spelling", () => {
    fc.assert(
      fc.property(spelled, ({ text, bytes }) => {
        const cidr = parse(text);
        expect(cidr.address.toHex()).toBe(new Uint8Array(bytes).toHex());
        expect(parse(format(cidr))).toEqual(cidr);
      }),
      { numRuns: 500 },
    );
  });

  test("IPv6 prefixes survive printing and parsing", () => {
    fc.assert(
      fc.property(groups, fc.nat(128), (values, prefix) => {
        const bytes = network(
          values.flatMap((n) => [n >> 8, n & 0xff]),
          prefix,
        );
        const words = bytes.flatMap((byte, i) => (i % 2 ? [] : [((byte << 8) | bytes[i + 1]!).toString(16)]));
        const cidr = parse(`${words.join(":")}/${prefix}`);
        expect(cidr.address.toHex()).toBe(new Uint8Array(bytes).toHex());
        expect(parse(format(cidr))).toEqual(cidr);
      }),
    );
  });

  test("the mapped form is IPv4", () => {
    fc.assert(
      fc.property(v4, ({ bytes, prefix, text }) => {
        const hexTail = `${((bytes[0]! << 8) | bytes[1]!).toString(16)}:${((bytes[2]! << 8) | bytes[3]!).toString(16)}`;
        expect(parse(`::ffff:${bytes.join(".")}/${prefix + 96}`)).toEqual(parse(text));
        expect(parse(`::FFFF:${hexTail}/${prefix + 96}`)).toEqual(parse(text));
      }),
    );
    expect(parse("::ffff:10.0.0.1")).toEqual(parse("10.0.0.1"));
    expect(parse("::ffff:0:0/96")).toMatchObject({ family: 4, prefix: 0 });
    expect(parse("::fffe:0:0/95")).toMatchObject({ family: 6, prefix: 95 });
  });

  test("a dotted tail is 32 bits of an IPv6 address, not an IPv4 address", () => {
    const cases: [text: string, hex: string][] = [
      ["64:ff9b::192.0.2.1", "0064ff9b0000000000000000c0000201"],
      ["1:2:3:4:5:6:1.2.3.4", "00010002000300040005000601020304"],
      ["::ffff:0:1.2.3.4", "0000000000000000ffff000001020304"],
      ["::1.2.3.4", "00000000000000000000000001020304"],
    ];
    for (const [text, bytes] of cases)
      expect([text, parse(text).family, hex(text)]).toEqual([text, 6, bytes]);
  });

  test("/0 of both families, and single hosts", () => {
    expect(parse("0.0.0.0/0")).toMatchObject({ family: 4, prefix: 0 });
    expect(hex("0.0.0.0/0")).toBe(`${MAPPED}00000000`);
    expect(parse("::/0")).toMatchObject({ family: 6, prefix: 0 });
    expect(hex("::/0")).toBe("0".repeat(32));
    expect(parse("192.0.2.7")).toEqual(parse("192.0.2.7/32"));
    expect(parse("2001:db8::7")).toEqual(parse("2001:db8::7/128"));
    expect(["0.0.0.0/0", "::/0", "192.0.2.7", "2001:db8::7"].map((text) => format(parse(text)))).toEqual([
      "0.0.0.0/0",
      "::/0",
      "192.0.2.7",
      "2001:db8::7",
    ]);
  });

  test("set host bits are refused, and the suggestion is the network", () => {
    fc.assert(
      fc.property(v4, fc.integer({ min: 1, max: 2 ** 32 - 1 }), ({ bytes, prefix }, noise) => {
        const host = bytes.map((byte, i) => byte ^ ((noise >>> (24 - 8 * i)) & 0xff));
        fc.pre(network(host, prefix).join() !== host.join());
        const meant = `${network(host, prefix).join(".")}/${prefix}`;
        expect(() => parse(`${host.join(".")}/${prefix}`)).toThrow(
          expect.objectContaining({ code: 2, hint: `did you mean ${meant}?` }),
        );
      }),
    );
    expect(() => parse("2001:db8::1/32")).toThrow(
      expect.objectContaining({ hint: "did you mean 2001:db8::/32?", value: "2001:db8::1/32" }),
    );
    expect(() => parse("::ffff:10.0.0.1/100")).toThrow(
      expect.objectContaining({ hint: "did you mean ::ffff:0:0/100?" }),
    );
  });

  test("what looks like an address is one exactly when node:net says so", () => {
    const decimal = fc.oneof(quad, fc.stringMatching(/^[0-9]{1,4}(\.[0-9]{1,3}){0,4}$/));
    const colons = fc.stringMatching(/^[0-9a-f:]{1,12}$/);
    fc.assert(
      fc.property(fc.oneof(decimal, colons), (text) => {
        let taken = true;
        try {
          parse(text);
        } catch {
          taken = false;
        }
        expect([text, taken]).toEqual([text, isIP(text) !== 0]);
      }),
      { numRuns: 2000 },
    );
  });

  test.each(["::ffff:010.0.0.1", "::ffff:0x7f.0.0.1", "64:ff9b::192.0.2.01"])(
    "%j has an octal or hexadecimal part and is refused, as 010.0.0.1 is",
    (text) => {
      expect(() => parse(text)).toThrow(expect.objectContaining({ code: 2, value: text }));
    },
  );
});
