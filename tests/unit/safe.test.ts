// SPDX-License-Identifier: MIT
// Names that others choose, on their way to a terminal, into JSON and into TOML.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { parse } from "smol-toml";
import { inJson, inToml, marked, painted, shortened, visible } from "../../cli/output/safe.ts";

/** Ranges of what a terminal obeys, hides or turns around, written down apart from the code. */
const RANGES: [number, number][] = [
  [0x00, 0x1f], // C0, ESC among them
  [0x7f, 0x9f], // DEL and C1
  [0xad, 0xad], // soft hyphen
  [0x34f, 0x34f],
  [0x61c, 0x61c], // Arabic letter mark
  [0x115f, 0x1160],
  [0x17b4, 0x17b5],
  [0x180b, 0x180f],
  [0x200b, 0x200c],
  [0x200e, 0x200f], // marks of direction
  [0x2028, 0x202e], // separators, embeddings and overrides
  [0x2060, 0x206f], // isolates among them
  [0x3164, 0x3164],
  [0xd800, 0xdfff],
  [0xfe00, 0xfe0e],
  [0xfeff, 0xfeff],
  [0xffa0, 0xffa0],
  [0xfff0, 0xfffb],
  [0xfdd0, 0xfdef],
  [0xfffe, 0xffff],
  [0x1d173, 0x1d17a],
  [0xe0000, 0xe0fff], // tags
  [0x10fffe, 0x10ffff],
];
const isHidden = (code: number) => RANGES.some(([first, last]) => code >= first && code <= last);
/** Code points: a pair of surrogates is one, a lone one stands for itself. */
const codes = (text: string) => Array.from(text, (character) => character.codePointAt(0)!);
const hiddenIn = (text: string) => codes(text).filter(isHidden);

const hidden = fc
  .oneof(...RANGES.map(([min, max]) => fc.integer({ min, max })))
  .map((code) => String.fromCodePoint(code));
const hostile = fc
  .array(fc.oneof(hidden, fc.string({ unit: "binary" }), fc.constantFrom("\x1b[31m", "\\x1b", "\u200d")))
  .map((parts) => parts.join(""));

const FAMILY = "\u{1f468}\u200d\u{1f469}\u200d\u{1f467}";
const SAFE = [
  "/system.slice/nginx.service",
  "a\\x2db \\u202e", // backslashes are systemd's own
  "Größe e\u0301 ﷽ שלום ไทย हिन्दी 日本語 한국어",
  `${FAMILY} \u2764\ufe0f 1\ufe0f\u20e3 \u{1f3f3}\ufe0f\u200d\u{1f308} \u{1f469}\u{1f3fd}\u200d\u{1f680} \u{1f1e9}\u{1f1ea}`,
  "\ue0b0 \u{f0000} \u00a0", // of a private font, and blank
];

describe("visible", () => {
  test("leaves nothing that a terminal would obey, hide or turn around", () => {
    const check = (text: string) => expect(hiddenIn(visible(text))).toEqual([]);
    fc.assert(fc.property(hostile, check));
    for (let code = 0; code < 0x110000; code++) if (isHidden(code)) check(`a${String.fromCodePoint(code)}b`);
  });

  test("twice is once", () => {
    fc.assert(fc.property(hostile, (text) => expect(visible(visible(text))).toBe(visible(text))));
  });

  test.each(SAFE)("%p is left alone", (text) => {
    expect([visible(text), painted(text), inJson(text), inToml(text)]).toEqual([text, text, text, text]);
  });

  test("the escapes are those of bash, which reads them back", () => {
    const name = "a\x1b[31m\t\x7f\u009b\u202e\u{e0041}b";
    expect(visible(name)).toBe("a\\x1b[31m\\x09\\x7f\\u009b\\u202e\\U000e0041b");
    const script = `printf %s $'${visible(name)}'`;
    const env = { ...process.env, LC_ALL: "C.UTF-8" };
    expect(Bun.spawnSync(["bash", "-c", script], { env }).stdout.toString()).toBe(name);
  });

  test("joiners and selectors of emoji stay between their parts only", () => {
    expect(visible("a\u200db\ufe0f 1\ufe0f \u2764\ufe0f\ufe0f")).toBe(
      "a\\u200db\\ufe0f 1\\ufe0f \u2764\ufe0f\\ufe0f",
    );
  });

  test("a line break is kept in lines, and is none in a line", () => {
    expect([visible("a\nb"), painted("a\nb\r\n")]).toEqual(["a\\x0ab", "a\nb\\x0d\n"]);
  });
});

describe("colours", () => {
  test("only what was marked here becomes one", () => {
    expect(painted(`${marked("red", "x")} \x1b[31my\x1b[0m`)).toBe("\x1b[31mx\x1b[0m \\x1b[31my\\x1b[0m");
  });

  test("marks survive in a line, and have no width", () => {
    expect(visible(marked("bold", "x"))).toBe(marked("bold", "x"));
    expect(Bun.stringWidth(marked("bold", "x"))).toBe(1);
  });

  test("a name that looks like a mark of another process is no colour", () => {
    const other = [import.meta.dir, "../../cli/output/safe.ts"].join("/");
    const script = `const { marked } = await import(${JSON.stringify(other)}); process.stdout.write(marked("red", "x"))`;
    const foreign = Bun.spawnSync([process.execPath, "-e", script]).stdout.toString();
    expect(foreign).toContain("\x1b[31;");
    expect(painted(foreign)).not.toContain("\x1b");
  });
});

describe("texts for programs", () => {
  test("JSON is the same document, without such characters", () => {
    fc.assert(
      fc.property(hostile, fc.string(), (value, key) => {
        const text = JSON.stringify({ [key]: [value] }, null, 1);
        expect(hiddenIn(inJson(text).replaceAll("\n", ""))).toEqual([]);
        expect(JSON.parse(inJson(text))).toEqual(JSON.parse(text));
      }),
    );
  });

  test("TOML is the same string, without such characters", () => {
    fc.assert(
      fc.property(hostile, (text) => {
        const name = text.toWellFormed(); // no file has anything else
        const line = `name = ${inToml(JSON.stringify(name))}`;
        expect(hiddenIn(line)).toEqual([]);
        expect(parse(line)).toEqual({ name });
      }),
    );
  });
});

test("what is too long loses its middle", () => {
  expect(shortened("a".repeat(10), 10)).toBe("a".repeat(10));
  expect(shortened(`begin${"x".repeat(100)}end`, 13)).toBe("begi ... xend");
  fc.assert(
    fc.property(fc.string(), fc.integer({ min: 10, max: 50 }), (text, most) => {
      expect(shortened(text, most).length).toBeLessThanOrEqual(most);
    }),
  );
});
