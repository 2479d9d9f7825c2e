// SPDX-License-Identifier: MIT
// The site's own identifiers and numbers: what a file may say, slots, names, and the bytes of the table.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { TcpxError } from "../../cli/base/errors.ts";
import { siteJson, siteLines, siteText } from "../../cli/describe/site-text.ts";
import { ack } from "../../cli/extensions/ack.ts";
import { ccRequest } from "../../cli/extensions/cc-request.ts";
import { iw } from "../../cli/extensions/iw.ts";
import { describeOwn, exidsOf, identifiers } from "../../cli/extensions/options.ts";
import { Role } from "../../cli/layout/layout.generated.ts";
import { decode, encode } from "../../cli/layout/struct.ts";
import { decodeSite, encodeSite } from "../../cli/loader/records.ts";
import { numberShown } from "../../cli/observe/value.ts";
import { parsePolicy } from "../../cli/policy-file/parse.ts";
import { printPolicy } from "../../cli/policy-file/print.ts";
import { printSite, readTables, settle } from "../../cli/policy-file/site-tables.ts";
import {
  ALGORITHMS,
  algorithmId,
  algorithmName,
  algorithmNumber,
  changedSlots,
  DEFAULT_SITE,
  numberName,
  type Site,
  sameSite,
  siteAlgorithms,
} from "../../cli/wire/site.ts";

const NAME = "p.toml";

/** What a file makes of a host's table. */
function settled(text: string, present = DEFAULT_SITE, keep = false, inUse: number[] = []): Site {
  const source = { name: NAME, text };
  return settle(
    source,
    readTables(source, parse(text)),
    { site: present, inUse: () => new Set(inUse) },
    keep,
  );
}

const slots = ({ algorithms }: Site) =>
  algorithms
    .map((algorithm) => algorithm?.name ?? "")
    .join(" ")
    .trimEnd();
const numbered = (names: string[], first = 0x8000) =>
  `[algorithms]\n${names.map((name, i) => `${name} = ${first + i}\n`).join("")}`;
const EIGHT = ["a", "b", "c", "d", "e", "f", "g", "h"];

async function complaint(text: string, present = DEFAULT_SITE, keep = false): Promise<string> {
  try {
    const source = { name: NAME, text };
    await parsePolicy(source, undefined, (tables) =>
      settle(source, tables, { site: present, inUse: () => new Set() }, keep),
    );
    return "";
  } catch (error) {
    if (!(error instanceof TcpxError)) throw error;
    expect(error.code).toBe(2);
    expect(error.place?.file).toBe(NAME);
    return `${error.message}; ${error.hint}`;
  }
}

test("the identifiers of all extensions are as documented, and have names of their own", () => {
  const names = identifiers().map(({ name }) => name);
  expect(names).toEqual(["cc-ask", "cc-answer", "iw-ask", "iw-answer", "ack-ask", "ack-answer", "tarr"]);
  expect(identifiers().map(({ documented }) => documented)).toEqual([
    0x7cc0, 0x7cc1, 0x7c10, 0x7c11, 0x7ca0, 0x7ca1, 0x00ac,
  ]);
  expect(new Set(names).size).toBe(names.length);
});

