// SPDX-License-Identifier: MIT
// A fixed number of runs of every fuzz harness: what others can send to the bridge neither breaks it nor makes it
// say what is not its own. `bun run fuzz` goes on for as long as one likes.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { buildHarness, hasFuzzer } from "../../scripts/fuzz/build.ts";
import { FAULTS, prove } from "../../scripts/fuzz/faults.ts";
import { fuzz } from "../../scripts/fuzz/run.ts";
import { parseSeeds } from "../../scripts/fuzz/seeds.ts";
import { TARGETS } from "../../scripts/fuzz/targets.ts";
import { Place } from "../support/installer.ts";
import { describeIf } from "../support/requires.ts";

/** Compiling comes first, and the machine may be busy. */
const PATIENCE_MS = 300_000;

describeIf(hasFuzzer(), "clang's libFuzzer")("the parsers of the bridge", () => {
  test.each(Object.entries(TARGETS))(
    "%s: nothing is found",
    async (name, { runs }) => {
      const outcome = await fuzz(name, await buildHarness(name), { runs });
      expect(outcome.found).toEqual([]);
      expect(outcome.runs).toBeGreaterThanOrEqual(runs);
    },
    PATIENCE_MS,
  );

  describe("a fault that is put back is found:", () => {
    test.each(Object.keys(FAULTS))(
      "%s",
      async (name) => {
        expect((await prove(name)).found).not.toEqual([]);
      },
      PATIENCE_MS,
    );
  });
});

test.each([
  ["it made 0 runs instead of 5", "exit 0"],
  ["it ended without a reason", "exit 1"],
  ["x.c:1:2: runtime error: y", "echo x.c:1:2: runtime error: y >&2; exit 1"],
])("of a harness: %s", async (says, does) => {
  using place = new Place();
  expect((await fuzz("ring", join(place.script("harness", does), "harness"), { runs: 5 })).found).toEqual([
    says,
  ]);
});

describe("seeds are text", () => {
  const grammar = "enum a { ONE = 1, /* NOT_ME */ TWO,\n}; enum b { ZERO };";

  test("words, numbers, addresses and texts, in the order of the network", () => {
    const text = 'let pair ONE TWO # two\nseed s pair*2 ZERO u16(258)\n  u32(1) 10.0.0.1 str16("a b")\n';
    const bytes = [1, 2, 1, 2, 0, 1, 2, 0, 0, 0, 1, 10, 0, 0, 1, 0, 3, 97, 32, 98];
    expect([...parseSeeds(text, grammar)]).toEqual([["s", Uint8Array.from(bytes)]]);
  });

  test.each([
    ["seed s THREE", "THREE is neither a number nor a word"],
    ["seed s 256", "256 does not fit into 8 bits"],
    ["let ONE 1", "ONE is there twice"],
    ["sed s 1", "neither let nor seed"],
  ])("%s", (text, says) => {
    expect(() => parseSeeds(text, grammar)).toThrow(says);
  });
});
