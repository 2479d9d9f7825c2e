// SPDX-License-Identifier: MIT
// Tables: one line per row where nobody looks at a terminal, as wide as the terminal where somebody does.
import { afterEach, beforeEach, describe, expect, spyOn, test } from "bun:test";
import { documentParts, listOf } from "../../cli/output/document.ts";
import { table, tableRows } from "../../cli/output/table.ts";
import { cutTo, terminalWidth } from "../../cli/output/terminal.ts";
import { wrapped } from "../../cli/output/wrap.ts";

const { stdout, env } = process;
const before = { tty: stdout.isTTY, columns: stdout.columns, env: { ...env } };

function terminal(isTTY: boolean, columns?: number, preferred?: string): void {
  stdout.isTTY = isTTY;
  Object.defineProperty(stdout, "columns", { value: columns, configurable: true });
  if (preferred === undefined) delete env.COLUMNS;
  else env.COLUMNS = preferred;
}

beforeEach(() => {
  env.NO_COLOR = "1";
  terminal(false);
});

afterEach(() => {
  terminal(before.tty, before.columns, before.env.COLUMNS);
  if (before.env.NO_COLOR === undefined) delete env.NO_COLOR;
});

describe("the width of the terminal", () => {
  test("none where stdout is none, whatever COLUMNS says", () => {
    terminal(false, 120, "100");
    expect(terminalWidth()).toBeUndefined();
  });

  test("what its user prefers, then its own, then 80", () => {
    const cases: [columns: number | undefined, preferred: string | undefined, width: number][] = [
      [120, "100", 100],
      [120, undefined, 120],
      [20, undefined, 20],
      [0, undefined, 80],
      [undefined, undefined, 80],
    ];
    for (const [columns, preferred, width] of cases) {
      terminal(true, columns, preferred);
      expect(terminalWidth()).toBe(width);
    }
  });

  test("what is no width is not looked at", () => {
    for (const preferred of ["", "0", "-1", "wide", "1e3", "3", "99999999999", " 100", "\x1b[1m"]) {
      terminal(true, 132, preferred);
      expect([preferred, terminalWidth()]).toEqual([preferred, 132]);
    }
  });
});

const LONG = "x".repeat(200);
const rows = [
  ["a", 5, "short", "one two three four"],
  ["longer", 1000, LONG, ""],
];
const HEAD = ["NAME", "N", "WHAT", "MORE"];

describe("where stdout is no terminal", () => {
  test("a row is a line, with nothing left out; two blanks part columns", () => {
    const lines = table(HEAD, rows, [1], { below: [2], prose: true }).split("\n");
    expect(lines).toHaveLength(3);
    expect(lines[2]).toBe(`longer  1000  ${LONG}`);
    expect(lines[1]!.split(/ {2,}/)).toEqual(["a", "5", "short", "one two three four"]);
    expect(lines[0]!.split(/ {2,}/)).toEqual(HEAD);
  });

  test("line breaks in a cell make no line", () => {
    expect(table(["A", "B"], [["1\n2", "3"]]).split("\n")).toHaveLength(2);
  });
});

describe("on a terminal", () => {
  /** Widest line that a table has there. */
  const widest = (text: string) => Math.max(...text.split("\n").map((line) => Bun.stringWidth(line)));
  const words = ["alpha beta", "gamma", "delta", "epsilon zeta eta", "/a/path"];
  const many = Array.from({ length: 20 }, (_, i) => words.map((word) => `${word} ${i}`));
  const head = ["ONE", "TWO", "THREE", "FOUR", "FIVE"];

  test("no line is wider than it is, whatever stands below its row, and nothing is lost", () => {
    for (const columns of [200, 80, 60, 40, 20]) {
      terminal(true, columns);
      const text = table(head, many, [], { below: [3, 4] });
      expect(widest(text)).toBeLessThanOrEqual(columns);
      const flat = text.replace(/\s+/g, " ");
      for (const cell of many.flat()) expect(flat).toContain(cell);
    }
  });

  test("what was named goes below first, then what is widest, and never the first column", () => {
    const cells = [["id", "some words", "more words than those", "named"]];
    const lines = (columns: number) => {
      terminal(true, columns);
      return table(["A", "B", "C", "D"], cells, [], { below: [3] }).split("\n");
    };
    expect(lines(50)[1]).toBe("id  some words  more words than those  named");
    expect(lines(40)).toEqual([
      "A   B           C",
      "  D",
      "id  some words  more words than those",
      "  named",
    ]);
    expect(lines(20)).toEqual([
      "A   B",
      "  C",
      "  D",
      "id  some words",
      "  more words than",
      "  those",
      "  named",
    ]);
    expect(lines(10)).toEqual([
      "A",
      "  B",
      "  C",
      "  D",
      "id",
      "  some",
      "  words",
      "  more",
      "  words",
      "  than",
      "  those",
      "  named",
    ]);
  });

  test("a wide terminal is used", () => {
    const cells = [["a", "x".repeat(100)]];
    terminal(true, 120);
    expect(table(["A", "B"], cells).split("\n")).toHaveLength(2);
    terminal(true, 80);
    expect(table(["A", "B"], cells).split("\n")).toHaveLength(4);
  });

  test("prose goes on below itself, as long as there is room for it", () => {
    const cells = [["check", "one two three four five six seven eight"]];
    const lines = (columns: number) => {
      terminal(true, columns);
      return table(["A", "B"], cells, [], { prose: true }).split("\n");
    };
    expect(lines(32)).toEqual(["A      B", "check  one two three four five", "       six seven eight"]);
    expect(lines(30)).toEqual(["A", "  B", "check", "  one two three four five six", "  seven eight"]);
  });

  test("numbers stay under their heading, and wide characters count twice", () => {
    terminal(true, 24);
    const text = table(
      ["NAME", "N", "WHAT"],
      [
        ["日本語", 7, "x".repeat(30)],
        ["ab", 1234, ""],
      ],
      [1],
    );
    expect(text.split("\n")).toEqual([
      "NAME       N",
      "  WHAT",
      "日本語     7",
      `  ${"x".repeat(30)}`,
      "ab      1234",
    ]);
    // a path of 16 columns in 12 characters does not fit beside four more
    const wide = table(["A", "PATH"], [["one", "/日本語のグ/ab/"]]);
    expect(wide.split("\n")).toEqual(["A    PATH", "one  /日本語のグ/ab/"]);
    terminal(true, 18);
    expect(table(["A", "PATH"], [["one", "/日本語のグ/ab/"]]).split("\n")).toHaveLength(4);
  });
});