describe("a file", () => {
  test("without the tables means what is documented, whatever was there", () => {
    const site = settled(`[exid]\ncc-ask = 1\n${numbered(["a"])}`);
    expect(settled("")).toEqual(DEFAULT_SITE);
    expect(settled("", site)).toEqual(DEFAULT_SITE);
    expect(settled("[exid]\n[algorithms]\n", site)).toEqual(DEFAULT_SITE);
  });

  test("changes what it names, in any notation of TOML", () => {
    const site = settled("[exid]\ncc-ask = 0x7D00\niw-ask = 32001\ntarr = 0b1\n");
    expect(site.exids).toEqual({ ...DEFAULT_SITE.exids, "cc-ask": 0x7d00, "iw-ask": 32001, tarr: 1 });
  });

  test("may exchange identifiers", () => {
    const site = settled("exid = { cc-ask = 0x7cc1, cc-answer = 0x7cc0 }");
    expect([site.exids["cc-ask"], site.exids["cc-answer"]]).toEqual([0x7cc1, 0x7cc0]);
  });

  test("with --keep leaves what it does not name", () => {
    const site = settled(`[exid]\ncc-ask = 1\n${numbered(["a", "b"])}`);
    const more = settled("[exid]\ntarr = 2\n[algorithms]\nc = 0x9000\na = 0x9001\n", site, true);
    expect(more.exids).toEqual({ ...DEFAULT_SITE.exids, "cc-ask": 1, tarr: 2 });
    const numbers = siteAlgorithms(more).map(({ name, number }) => [name, number]);
    expect(Object.fromEntries(numbers)).toEqual({ a: 0x9001, b: 0x8001, c: 0x9000 });
    expect(settled("", site, true)).toEqual(site);
  });
});

describe("refused with file, line and key:", () => {
  test.each<[string, string, RegExp]>([
    ["no table", "exid = 3", /^p\.toml:1: exid: is 3; write \[exid\]/],
    ["a list", "algorithms = []", /^p\.toml:1: algorithms: is an empty list; write \[algorithms\]/],
    ["an unknown key", "[exid]\ncc = 1", /^p\.toml:2: exid\.cc: unknown key; accepted is cc-ask, .*, tarr$/],
    [
      "zero",
      "[exid]\ncc-ask = 0",
      /^p\.toml:2: exid\.cc-ask: is 0x0000; accepted is a number from 1 to 0xffff/,
    ],
    ["more than 16 bits", "[exid]\ntarr = 0x10000", /^p\.toml:2: exid\.tarr: is 0x10000; accepted/],
    ["a negative one", "[exid]\ntarr = -1", /^p\.toml:2: exid\.tarr: is -1; accepted/],
    ["a fraction", "[exid]\ntarr = 1.5", /^p\.toml:2: exid\.tarr: is 1\.5; accepted/],
    ["a text", '[exid]\ntarr = "0x7d00"', /^p\.toml:2: exid\.tarr: is "0x7d00"; accepted/],
    ["infinity", "[exid]\ntarr = inf", /^p\.toml:2: exid\.tarr: .*; accepted/],
    ["one for two", "[exid]\ncc-ask = 5\niw-ask = 5", /^p\.toml:3: exid\.iw-ask: 0x0005 is that of cc-ask/],
    ["a default", "[exid]\ncc-ask = 0x7c10", /^p\.toml:2: exid\.cc-ask: 0x7c10 is that of iw-ask/],
    ["one behind it", "[exid]\ntarr = 0x7cc0", /^p\.toml:2: exid\.tarr: 0x7cc0 is that of cc-ask/],
    [
      "ours",
      "[algorithms]\ncubic = 0x8000",
      /^p\.toml:2: algorithms\.cubic: has number 3 everywhere; leave it out/,
    ],
    ["none", "[algorithms]\nnone = 0x8000", /^p\.toml:2: algorithms\.none: is no name .*not none$/],
    ["a long name", `[algorithms]\n${"a".repeat(16)} = 0x8000`, /is no name of a congestion control; .*15/],
    ["a comma", '[algorithms]\n"a,b" = 0x8000', /^p\.toml:2: algorithms\.a,b: is no name/],
    ["a leading dash", "[algorithms]\n-a = 0x8000", /is no name/],
    [
      "a small number",
      "[algorithms]\na = 17",
      /^p\.toml:2: algorithms\.a: is 0x0011; accepted .* 0x8000 to 0xfffe/,
    ],
    ["the refusal", "[algorithms]\na = 0xffff", /^p\.toml:2: algorithms\.a: is 0xffff; accepted/],
    [
      "a number for two",
      "[algorithms]\na = 0x8000\nb = 0x8000",
      /^p\.toml:3: algorithms\.b: 0x8000 is that of a/,
    ],
    ["nine", numbered([...EIGHT, "i"]), /^p\.toml:1: algorithms: there are 9; a host has room for 8/],
    [
      "a name that no table has",
      '[[scope]]\n[[scope.cc-request]]\nset = "mycc"\n',
      /^p\.toml:3: scope\[0\]\.cc-request\[0\]\.set: ALGORITHM 'mycc' is not known; accepted is .*highspeed, or none/,
    ],
    [
      "another name than the table has",
      '[algorithms]\nmycc = 0x8000\n[[scope]]\n[[scope.cc-request]]\naccept = ["cubic", "my"]\n',
      /^p\.toml:5: scope\[0\]\.cc-request\[0\]\.accept\[1\]: ALGORITHM 'my' .*highspeed, mycc, or none/,
    ],
  ])("%s", async (_, text, said) => {
    expect(await complaint(text)).toMatch(said);
  });

  test("with --keep what is in force counts", async () => {
    const present = settled(`[exid]\ntarr = 7\n${numbered(EIGHT)}`);
    const text = (body: string) => `${body}\n[[scope]]\n`;
    expect(await complaint(text("exid = { cc-ask = 7 }"), present, true)).toMatch(
      /^p\.toml:1: exid\.cc-ask: 0x0007 is that of tarr/,
    );
    expect(await complaint(text("algorithms = { z = 0x8003 }"), present, true)).toMatch(
      /^p\.toml:1: algorithms\.z: 0x8003 is that of d/,
    );
    expect(await complaint(text("algorithms = { z = 0x9000 }"), present, true)).toMatch(
      /^p\.toml:1: algorithms: there are 9; .*those in force included/,
    );
    expect(await complaint(text("algorithms = { z = 0x9000 }"), present)).toBe("");
  });
});

