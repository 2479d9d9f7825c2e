// SPDX-License-Identifier: MIT
// embedded-bpf/extensions.def as C can use it.
import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { extensions } from "../../cli/extensions/index.ts";
import { Ext, structs } from "../../cli/layout/layout.generated.ts";
import { parseRegistry, registryHeader, sockObjects } from "../../scripts/lib/registry.ts";

const DEF = join(import.meta.dir, "../../embedded-bpf/extensions.def");

/** Priority against the order of the ids. */
const TEXT = `/* SPDX */
/*
 * TCPX_EXTENSION(NOT, not, 9) is a comment's
 */
TCPX_EXTENSION(LATE, late, 7)
TCPX_EXTENSION(TWO_WORDS, two_words, 2)

TCPX_EXTENSION(FIRST, first, 0)
`;

const none = () => false;

describe("the registry", () => {
  test("is read in its order, without comments and empty lines", () => {
    expect(parseRegistry(TEXT)).toEqual([
      { symbol: "LATE", name: "late", id: 7 },
      { symbol: "TWO_WORDS", name: "two_words", id: 2 },
      { symbol: "FIRST", name: "first", id: 0 },
    ]);
  });

  test.each([
    "TCPX_EXTENSION(HUE, hue)",
    "TCPX_EXTENSION(HUE, hue, 4);",
    "TCPX_EXTENSION(HUE, hue, -1)",
    "TCPX_EXTENSION(HUE, hue, 0x4)",
    "TCPX_EXTENSION(HUE, cc-hue, 4)",
    " TCPX_EXTENSION(HUE, hue, 4)",
    "TCPX_EXTENSION(HUE, hue, 4) TCPX_EXTENSION(RED, red, 5)",
    "#include <hue.h>",
  ])("refuses %j, and says which line it was", (line) => {
    expect(() => parseRegistry(TEXT + line)).toThrow(`extensions.def: '${line}' is no line of it`);
  });

  test("ids reach to 7: those behind are a host's to give", () => {
    expect(parseRegistry("TCPX_EXTENSION(HUE, hue, 7)")[0]!.id).toBe(7);
    for (const id of [8, 15, 16])
      expect(() => parseRegistry(`TCPX_EXTENSION(HUE, hue, ${id})`)).toThrow(
        "ids from 8 on are those that a host gives",
      );
  });

  test.each([
    ["TCPX_EXTENSION(HUE, hue, 2)", "id 2"],
    ["TCPX_EXTENSION(HUE, late, 4)", "name late"],
    ["TCPX_EXTENSION(LATE, hue, 4)", "symbol LATE"],
  ])("refuses %j: it is there", (line, what) => {
    expect(() => parseRegistry(`${TEXT}${line}\n`)).toThrow(`extensions.def: ${what} is there twice`);
  });
});

describe("the header", () => {
  const header = registryHeader(TEXT, none);

  test("has the order of the lines where extensions come one after the other", () => {
    const [, each] = /#define TCPX_EACH\(DO, \.\.\.\) \\\n((?:.*\\\n)*.*)\n/.exec(header)!;
    expect([...each!.matchAll(/DO\((\w+), (\w+), ##__VA_ARGS__\)/g)].map(([, ...words]) => words)).toEqual([
      ["LATE", "late"],
      ["TWO_WORDS", "two_words"],
      ["FIRST", "first"],
    ]);
  });

  test("has the order of the ids in what is stored", () => {
    const [, states] = /struct tcpx_states \{\n([\s\S]*?)\n\};/.exec(header)!;
    expect(states!.split("\n").map((line) => line.trim())).toEqual([
      "struct tcpx_first_conn first;",
      "struct tcpx_two_words_conn two_words;",
      "struct tcpx_late_conn late;",
    ]);
    expect(header).toContain("\tTCPX_EXT_FIRST = 0,\n\tTCPX_EXT_TWO_WORDS = 2,\n\tTCPX_EXT_LATE = 7,\n};");
  });

  test("is the same for states, whatever the order of the lines", () => {
    const states = (text: string) => /struct tcpx_states \{[\s\S]*?\};/.exec(registryHeader(text, none))![0];
    const lines = TEXT.split("\n").filter((line) => line.startsWith("TCPX"));
    expect(states(lines.toReversed().join("\n"))).toBe(states(TEXT));
  });

  test.each([
    ["live", (name: string) => `static const struct tcpx_live_extension ${name}_live_extension = {};`],
    [
      "list",
      (name: string) =>
        `static __always_inline void ${name}_list(struct tcpx_${name}_conn *state, void *tp) {}`,
    ],
  ])("includes what an extension has in its _%s.bpf.h, or has an empty one", (part, empty) => {
    const asked: string[] = [];
    const mixed = registryHeader(TEXT, (path) => {
      asked.push(path);
      return path === `ext/two_words_${part}.bpf.h`;
    });
    const wanted = ["first", "two_words", "late"].map((name) => `ext/${name}_${part}.bpf.h`);
    expect(asked.filter((path) => path.endsWith(`_${part}.bpf.h`))).toEqual(wanted);
    expect(mixed).toContain(`${empty("first")}\n#include "ext/two_words_${part}.bpf.h"\n${empty("late")}`);
    expect(mixed).not.toContain(empty("two_words"));
  });
});

test("the registries of both sides are one: names, ids and states", async () => {
  const lines = parseRegistry(await Bun.file(DEF).text());
  const byId = lines.toSorted((a, b) => a.id - b.id);
  const ours = extensions.toSorted((a, b) => a.id - b.id);
  expect(byId.map(({ name }) => name)).toEqual(ours.map(({ name }) => name.replaceAll("-", "_")));
  expect(byId.map(({ id }) => id)).toEqual(ours.map(({ id }) => id));
  const ids: Record<string, number> = Ext;
  expect(lines.map(({ symbol }) => ids[symbol])).toEqual(lines.map(({ id }) => id));
  expect(Object.keys(structs.tcpx_states.fields)).toEqual(byId.map(({ name }) => name));
});

test("programs of other types are those that have a source, imported by their objects", () => {
  expect(sockObjects(TEXT, () => false)).toContain("SOCK_OBJECTS = {} as");
  const some = sockObjects(TEXT, (path) => path === "ext/two_words_sock.bpf.c");
  expect(some).toContain('import two_words from "../../build/two_words_sock.bpf.o" with { type: "file" };\n');
  expect(some).toContain('{\n  "two-words": two_words,\n}');
  expect(some.match(/^import/gm)).toHaveLength(1);
});

test("an extension says of its programs what its object has, and no other has any", async () => {
  for (const { name, programs } of extensions) {
    const source = Bun.file(`${DEF.replace(/[^/]*$/, "")}ext/${name.replaceAll("-", "_")}_sock.bpf.c`);
    expect([name, programs !== undefined]).toEqual([name, await source.exists()]);
    const types = [
      ...((programs && (await source.text())) ?? "").matchAll(/^(?:TCPX_RULED\(|int tcpx_)(\w+)/gm),
    ];
    expect([name, types.map(([, type]) => type).sort()]).toEqual([name, Object.keys(programs ?? {}).sort()]);
  }
});
