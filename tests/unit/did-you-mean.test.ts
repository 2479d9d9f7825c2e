// SPDX-License-Identifier: MIT
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { meant, meantFlag, nearest } from "../../cli/base/did-you-mean.ts";

const WORDS = ["status", "show", "connections", "set", "unset", "accept", "uto", "iw", "port", "from", "to"];
const FLAGS = ["json", "j", "quiet", "q", "verbose", "v", "to", "port", "pid", "from", "dry-run"];

describe("nearest", () => {
  test.each([
    ["stauts", "status"],
    ["STATUS", "status"],
    ["prot", "port"],
    ["conn", "connections"],
    ["acept", "accept"],
    ["unst", "unset"],
    ["connektion", "connections"],
  ])("%s is taken for %s", (word, near) => expect(nearest(word, WORDS)).toBe(near));

  test.each(["", "x", "bogus", "ls", "toString", "__proto__", "wxyz", "s"])("%j is near nothing", (word) =>
    expect(nearest(word, WORDS)).toBeUndefined(),
  );

  test("what is longer than any word is not compared", () => {
    expect(nearest(`${"status".repeat(100_000)}`, WORDS)).toBeUndefined();
    expect(meantFlag(`--${"to".repeat(100_000)}`, FLAGS, "")).toBe("");
  });

  test("a word itself is always found, and one swap in it, too", () => {
    fc.assert(fc.property(fc.constantFrom(...WORDS), (word) => nearest(word, WORDS) === word));
  });
});

test("meant() keeps the hint", () => {
  expect(meant("stauts", WORDS, "see")).toBe("did you mean status? see");
  expect(meant("bogus", WORDS, "see")).toBe("see");
});

test.each([
  ["--prot", "--port"],
  ["--PORT=80", "--port"],
  ["--prot=80", "--port"],
  ["-json", "--json"],
  ["--j", "-j"],
  ["-J", "-j"],
  ["-qv", "-q -v"],
  ["-q=1", "-q"],
  ["-t", "--to"],
  ["--dryrun", "--dry-run"],
  ["--dry_run", "--dry-run"],
])("%s: did you mean %s?", (typed, flags) => {
  expect(meantFlag(typed, FLAGS, "see")).toBe(`did you mean ${flags}? see`);
});

test.each(["-p", "--bogus", "---", "--", "-x", "-qx", "--__proto__"])("%s is near no flag", (typed) => {
  expect(meantFlag(typed, FLAGS, "see")).toBe("see");
});