describe("slots", () => {
  test("stay when others come and go", () => {
    const three = settled(numbered(["a", "b", "c"]));
    expect(slots(three)).toBe("a b c");
    const two = settled("[algorithms]\nc = 0x8002\nb = 0x8001\n", three);
    expect(slots(two)).toBe(" b c");
    expect(slots(settled("[algorithms]\nz = 0x9000\nc = 0x8002\nb = 0x8001\n", two))).toBe("z b c");
  });

  test("of those that go are not given away while there are others, nor while a rule needs them", () => {
    const one = settled(numbered(["a"]));
    expect(slots(settled("[algorithms]\nb = 0x8000\n", one))).toBe(" b");
    const full = settled(numbered(EIGHT));
    expect(slots(settled(numbered(["z"], 0x9000), full, false, [0, 1, 3]))).toBe("  z");
    const all = [0, 1, 2, 3, 4, 5, 6, 7];
    expect(() => settled(numbered(["z"], 0x9000), full, false, all)).toThrow(
      /rules still need the places of others/,
    );
  });

  test("another number is another algorithm", () => {
    const before = settled("[algorithms]\na = 0x8000\n");
    const after = settled("[algorithms]\na = 0x8001\n", before);
    expect(slots(after)).toBe(" a");
    expect(changedSlots(before, after)).toEqual([0]);
    expect(changedSlots(after, after)).toEqual([]);
  });

  test("whatever follows what: nobody moves, and nobody takes a place that a rule needs", () => {
    const table = fc.uniqueArray(
      fc.tuple(fc.constantFrom(...EIGHT, "i", "j", "k"), fc.integer({ min: 0x8000, max: 0x8010 })),
      {
        selector: ([name]) => name,
        maxLength: 8,
      },
    );
    const text = (entries: [string, number][]) => {
      const numbers = new Map(entries.map(([name, number]) => [number, name]));
      return `[algorithms]\n${[...numbers].map(([number, name]) => `${name} = ${number}\n`).join("")}`;
    };
    fc.assert(
      fc.property(table, table, fc.uniqueArray(fc.nat(7)), (first, second, used) => {
        const before = settled(text(first));
        const inUse = used.filter((slot) => before.algorithms[slot]);
        let after: Site;
        try {
          after = settled(text(second), before, false, inUse);
        } catch (error) {
          expect((error as Error).message).toContain("rules still need");
          return;
        }
        for (const [slot, held] of before.algorithms.entries()) {
          const stays =
            held && siteAlgorithms(after).some((a) => a.name === held.name && a.number === held.number);
          if (stays) expect(after.algorithms[slot]).toEqual(held);
          else if (held && inUse.includes(slot)) expect(after.algorithms[slot]).toBeNull();
        }
      }),
    );
  });
});

