// SPDX-License-Identifier: MIT
// Lines of keys and elements in TOML of every spelling.
import { expect, test } from "bun:test";
import fc from "fast-check";
import { parse, stringify, type TomlTable } from "smol-toml";
import { lineOf, type Path, pathText } from "../../cli/toml/locate.ts";

const TEXT = `# [[a]]
a.b = 1 # a.b
"quoted # key" . 'and.one' = "text # with = [ \\" { signs"
long = """
not = "a key" \\""" still text""""
other = '''
[[x]]'''
when = 2020-01-01 10:20:30
list = [ # one
  [1, 2], { in = "x", deep = { er = [
    true
  ] } }, # two
  "]",
]
[t]
x = -1.5e3
[t . "u"]
x = 1
[[x]]
[[x.y]]
[x.y.z]
k = 1
[[x.y]]
k = 2
[[x]]
[[x.y]]
k = [3,
  4]
"" = 5
`;

const WHERE: [Path, number][] = [
  [["a"], 2],
  [["a", "b"], 2],
  [["quoted # key", "and.one"], 3],
  [["long"], 4],
  [["other"], 6],
  [["when"], 8],
  [["list"], 9],
  [["list", 0, 1], 10],
  [["list", 1, "deep", "er", 0], 11],
  [["list", 2], 13],
  [["t", "x"], 16],
  [["t", "u"], 17],
  [["t", "u", "x"], 18],
  [["x", 0], 19],
  [["x", 0, "y", 0], 20],
  [["x", 0, "y", 0, "z", "k"], 22],
  [["x", 0, "y", 1, "k"], 24],
  [["x", 1], 25],
  [["x", 1, "y", 0, "k", 1], 28],
  [["x", 1, "y", 0, ""], 29],
  [["x", 1, "y", 0, "not there"], 26],
  [["nothing"], 1],
  [[], 1],
];

test.each(WHERE.map(([path, line]) => ({ name: pathText(path), path, line })))(
  "$name: line $line",
  (where) => {
    parse(TEXT); // it is TOML
    expect(lineOf(TEXT, where.path)).toBe(where.line);
  },
);

test("the text is gone through to its end, whatever a writer makes", () => {
  const key = fc.string({ unit: "grapheme", maxLength: 6 });
  const leaf = fc.oneof(
    fc.string({ unit: "grapheme" }),
    fc.integer(),
    fc.boolean(),
    fc.double({ noNaN: true }),
  );
  const { table } = fc.letrec((tie) => ({
    table: fc.dictionary(
      key,
      fc.oneof({ maxDepth: 3 }, leaf, fc.array(leaf, { maxLength: 3 }), tie("table")),
    ),
  }));
  fc.assert(
    fc.property(table, (value) => {
      const text = `${stringify(value as TomlTable)}\n[["\\u2603 last"]]\nx = 1\n`;
      parse(text);
      const lines = text.split("\n").length;
      expect(lineOf(text, ["\u2603 last", 0, "x"])).toBe(lines - 1);
    }),
  );
});
