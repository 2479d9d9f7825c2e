// SPDX-License-Identifier: MIT
// The strictness in front of citty: every word is understood, or refused by name.
import { describe, expect, test } from "bun:test";
import { type ArgsDef, parseArgs } from "citty";
import fc from "fast-check";
import {
  changeArgs,
  checkArguments,
  globalArgs,
  netnsArgs,
  scopeArgs,
  selectorArgs,
} from "../../cli/base/args.ts";

const own = {
  duration: { type: "positional", description: "" },
  kind: { type: "positional", required: false, description: "" },
  advertise: { type: "boolean", default: true, negativeDescription: "not" },
  min: { type: "string" },
} as const satisfies ArgsDef;
const defs: ArgsDef = { ...own, ...selectorArgs, ...scopeArgs, ...netnsArgs, ...changeArgs, ...globalArgs };

const check = (...words: string[]) => checkArguments(words, defs, "tcpx uto set");
/** As the command sees them, after citty. */
const parse = (...words: string[]): Record<string, unknown> => parseArgs(check(...words), defs);

function expectRefused(words: string[], details: { message: unknown; value?: unknown; hint?: unknown }) {
  expect(() => check(...words)).toThrow(expect.objectContaining({ name: "TcpxError", code: 2, ...details }));
}

const HELP = "see `tcpx uto set --help`";

describe("values", () => {
  test("--x value and --x=value are the same", () => {
    expect(parse("30s", "--to", "10.0.0.0/8")).toMatchObject({ duration: "30s", to: "10.0.0.0/8" });
    expect(parse("--to=10.0.0.0/8", "30s")).toMatchObject({ duration: "30s", to: "10.0.0.0/8" });
    expect(parse("--cgroup", "/a=b", "30s")).toMatchObject({ cgroup: "/a=b" });
    expect(parse("--cgroup=/a=b", "30s")).toMatchObject({ cgroup: "/a=b" });
  });

  test("whatever a value is, citty hands it over unchanged", () => {
    const word = fc.string({ minLength: 1, unit: "grapheme" });
    const odd = fc.constantFrom(
      "0",
      "true",
      "false",
      "--",
      "--to",
      "-q",
      "no-to",
      "=",
      "1e3",
      "-5",
      " ",
      "__proto__",
    );
    const anyText = fc.oneof(word, odd);
    fc.assert(
      fc.property(anyText, anyText, anyText, (to, cgroup, duration) => {
        const args = parse(`--to=${to}`, `--cgroup=${cgroup}`, "--", duration);
        expect(args).toMatchObject({ to, cgroup, duration });
        expect([args.from, args.port, args.json, args.advertise]).toEqual([
          undefined,
          undefined,
          undefined,
          true,
        ]);
      }),
      { numRuns: 500 },
    );
  });

  test.each<{ words: string[] }>([
    { words: ["30s", "--to"] },
    { words: ["30s", "--to="] },
    { words: ["30s", "--to", ""] },
    { words: ["30s", "--to", "--json"] },
    { words: ["30s", "--to", "-q"] },
    { words: ["30s", "--to", "--port", "80"] },
    { words: ["30s", "--to", "--port=80"] },
    { words: ["30s", "--to", "--unknown"] },
    { words: ["--to", "--", "30s"] },
  ])("$words: --to needs a value", ({ words }) => {
    expectRefused(words, { message: "--to needs a value", value: "--to", hint: HELP });
  });

  test.each(["--json=true", "--json=", "--dry-run=false", "--no-advertise=1", "--help=x"])(
    "%s takes no value",
    (word) => {
      const [flag, value] = word.split("=");
      expectRefused(["30s", word], { message: `${flag} takes no value, but has '${value}'`, value });
    },
  );

  test("a word behind a boolean flag is a word", () => {
    expect(parse("--json", "30s")).toMatchObject({ json: true, duration: "30s" });
    expectRefused(["30s", "ask", "--json", "true"], { message: "stray argument 'true'", value: "true" });
  });

  test("a negative number is a word or a value, and not a flag", () => {
    expect(parse("-5s")).toMatchObject({ duration: "-5s" });
    expect(parse("-15", "--json")).toMatchObject({ duration: "-15", json: true });
    expect(parse("30s", "--port", "-5")).toMatchObject({ port: "-5", duration: "30s" });
    expectRefused(["30s", "ask", "-5"], { message: "stray argument '-5'", value: "-5" });
  });
});

