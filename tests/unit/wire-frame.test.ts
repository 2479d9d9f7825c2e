// SPDX-License-Identifier: MIT
// TCP options out of captured frames: whatever comes off the wire, nothing breaks.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { describeOption } from "../../cli/extensions/options.ts";
import { parseFrame, splitOptions } from "../../cli/wire/frame.ts";

const hex = (options: Uint8Array[]) => options.map((option) => option.toHex());
const split = (text: string) => hex(splitOptions(Uint8Array.fromHex(text)));
const say = (text: string) => describeOption(Uint8Array.fromHex(text));

const option = fc.oneof(
  fc.constant(new Uint8Array([1])),
  fc
    .tuple(fc.integer({ min: 2, max: 255 }), fc.uint8Array({ maxLength: 12 }))
    .map(([kind, body]) => new Uint8Array([kind, body.length + 2, ...body])),
);
const joined = (options: Uint8Array[]) => new Uint8Array(options.flatMap((bytes) => [...bytes]));
const anyBytes = fc.uint8Array({ maxLength: 120 });

describe("splitOptions", () => {
  test("a SYN of Linux with all three of ours", () => {
    const ours = ["1c040003", "fe067cc00001", "fe067c100028"];
    const linux = ["020405b4", "0402", "080a0000000100000000", "01", "030307"];
    expect(split([...linux, ...ours].join(""))).toEqual([...linux, ...ours]);
  });

  test("well-formed lists come out whole, with or without an end", () => {
    fc.assert(
      fc.property(fc.array(option, { maxLength: 8 }), fc.uint8Array({ maxLength: 4 }), (options, rest) => {
        expect(hex(splitOptions(joined(options)))).toEqual(hex(options));
        expect(hex(splitOptions(new Uint8Array([...joined(options), 0, ...rest])))).toEqual(hex(options));
      }),
    );
  });

  test.each([
    ["", []],
    ["00", []],
    ["0101", ["01", "01"]],
    ["01020405b4", ["01", "020405b4"]],
    ["02", []], // no length
    ["0200", []],
    ["0201", []],
    ["0402" + "0301", ["0402"]],
    ["0402" + "fe067cc0", ["0402"]], // cut off
    ["fe06" + "7cc00002" + "1c", ["fe067cc00002"]],
    ["feff7cc00002", []],
  ])("%j: an illegal length ends the list", (bytes, wanted) => expect(split(bytes)).toEqual(wanted));

  test("any bytes: what is returned stands at the beginning, and what is left is no option", () => {
    fc.assert(
      fc.property(anyBytes, (bytes) => {
        const options = splitOptions(bytes);
        const taken = joined(options);
        expect(taken).toEqual(bytes.slice(0, taken.length));
        for (const [kind, length] of options) expect(kind === 1 || length! >= 2).toBe(true);
        const [kind, length = 0] = bytes.subarray(taken.length);
        const left = bytes.length - taken.length;
        expect(kind === undefined || kind === 0 || length < 2 || length > left).toBe(true);
        expect(kind).not.toBe(1);
      }),
      { numRuns: 1000 },
    );
  });
});

interface Segment {
  ipOptions?: number;
  options?: string;
  flags?: number;
  payload?: string;
}

/** An Ethernet frame with an IPv4 TCP segment from port 40000 to port 7001. */
function frame({ ipOptions = 0, options = "", flags = 2, payload = "" }: Segment): Uint8Array {
  const tail = Uint8Array.fromHex(options);
  const head = 14 + 20 + ipOptions;
  const bytes = new Uint8Array([...new Uint8Array(head + 20), ...tail, ...Uint8Array.fromHex(payload)]);
  const view = new DataView(bytes.buffer);
  view.setUint16(12, 0x0800);
  view.setUint8(14, 0x40 | (5 + ipOptions / 4));
  view.setUint16(16, bytes.length - 14);
  view.setUint8(14 + 9, 6);
  bytes.fill(1, 34, 34 + ipOptions);
  view.setUint16(head, 40_000);
  view.setUint16(head + 2, 7001);
  view.setUint8(head + 12, (5 + tail.length / 4) << 4);
  view.setUint8(head + 13, flags);
  return bytes;
}

const OPTIONS = "020405b4fe067cc000010101";

