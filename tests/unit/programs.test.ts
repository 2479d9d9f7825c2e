// SPDX-License-Identifier: MIT
// What is pure of programs of others: values of variables, numbers of congestion controls, and policy files.
import { describe, expect, test } from "bun:test";
import { Exit, TcpxError } from "../../cli/base/errors.ts";
import type { Bridge } from "../../cli/bridge/bridge.ts";
import { becauseOf } from "../../cli/commands/apply-programs.ts";
import { parsePolicy } from "../../cli/policy-file/parse.ts";
import { printPolicy } from "../../cli/policy-file/print.ts";
import { parseNumber, withAlgorithm, withoutAlgorithm } from "../../cli/programs/number.ts";
import { type LoadedProgram, runsOf } from "../../cli/programs/state.ts";
import { parseSettings, settled, type Variable, writeSettings } from "../../cli/programs/variables.ts";
import { DEFAULT_SITE, SITE_ALGORITHMS, siteAlgorithms } from "../../cli/wire/site.ts";

const variable = (
  name: string,
  offset: number,
  bytes: number,
  isSigned = false,
  isBool = false,
): Variable => ({
  ...{ name, offset, bytes, isSigned, isBool },
});
const ALL = [
  variable("byte", 0, 1),
  variable("small", 1, 2, true),
  variable("word", 4, 4),
  variable("wide", 8, 8, true),
  variable("on", 16, 1, false, true),
];

function written(text: string): string {
  const bytes = new Uint8Array(18).fill(0xee);
  writeSettings(bytes, ALL, parseSettings(text));
  return bytes.toHex();
}

describe("variables", () => {
  test("stand in .rodata as the program reads them, and nothing beside them", () => {
    expect(written("byte=255,small=-2,word=0x1234")).toBe(`fffeffee34120000${"ee".repeat(10)}`);
    expect(written("wide=-9223372036854775808,on=true")).toBe(`${"ee".repeat(8)}000000000000008001ee`);
    expect(written("on=0")).toBe(`${"ee".repeat(16)}00ee`);
  });

  test("that say the same are the same", () => {
    expect(settled(ALL, parseSettings("word=0x10, on=1"))).toEqual({ on: "true", word: "16" });
    expect(settled(ALL, parseSettings("on=true,word=16"))).toEqual({ on: "true", word: "16" });
  });

  test.each([
    ["byte=256", "from 0 to 255"],
    ["small=32768", "from -32768 to 32767"],
    ["wide=9223372036854775808", "to 9223372036854775807"],
    ["on=yes", "true or false"],
    ["word=1.5", "from 0 to 4294967295"],
    ["word=-0x5", "from 0 to"],
    ["wrod=1", "did you mean word?"],
    ["__proto__=1", "there are byte, small"],
  ])("%s is refused", (text, hint) => {
    expect(() => written(text)).toThrow(
      expect.objectContaining({ code: 2, hint: expect.stringContaining(hint) }),
    );
  });

  test.each(["", "byte", "=1", "byte=", "1a=2", "byte=1,,word=2"])("'%s' is no NAME=VALUE", (text) => {
    expect(() => parseSettings(text)).toThrow(/is no NAME=VALUE/);
  });
});

describe("numbers of congestion controls", () => {
  test("the first free one, the chosen one, or the one that it has", () => {
    const one = withAlgorithm(DEFAULT_SITE, "one");
    expect(one.number).toBe(0x8000);
    const two = withAlgorithm(one.site, "two", 0xfffe);
    expect(siteAlgorithms(two.site)).toEqual([
      { name: "one", number: 0x8000 },
      { name: "two", number: 0xfffe },
    ]);
    expect(withAlgorithm(two.site, "two")).toEqual({ site: two.site, number: 0xfffe });
    expect(withAlgorithm(two.site, "three").number).toBe(0x8001);
    expect(withoutAlgorithm(two.site, "two")).toEqual(one.site);
  });

  test("another one's, another than it has, and none that is free are refused", () => {
    const { site } = withAlgorithm(DEFAULT_SITE, "one");
    expect(() => withAlgorithm(site, "two", 0x8000)).toThrow("is that of one");
    expect(() => withAlgorithm(site, "one", 0x8001)).toThrow("has the number 0x8000 already");
    let full = DEFAULT_SITE;
    for (let i = 0; i < SITE_ALGORITHMS; i++) full = withAlgorithm(full, `n${i}`).site;
    expect(() => withAlgorithm(full, "more")).toThrow("is full");
    expect([parseNumber("0x8000"), parseNumber("65534")]).toEqual([0x8000, 0xfffe]);
    for (const text of ["0x7fff", "65535", "x", "-1", ""])
      expect(() => parseNumber(text)).toThrow("--number");
  });
});

