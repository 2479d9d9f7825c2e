// SPDX-License-Identifier: MIT
// Addresses as people write them: refused with what they mean, or read with a word about it.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { meantCidr } from "../../cli/policy/address-hint.ts";
import { formatSelector, parseCidr, parseSelectors, selectorNotices } from "../../cli/policy/selector.ts";

describe("did you mean", () => {
  test.each([
    ["10/8", "10.0.0.0/8"],
    ["10./8", "10.0.0.0/8"],
    ["010/8", "10.0.0.0/8"],
    ["10.1/16", "10.1.0.0/16"],
    ["10.1/8", "10.0.0.0/8"],
    ["192.168.1/24", "192.168.1.0/24"],
    ["172.16/12", "172.16.0.0/12"],
    ["0/0", "0.0.0.0/0"],
    ["10", "10.0.0.0/8"],
    ["10.1", "10.1.0.0/16"],
    ["010.0.0.1", "10.0.0.1"],
    ["10.0.0.01/32", "10.0.0.1"],
    ["10.0.0.0/255.0.0.0", "10.0.0.0/8"],
    ["10.0.0.0/0.255.255.255", "10.0.0.0/8"],
    ["10.0.0.*", "10.0.0.0/24"],
    ["10.*.*.*", "10.0.0.0/8"],
    ["10.0.0.0 / 8", "10.0.0.0/8"],
    ["[::1]", "::1"],
    ["[::1]:80", "::1 with --port 80"],
    ["10.0.0.1:80", "10.0.0.1 with --port 80"],
    ["fd00/8", "fd00::/8"],
    ["2001:db8/32", "2001:db8::/32"],
    ["any", "0.0.0.0/0,::/0"],
  ])("%s: %s", (text, meant) => {
    expect(meantCidr(text)).toBe(meant);
    const [first = ""] = meant.split(/[ ,]/);
    expect(parseCidr(first, "--to").family).not.toBe(0); // what is proposed is accepted
    expect(() => parseCidr(text, "--to")).toThrow(
      expect.objectContaining({
        code: 2,
        value: text,
        hint: expect.stringContaining(`did you mean ${meant}?`),
      }),
    );
  });

  test.each([
    "",
    "/",
    "300/8",
    "10/40",
    "1.2.3.4.5/8",
    "localhost",
    "db1",
    "fe80",
    "10.0.0.1-10.0.0.9",
    "10.0.0.0/",
  ])("%j suggests nothing", (text) => expect(meantCidr(text)).toBeUndefined());

  test("host bits behind the prefix", () => {
    expect(() => parseCidr("10.1.2.3/8", "--to")).toThrow(
      expect.objectContaining({ hint: "did you mean 10.0.0.0/8?" }),
    );
  });

  test("any text, of any length, is answered at once", () => {
    fc.assert(fc.property(fc.string(), (text) => meantCidr(text) !== ""));
    expect(meantCidr("1.".repeat(1_000_000))).toBeUndefined();
  });
});

describe("an address that is written as a network's", () => {
  test.each([
    ["10.0.0.0", 32, 8],
    ["192.168.0.0", 32, 16],
    ["192.0.2.0", 32, 24],
    ["0.0.0.0", 32, 0],
    ["fd00::", 128, 8],
    ["2001:db8::", 128, 32],
    ["2001:db8:1:2::", 128, 64],
    ["::", 128, 0],
    ["::ffff:10.0.0.0", 32, 8],
  ])("%s is read as /%d, and /%d is proposed", (text, length, proposed) => {
    const [said, ...more] = selectorNotices({ to: text });
    expect(more).toEqual([]);
    expect(said).toContain(`--to ${text} is read as ${text}/${length}, a single address`);
    expect(said).toEndWith(`such as ${text}/${proposed}`);
    expect(parseSelectors({ to: text })).toMatchObject([{ prefix: length }]);
  });

  test.each(["10.0.0.1", "10.0.0.0/32", "10.0.0.0/8", "::1", "fd00::1", "2001:db8::1:0:0:0", "::/0"])(
    "%s is what it says",
    (text) => expect(selectorNotices({ from: text })).toEqual([]),
  );

  test("in lists, and in both directions", () => {
    expect(selectorNotices({ to: "10.0.0.1, 10.0.0.0,fd00::", from: "192.0.2.0", port: "80" })).toHaveLength(
      3,
    );
  });

  test("is printed with its length, so that what is printed is read without a word", () => {
    const [selector] = parseSelectors({ to: "10.0.0.0" });
    expect(formatSelector(selector!)).toBe("--to 10.0.0.0/32");
    expect(parseSelectors({ to: "10.0.0.0/32" })).toEqual([selector!]);
    expect(formatSelector(parseSelectors({ to: "fd00::" })[0]!)).toBe("--to fd00::/128");
    expect(formatSelector(parseSelectors({ to: "fd00::1" })[0]!)).toBe("--to fd00::1");
  });
});