test("a line is cut where it ends, and no wide character in two", () => {
  expect([cutTo("abc", 3), cutTo("abcd", 3), cutTo("日本語", 5), cutTo("", 0), cutTo("a", 0)]).toEqual([
    "abc",
    "abc",
    "日本",
    "",
    "",
  ]);
});

test("a word that is wider than its place stays whole", () => {
  expect(wrapped("a verylongword b", 6)).toEqual(["a", "verylongword", "b"]);
  expect(wrapped("", 6)).toEqual([""]);
});

describe("many rows", () => {
  const row = ["uto", "local", "30s", "--to 10.0.0.0/8", "all", "/a"];
  const names = ["EXT", "KIND", "VALUE", "SELECTOR", "NETNS", "SCOPE"];

  /** How often a width is measured for so many rows, and how much of them is held at once. */
  function work(count: number): { measured: number; held: number } {
    let [made, written, held] = [0, -1, 0]; // the heading comes first
    const rows = {
      *[Symbol.iterator]() {
        made = 0;
        for (let i = 0; i < count; i++, made++) yield row;
      },
    };
    const measured = spyOn(Bun, "stringWidth");
    try {
      for (const _ of tableRows(names, rows)) if (written++ >= 0) held = Math.max(held, made - written + 1);
      return { measured: measured.mock.calls.length, held };
    } finally {
      measured.mockRestore();
    }
  }

  test("ten times as many are ten times the work, and none waits for the others", () => {
    const [few, many] = [work(100), work(1000)];
    expect(few.measured).toBeGreaterThan(100 * names.length); // it counts what there is
    expect(many.measured / few.measured).toBeLessThan(10.5);
    expect(many.held).toBeLessThanOrEqual(1);
  });

  test("100,000 are shown", () => {
    let length = 0;
    for (const text of tableRows(
      names,
      Array.from({ length: 100_000 }, () => row),
    ))
      length += text.length;
    expect(length).toBeGreaterThan(100_000 * row.join("  ").length);
  });
});

describe("documents with long lists", () => {
  const text = (document: Record<string, unknown>) => [...documentParts(document)].join("");

  test("are the documents that they would be without", () => {
    const plain = { schema: 1, rules: [{ a: 1n }, { b: [null, "x"] }], none: [], last: "y" };
    const long = {
      ...plain,
      rules: listOf(plain.rules, (rule) => rule),
      none: listOf([], (member) => member),
    };
    expect(JSON.parse(text(long))).toEqual({ ...plain, rules: [{ a: "1" }, { b: [null, "x"] }] });
    const nested = {
      scopes: listOf([1, 2], (n) => ({ n, rules: listOf([n, n], (m) => ({ m })), end: true })),
    };
    const scope = (n: number) => ({ n, rules: [{ m: n }, { m: n }], end: true });
    expect(JSON.parse(text(nested))).toEqual({ scopes: [scope(1), scope(2)] });
  });

  test("are never held as a whole: a member is made when the one before has been written", () => {
    let made = 0;
    let written = 0;
    const members = listOf(Array.from({ length: 1000 }), () => ({ made: made++ }));
    for (const part of documentParts({ members })) {
      if (!part.includes("made")) continue;
      written++;
      expect(made - written).toBe(0);
    }
    expect(written).toBe(1000);
  });
});