describe("policy files", () => {
  const SUM = "ab".repeat(32);
  const TEXT = `
schema = 1

[[congestion]]
file = "/etc/tcpx/cc.bpf.o"
sha256 = "${SUM}"
set = { on = true, word = -5 }

[[scope]]
cgroup = "/a"

[[scope.program]]
file = "/etc/tcpx/p.bpf.o"
name = "p"
sha256 = "${SUM}"
`;
  const read = (text: string) => parsePolicy({ name: "p.toml", text });

  test("name programs, and are printed so", async () => {
    const policy = await read(TEXT);
    expect(policy.congestion.map(({ wish }) => wish)).toEqual([
      { file: "/etc/tcpx/cc.bpf.o", sha256: SUM, set: { on: "true", word: "-5" } },
    ]);
    const [scope] = policy.scopes;
    expect(scope?.programs.map(({ wish }) => wish)).toEqual([
      { file: "/etc/tcpx/p.bpf.o", name: "p", sha256: SUM, set: {} },
    ]);
    const control = { name: "cc", file: "/etc/tcpx/cc.bpf.o", sha256: SUM, set: { on: "true", word: "-5" } };
    const program = { name: "p", file: "/etc/tcpx/p.bpf.o", sha256: SUM, set: {} };
    const scopes = [{ names: { cgroup: "/a" }, rules: [], programs: [program] }];
    const printed = [...printPolicy(scopes, { tickUs: 4000 }, DEFAULT_SITE, [control])].join("");
    expect(printed).toEndWith(TEXT);
  });

  test.each([
    ['file = "/etc/tcpx/cc.bpf.o"', 'file = "cc.bpf.o"', "congestion[0].file", "an absolute path"],
    ['file = "/etc/tcpx/cc.bpf.o"', "", "congestion[0]: names no file", ""],
    [
      'file = "/etc/tcpx/cc.bpf.o"',
      'file = "/x"\nname = "x"',
      "congestion[0].name: unknown key",
      "accepted is file",
    ],
    ["on = true", "on = 1.5", "congestion[0].set.on", "a number without a point"],
    ["on = true", '"a b" = 1', "set", "is no name of a variable"],
    ['name = "p"', 'name = "a.b"', "scope[0].program[0].name", "32 letters"],
    ['name = "p"', 'fiel = "p"', "scope[0].program[0].fiel: unknown key", "did you mean file?"],
    ["[[scope.program]]", "[scope.program]", "scope[0].program", "[[scope.program]]"],
    ["[[congestion]]", "[[congestions]]", "unknown key", "did you mean congestion?"],
  ])("with %s as %s are refused", async (from, to, place, hint) => {
    const error = await read(TEXT.replace(from, to)).catch((one: Error & { hint?: string }) => one);
    expect(error).toBeInstanceOf(Error);
    const { message, hint: said = "" } = error as Error & { hint?: string };
    expect(`${message}; ${said}`).toContain(place);
    expect(`${message}; ${said}`).toContain(hint);
  });
});

describe("a rule of a file that needs a program which was left out", () => {
  const missed = ["policy.toml:9: congestion[0]: /etc/x.bpf.o is not there"];
  const because = (error: unknown, left: string[]) => {
    try {
      return becauseOf(left)(error);
    } catch (thrown) {
      return thrown;
    }
  };

  test("is refused with that program", () => {
    const error = new TcpxError(Exit.UNSUPPORTED, "no 'mine'", { value: "mine", hint: "it has reno" });
    expect(because(error, missed)).toMatchObject({
      ...{ code: 3, message: "no 'mine'", value: "mine" },
      hint: "left out was policy.toml:9: congestion[0]: /etc/x.bpf.o is not there; it has reno",
    });
    expect(because(error, [])).toBe(error);
  });

  test("other errors stay as they are", () => {
    const error = new TcpxError(Exit.BUSY, "busy");
    expect([because(error, missed), because(7, missed)]).toEqual([error, 7]);
  });
});

describe("run counts of a program", () => {
  const TAG = "0102030405060708";
  /** A kernel where program 7 has run three times. */
  const lib = {
    tcpx_prog_open: (id: number) => (id === 7 ? 99 : -2),
    tcpx_prog_info: (_: number, info: Uint8Array) => {
      new DataView(info.buffer).setBigUint64(8, 3n, true);
      info.set(Uint8Array.fromHex(TAG), 40);
      return 0;
    },
    tcpx_close: () => 0,
  } as unknown as Bridge;
  const runs = (of: Partial<LoadedProgram>, tag?: string) => {
    const programs = [{ name: "x", id: 7, ...(tag !== undefined && { tag }) }];
    const about = { programs } as unknown as NonNullable<LoadedProgram["about"]>;
    const base = { kind: "sock_ops", id: 7, linkId: 1, isInForce: true } as const;
    return runsOf(lib, { ...base, ...of, about } as LoadedProgram)[0]!.runs;
  };

  test("are those of the one that its link holds, with its code", () => {
    expect([runs({}), runs({}, TAG)]).toEqual([3, 3]);
    expect(runs({ kind: "congestion", id: 5 }, TAG)).toBe(3);
  });

  test("are not those of another program that has got its number", () => {
    expect(runs({}, "ffffffffffffffff")).toBeNull();
    expect(runs({ id: 8 }, TAG)).toBeNull();
    expect(runs({ kind: "congestion", id: 0, isInForce: false, linkId: 0 }, TAG)).toBeNull();
  });
});
