// SPDX-License-Identifier: MIT
// What is no address: the error names the flag, the value and what is accepted.
import { expect, test } from "bun:test";
import { parseCidr } from "../../cli/policy/selector.ts";

const EXAMPLES = "192.0.2.7, 10.0.0.0/8 or 2001:db8::/32";

test.each([
  "",
  "/8",
  "10",
  "10.1",
  "10.1.2",
  "10.1/16",
  "10.0.0.0.0",
  "010.0.0.1",
  "10.0.0.01",
  "256.0.0.1",
  "1.2.3.-4",
  "10.0.0.1.",
  " 10.0.0.1",
  "10.0.0.1:80",
  "10.0.0.0/8/8",
  "10.0.0.0-10.0.0.9",
  "2130706433",
  "[::1]",
  "[::1]:80",
  ":::",
  "1::2::3",
  "1:2:3:4:5:6:7",
  "1:2:3:4:5:6:7:8:9",
  "12345::",
  "::g",
  "*",
  "１0.0.0.1",
])("%j is not an address", (text) => {
  expect(() => parseCidr(text, "--from")).toThrow(
    expect.objectContaining({
      code: 2,
      value: text,
      message: `--from '${text}' is not an address or CIDR`,
      hint: expect.stringContaining(EXAMPLES),
    }),
  );
});

test.each(["localhost", "example.com", "db1", "xn--e1afmkfd.example", "host-7"])(
  "%j is called a host name",
  (text) => {
    expect(() => parseCidr(text, "--to")).toThrow(
      expect.objectContaining({ code: 2, value: text, message: expect.stringContaining("is a host name") }),
    );
  },
);

test.each([
  "10.0.0.0/",
  "10.0.0.0/33",
  "10.0.0.0/-1",
  "10.0.0.0/+8",
  "10.0.0.0/8.0",
  "10.0.0.0/1e1",
  "10.0.0.0/ 8",
  "10.0.0.0/255.0.0.0",
  "10.0.0.0/٨",
])("%j has no valid prefix length", (text) => {
  expect(() => parseCidr(text, "--to")).toThrow(
    expect.objectContaining({
      code: 2,
      value: text,
      message: expect.stringContaining("prefix length"),
      hint: expect.stringMatching(/accepted is \/0 to \/32$/),
    }),
  );
});

test("IPv6 prefixes end at /128", () => {
  for (const text of ["2001:db8::/129", "2001:db8::/999", "2001:db8::/x"]) {
    expect(() => parseCidr(text, "--to")).toThrow(
      expect.objectContaining({ code: 2, value: text, hint: "accepted is /0 to /128" }),
    );
  }
});

test.each(["fe80::1%eth0", "fe80::1%1/64", "::1%"])("%j is refused", (text) => {
  expect(() => parseCidr(text, "--to")).toThrow(expect.objectContaining({ code: 2, value: text }));
});

test("the error says that it is the zone which cannot be matched", () => {
  expect(() => parseCidr("fe80::1%eth0", "--to")).toThrow(/zone/);
});