describe("flags", () => {
  test.each([
    "--bogus",
    "--bogus=1",
    "-x",
    "--t",
    "--TO",
    "--dryRun",
    "--dry_run",
    "---",
    "--toString",
    "--__proto__",
  ])("%s is unknown", (word) => {
    const flag = word.split("=")[0]!;
    expectRefused(["30s", word], {
      message: expect.stringContaining(`unknown flag '${flag}`),
      hint: expect.stringContaining(HELP),
    });
  });

  test.each(["--q", "--v", "--h", "--q=1"])("%s is no spelling that any help page names", (word) => {
    expectRefused(["30s", word], { message: expect.stringContaining("unknown flag") });
  });

  test.each(["--no-to", "--no-json", "--no-help", "--no-dry-run", "--no-bogus", "--no-no-advertise"])(
    "%s means nothing",
    (word) => expectRefused(["30s", word], { message: `unknown flag '${word}'`, value: word }),
  );

  test("--no-advertise is one of the flags, --advertise the default", () => {
    expect(parse("30s", "--no-advertise")).toMatchObject({ advertise: false, duration: "30s" });
    expect(parse("30s", "--advertise")).toMatchObject({ advertise: true });
    expect(parse("30s")).toMatchObject({ advertise: true });
    expectRefused(["30s", "--advertise", "--no-advertise"], { message: expect.stringContaining("twice") });
  });

  test("one letter", () => {
    expect(parse("30s", "-q")).toMatchObject({ quiet: true, duration: "30s" });
    expect(parse("-v", "30s")).toMatchObject({ verbose: true, duration: "30s" });
    expect(parse("-q", "-v", "-h", "30s")).toMatchObject({ quiet: true, verbose: true, help: true });
  });

  test.each(["-qv", "-vh", "-qq", "-json", "-q=1", "-v5", "-to"])(
    "%s: letters are not combined, and the error names the word as typed",
    (word) => expectRefused(["30s", word], { message: `unknown flag '${word}'`, value: word }),
  );

  test.each([
    [["--to", "10.0.0.1", "--to", "10.0.0.2"], "--to", "separate several values by commas"],
    [["--port=1", "--port=1"], "--port", "separate several values by commas"],
    [["--json", "--json"], "--json", "give it once"],
    [["-q", "--quiet"], "--quiet", "give it once"],
    [["--cgroup", "/a", "--cgroup", "/b"], "--cgroup", "give it once"],
    [["--min", "1s", "--min", "2s"], "--min", "give it once"],
  ])("%j: given twice", (words, value, hint) => {
    expectRefused(["30s", ...words], { message: `${value} is given twice`, value, hint });
  });

  test("where a flag stands does not matter", () => {
    const words = ["--to=10.0.0.0/8", "--json", "-q", "--no-advertise", "--dry-run"];
    const wanted = parse("30s", ...words);
    const order = fc.shuffledSubarray([...words, "30s"], { minLength: 6, maxLength: 6 });
    fc.assert(fc.property(order, (words) => expect(parse(...words)).toEqual(wanted)));
  });
});