const SITE = settled(
  "[exid]\ncc-ask = 0x7d00\niw-ask = 0x7d10\nack-ask = 0x7da0\ntarr = 0x00ad\n" +
    numbered(["mycc", '"my.cc-2"']),
);

describe("names and numbers", () => {
  test("in rules, on the wire, and back", () => {
    for (const [id, name] of [...ALGORITHMS, "mycc", "my.cc-2"].entries()) {
      expect(algorithmId(name, SITE)).toBe(id);
      expect(algorithmName(id, SITE)).toBe(name);
      expect(numberName(algorithmNumber(id, SITE), SITE)).toBe(name);
    }
    expect(algorithmNumber(17, SITE)).toBe(0x8000);
    expect([numberName(17, SITE), numberName(0x8002, SITE), numberName(0, SITE)]).toEqual([
      undefined,
      undefined,
      "vegas",
    ]);
    expect(algorithmId("mycc", DEFAULT_SITE)).toBe(-1);
  });

  test("of commands", () => {
    const { set, accept } = ccRequest.verbs as Required<typeof ccRequest.verbs>;
    expect(set!.draft({ algorithm: "mycc" }, SITE).drafts[0]!.value).toEqual([17, 0]);
    const [draft] = accept!.draft({ algorithms: "my.cc-2,cubic" }, SITE).drafts;
    expect(draft!.value).toEqual([(1 << 18) | (1 << 3), 0]);
    expect(ccRequest.describe(draft!, SITE)).toBe("cubic,my.cc-2");
    expect(ccRequest.json(draft!, SITE)).toEqual({ algorithms: ["cubic", "my.cc-2"] });
    expect(ccRequest.slots!(draft!)).toEqual([1]);
    const rule = { none: false, force: false } as const;
    expect(ccRequest.slots!({ kind: "ask", ...rule, value: [17, 0] })).toEqual([0]);
    expect(ccRequest.slots!({ kind: "ask", ...rule, value: [3, 0] })).toEqual([]);
    expect(ccRequest.slots!({ kind: "ask", none: true, force: false, value: [0, 0] })).toEqual([]);
  });

  test("the option of a rule has the site's identifier and number", () => {
    const rule = { none: false, force: false } as const;
    expect(ccRequest.json({ kind: "ask", ...rule, value: [17, 0] }, SITE)).toEqual({
      algorithm: "mycc",
      option: "fe067d008000",
    });
    expect(iw.json({ kind: "ask", ...rule, value: [40, 0] }, SITE)).toMatchObject({ option: "fe067d100028" });
    const request = (args: Record<string, unknown>) =>
      ack.json(ack.verbs.request!.draft(args).drafts[0]!, SITE);
    expect(request({ every: "10" })).toMatchObject({ option: "fe067da0000a" });
    expect(request({ every: "10", tarr: true })).toMatchObject({
      option: "fe0500ad14",
      capability: "fe0400ad",
    });
  });

  test("of what has travelled", () => {
    expect(numberShown(ccRequest, 0x8000, SITE).text).toBe("mycc");
    expect(numberShown(ccRequest, 0x8000).text).toBe("number 32768");
    expect(numberShown(ccRequest, 17, SITE).text).toBe("number 17");
    const option = Uint8Array.fromHex("fe067d008000");
    expect(describeOwn(option, SITE)).toBe("asks for mycc (fe067d008000)");
    expect(describeOwn(option)).toBeUndefined();
    expect(describeOwn(Uint8Array.fromHex("fe067cc00003"), SITE)).toBeUndefined();
    expect(describeOwn(Uint8Array.fromHex("fe0400ad"), SITE)).toContain("TARR");
  });
});

