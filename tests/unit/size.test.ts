// SPDX-License-Identifier: MIT
// Rates and sizes as people write them.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { formatSize, meantSize, type SizeKind, sizeOf } from "../../cli/base/size.ts";

describe("a rate is bits per second in powers of 1000, kept as bytes per second", () => {
  test.each([
    ["0", 0],
    ["8", 1],
    ["64k", 8000],
    ["64K", 8000],
    ["10M", 1_250_000],
    ["10000k", 1_250_000],
    ["1G", 125_000_000],
  ])("%s", (text, bytes) => expect(sizeOf(text, "rate")).toBe(bytes));

  test.each([
    "",
    "1",
    "12",
    "10m",
    "10Mbit",
    "1.5M",
    "-8",
    "+8",
    " 8",
    "8 ",
    "0x8",
    "1e3",
    "1T",
    "1".repeat(13),
  ])("'%s' is none", (text) => expect(sizeOf(text, "rate")).toBeUndefined());

  test.each([
    ["10mbit", "10M"],
    ["10 Mbit/s", "10M"],
    ["0.5G", "500M"],
    ["100mbps", "100M"],
    ["1.5m", "1500k"],
  ])("'%s' may be meant as %s", (text, meant) => expect(meantSize(text, "rate")).toBe(meant));

  test.each(["fast", "10X", "", "1.00001k", "9".repeat(40)])("'%s' is meant as nothing", (text) =>
    expect(meantSize(text, "rate")).toBeUndefined(),
  );
});

describe("a size is bytes in powers of 1024", () => {
  test.each([
    ["1", 1],
    ["64k", 65_536],
    ["1M", 1_048_576],
    ["3G", 3_221_225_472],
  ])("%s", (text, bytes) => expect(sizeOf(text, "bytes")).toBe(bytes));

  test.each([
    ["64KiB", "64k"],
    ["64 kb", "64k"],
    ["1.5M", "1536k"],
  ])("'%s' may be meant as %s", (text, meant) => expect(meantSize(text, "bytes")).toBe(meant));
});

test("what is printed is read as the same", () => {
  fc.assert(
    fc.property(
      fc.oneof(
        fc.nat(0xffff_ffff),
        fc.nat(4000).map((n) => n * 1024 ** 2),
        fc.nat(34_000).map((n) => n * 125_000),
      ),
      fc.constantFrom<SizeKind>("rate", "bytes"),
      (size, kind) => {
        expect(sizeOf(formatSize(size, kind), kind)).toBe(size);
      },
    ),
  );
});