describe("a value that may be left out", () => {
  test("stands behind = only", () => {
    expect(parse("30s")).not.toHaveProperty("wait");
    expect(parse("30s", "--wait")).toMatchObject({ wait: "", duration: "30s" });
    expect(parse("--wait", "30s")).toMatchObject({ wait: "", duration: "30s" });
    expect(parse("--wait=2min", "30s")).toMatchObject({ wait: "2min", duration: "30s" });
    expect(parse("30s", "--no-wait")).toMatchObject({ wait: false, duration: "30s" });
  });

  test("and is not nothing", () => {
    expectRefused(["30s", "--wait="], { message: "--wait needs a value", value: "--wait" });
    expectRefused(["30s", "--no-wait=1s"], { message: "--no-wait takes no value, but has '1s'" });
  });

  test.each<{ words: string[]; stray: string }>([
    { words: ["30s", "ask", "--wait", "10s"], stray: "10s" },
    { words: ["30s", "ask", "--wait", "10"], stray: "10" },
    { words: ["--wait", "10s", "30s", "ask"], stray: "ask" },
  ])("$words: a word too many, which may belong to it", ({ words, stray }) => {
    const behind = words[words.indexOf("--wait") + 1];
    expectRefused(words, {
      message: `stray argument '${stray}'`,
      hint: `if '${behind}' belongs to --wait, write --wait=${behind}`,
    });
  });

  test("a duration behind it is no other word than a duration", () => {
    expectRefused(["30s", "--wait", "10s"], {
      message: "--wait takes its value behind '=' only",
      value: "10s",
      hint: "if '10s' belongs to --wait, write --wait=10s",
    });
    expect(parse("30s", "--wait", "ask")).toMatchObject({ wait: "", kind: "ask" });
    expect(parse("30s", "--wait", "--", "10s")).toMatchObject({ kind: "10s" });
  });

  test.each([
    [["--wait", "--no-wait"], "--wait and --no-wait exclude each other", "--no-wait"],
    [["--no-wait", "--wait=1s"], "--wait and --no-wait exclude each other", "--no-wait"],
    [["--wait", "--wait"], "--wait is given twice", "--wait"],
    [["--wait=1s", "--wait"], "--wait is given twice", "--wait"],
    [["--no-wait", "--no-wait"], "--no-wait is given twice", "--no-wait"],
  ])("%j: %s", (words, message, value) => expectRefused(["30s", ...words], { message, value }));
});

describe("words", () => {
  test("as many as there are positional arguments", () => {
    expect(parse("30s", "ask")).toMatchObject({ duration: "30s", kind: "ask" });
    expectRefused(["30s", "ask", "more", "words"], {
      message: "stray argument 'more'",
      value: "more",
      hint: HELP,
    });
    expectRefused(["30s", "ask", ""], { message: "stray argument ''", value: "" });
    expectRefused(["30s", "ask", "-"], { message: "stray argument '-'", value: "-" });
  });

  test("a missing one is named as in the usage line", () => {
    for (const words of [[], ["--json"], ["--to", "30s"], ["--"]]) {
      expectRefused(words, { message: "DURATION is missing", value: undefined, hint: HELP });
    }
  });

  test("behind -- everything is a word", () => {
    expect(parse("--", "30s")).toMatchObject({ duration: "30s" });
    expect(parse("--json", "--", "--to", "-q")).toMatchObject({ duration: "--to", kind: "-q", json: true });
    expect(parse("30s", "--")).toMatchObject({ duration: "30s" });
    expectRefused(["30s", "ask", "--", "--json"], { message: "stray argument '--json'", value: "--json" });
  });

  test("a command without arguments takes none", () => {
    expect(checkArguments([], globalArgs, "tcpx status")).toEqual(["--"]);
    expect(() => checkArguments(["x"], globalArgs, "tcpx status")).toThrow("stray argument 'x'");
  });

  test("any words are either refused as a usage error or come out whole", () => {
    const piece = fc.constantFrom(
      ...[
        "30s",
        "ask",
        "--",
        "-",
        "--to",
        "--to=x",
        "--json",
        "--no-advertise",
        "-q",
        "-qv",
        "-5",
        "--bogus",
        "",
        "=",
        "-v5",
        "--wait",
        "--wait=1s",
        "--no-wait",
      ],
    );
    fc.assert(
      fc.property(
        fc.array(fc.oneof({ weight: 5, arbitrary: piece }, fc.string()), { maxLength: 5 }),
        (words) => {
          try {
            const args = parse(...words);
            for (const name of ["duration", "kind", "to"]) {
              const value = args[name];
              if (value !== undefined)
                expect(words.some((word) => word === value || word === `--${name}=${value}`)).toBe(true);
            }
            expect(typeof args.duration).toBe("string");
          } catch (error) {
            expect(error).toMatchObject({ name: "TcpxError", code: 2 });
          }
        },
      ),
      { numRuns: 1000 },
    );
  });
});