describe("told", () => {
  test("a change, line by line", () => {
    expect(siteLines(DEFAULT_SITE, DEFAULT_SITE)).toEqual([]);
    expect(siteLines(SITE, settled("[exid]\ncc-ask = 0x7d00\n[algorithms]\nmycc = 0x9000\n", SITE))).toEqual([
      "+ exid iw-ask 0x7c10 (was 0x7d10)",
      "+ exid ack-ask 0x7ca0 (was 0x7da0)",
      "+ exid tarr 0x00ac (was 0x00ad)",
      "+ algorithm mycc 0x9000 (was 0x8000)",
      "- algorithm my.cc-2 0x8001",
    ]);
  });

  test("nothing of what is documented", () => {
    expect([siteText(DEFAULT_SITE), siteJson(DEFAULT_SITE), printSite(DEFAULT_SITE)]).toEqual(["", null, ""]);
    expect(siteText(SITE)).toContain("\n  exid cc-ask 0x7d00\n");
    expect(siteJson(SITE)).toMatchObject({
      exid: exidsOf(SITE),
      algorithm_numbers: { mycc: 0x8000, "my.cc-2": 0x8001 },
    });
  });

  test("a printed policy makes the same table, with and without rules", async () => {
    for (const site of [DEFAULT_SITE, SITE]) {
      const [rule] = ccRequest.verbs.set!.draft({ algorithm: site === SITE ? "mycc" : "bbr" }, site).drafts;
      const selector = {
        direction: "to",
        family: 0,
        address: new Uint8Array(16),
        prefix: 0,
        port: 0,
      } as const;
      const rules = [{ ext: "cc-request", netns: null, selector, ...rule! }];
      for (const scopes of [[], [{ names: { cgroup: "/a" }, rules }]]) {
        const text = [...printPolicy(scopes, { tickUs: 4000 }, site)].join("");
        const policy = await parsePolicy({ name: NAME, text });
        expect(sameSite(policy.site, site)).toBe(true);
        expect(policy.scopes).toHaveLength(scopes.length);
      }
    }
  });
});

test("the bytes of the table, and of one that an older layout had not", () => {
  const bytes = encode("tcpx_site", encodeSite(SITE));
  expect(decodeSite(decode("tcpx_site", bytes))).toEqual(SITE);
  expect(decodeSite(decode("tcpx_site", new Uint8Array(bytes.length)))).toEqual(DEFAULT_SITE);
});

test("an identifier that a table lacks is the documented one, and not 0", () => {
  const table = encodeSite(SITE);
  const { id } = iw;
  const exids = table.exids.filter(({ ext, role }) => ext !== id || role !== Role.ASK);
  expect(exidsOf(decodeSite({ ...table, exids }))).toEqual({ ...exidsOf(SITE), "iw-ask": 0x7c10 });
});

test("a table of layouts up to 8, in which every identifier has a place", () => {
  const old_exids = [0x9001, 0x9002, 0, 0x7c11, 0x9005, 0x7ca1, 0x9007, 0];
  const site = decodeSite({ ...encodeSite(DEFAULT_SITE), old_exids });
  expect(site.exids).toEqual({ "cc-ask": 0x9001, "cc-answer": 0x9002, "ack-ask": 0x9005, tarr: 0x9007 });
});