describe("parseFrame", () => {
  test.each([
    [2, true, false],
    [18, true, true],
    [16, false, true],
    [24, false, true],
    [4, false, false],
    [0xc2, true, false],
  ])("flags %i", (flags, syn, ack) => {
    expect(parseFrame(frame({ flags, options: OPTIONS }))).toMatchObject({
      sourcePort: 40_000,
      destinationPort: 7001,
      isSyn: syn,
      isAck: ack,
    });
  });

  test("options end where the header does, in front of the data and of Ethernet's padding", () => {
    const wanted = ["020405b4", "fe067cc00001", "01", "01"];
    for (const payload of ["", "1c040003", "00".repeat(30)]) {
      expect(hex(parseFrame(frame({ options: OPTIONS, payload }))!.options)).toEqual(wanted);
    }
    expect(parseFrame(frame({ payload: "1c040003" }))!.options).toEqual([]);
  });

  test("options of IPv4 itself do not move anything", () => {
    for (const ipOptions of [4, 12, 40]) {
      const parsed = parseFrame(frame({ ipOptions, options: OPTIONS, flags: 18 }));
      expect(parsed).toEqual(parseFrame(frame({ options: OPTIONS, flags: 18 })));
      expect(parsed?.options).toHaveLength(4);
    }
  });

  test("IPv6: the same segment behind a header of 40 bytes, and nothing behind another one", () => {
    const plain = frame({ options: OPTIONS, flags: 18 });
    const six = (next: number) =>
      new Uint8Array([
        ...plain.subarray(0, 14),
        0x60,
        0,
        0,
        0,
        0,
        0,
        next,
        64,
        ...new Uint8Array(32),
        ...plain.subarray(34),
      ]);
    expect(parseFrame(six(6))).toEqual({ ...parseFrame(plain)!, family: "v6" });
    expect(parseFrame(six(0))).toBeUndefined();
    for (let length = 0; length < 74; length++)
      expect(parseFrame(six(6).subarray(0, length))).toBeUndefined();
  });

  test("a view into a longer buffer, as a capture hands it out", () => {
    const bytes = frame({ options: OPTIONS });
    const ring = new Uint8Array([...new Uint8Array(7).fill(255), ...bytes, 255]);
    expect(parseFrame(ring.subarray(7, 7 + bytes.length))).toEqual(parseFrame(bytes));
  });

  test("a header that was cut off has no ports to tell", () => {
    const whole = frame({ ipOptions: 8, options: OPTIONS });
    const header = 14 + 28 + 20;
    for (let length = 0; length < header; length++)
      expect(parseFrame(whole.subarray(0, length))).toBeUndefined();
    for (let length = header; length <= whole.length; length++) {
      expect(parseFrame(whole.subarray(0, length))).toMatchObject({ sourcePort: 40_000, isSyn: true });
    }
  });

  test("a data offset beyond the frame, or inside the fixed header, gives what there is", () => {
    const long = frame({ options: "0402" + "0101" });
    long[14 + 20 + 12] = 15 << 4;
    expect(hex(parseFrame(long)!.options)).toEqual(["0402", "01", "01"]);
    const short = frame({ options: "0402" + "0101" });
    short[14 + 20 + 12] = 4 << 4;
    expect(parseFrame(short)!.options).toEqual([]);
  });

  const changed = (at: number, value: number) => {
    const bytes = frame({ options: OPTIONS });
    bytes[at] = value;
    return parseFrame(bytes);
  };

  test("other protocols are none", () => {
    expect(changed(14, 0x65)).toBeUndefined(); // IPv6
    expect(changed(14 + 9, 17)).toBeUndefined(); // UDP
    expect(changed(14 + 9, 1)).toBeUndefined(); // ICMP
    expect(parseFrame(new Uint8Array(60))).toBeUndefined();
  });

  test.each([0, 1, 4])("a header length of %i words is none of IPv4", (words) => {
    expect(changed(14, 0x40 | words)).toBeUndefined();
  });

  test("any bytes, and any damage to a frame: no exception", () => {
    const flips = fc.array(fc.tuple(fc.nat(70), fc.nat(255)), { maxLength: 6 });
    const damaged = fc.tuple(flips, fc.nat(70)).map(([places, length]) => {
      const bytes = frame({ ipOptions: 4, options: OPTIONS });
      for (const [at, value] of places) if (at < bytes.length) bytes[at] = value;
      return bytes.subarray(0, length);
    });
    fc.assert(
      fc.property(fc.oneof(anyBytes, damaged), (bytes) => {
        for (const option of parseFrame(bytes)?.options ?? []) describeOption(option);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("describeOption", () => {
  test.each([
    ["020405b4", "mss 1460"],
    ["030307", "wscale 7"],
    ["0402", "sackOK"],
    ["080a0000000100000000", "timestamps"],
    ["01", "nop"],
    ["1c040003", "user timeout 3s (1c040003)"],
    ["1c048002", "user timeout 2min (1c048002)"],
    ["1c040000", "user timeout 0ms (1c040000)"],
    ["1c03ff", "kind 28 (1c03ff)"],
    ["0202", "kind 2 (0202)"],
    ["0302", "kind 3 (0302)"],
    ["030407ff", "kind 3 (030407ff)"],
    ["fe067cc00001", "asks for reno (fe067cc00001)"],
    ["fe067c110020", "grants a window of 32 segments (fe067c110020)"],
    ["fe067ca0040a", "asks for an ACK every 10 segments, after rtt/4 at the latest (fe067ca0040a)"],
    ["fe0400ac", "understands ACK rate requests (TARR) (fe0400ac)"],
    ["fe0500ac10", "asks for an ACK every 8 segments (TARR) (fe0500ac10)"],
    ["fe0600ac1000", "kind 254 (fe0600ac1000)"],
    ["fe0400ad", "kind 254 (fe0400ad)"],
    ["fe057cc002", "kind 254 (fe057cc002)"],
    ["220a0102030405060708", "kind 34 (220a0102030405060708)"],
  ])("%s: %s", (bytes, text) => expect(say(bytes)).toBe(text));

  test("any option has words, one line of them, without a value that is not there", () => {
    fc.assert(
      fc.property(fc.oneof(option, fc.uint8Array({ minLength: 1, maxLength: 40 })), (bytes) => {
        const text = describeOption(bytes);
        expect(text).toMatch(/^[\x20-\x7e]+$/);
        expect([bytes.toHex(), text]).toEqual([bytes.toHex(), expect.not.stringMatching(/undefined|NaN/)]);
      }),
      { numRuns: 1000, examples: [[new Uint8Array([3, 2])], [new Uint8Array([2, 2])]] },
    );
  });
});
