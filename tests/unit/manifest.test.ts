// SPDX-License-Identifier: MIT
// extension.toml: what it has to be, key by key, and the line that is named where it is not.
import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { TcpxError } from "../../cli/base/errors.ts";
import { FIRST_SLOT, slotProblem } from "../../cli/extensions/slots.ts";
import { collisionOf } from "../../cli/manifest/collision.ts";
import { readManifest } from "../../cli/manifest/read.ts";
import { describeSlot } from "../../cli/manifest/slot.ts";
import { parseValue, textOf } from "../../cli/manifest/values.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";
import { EVERY, GRADE, PACE } from "../support/manifests.ts";
import { refusal } from "../support/refusal.ts";
import { DESCRIPTIONS } from "../support/slot-objects.ts";

const read = (text: string) => readManifest(text, "extension.toml");
/** "file:line: key: what; hint", of all that is wrong. */
const lines = (error: TcpxError) =>
  [error, ...error.others].map(({ message, hint }) => (hint === undefined ? message : `${message}; ${hint}`));

/** A manifest with a line of it changed, or another one in its place. */
function changed(text: string, line: string, into: string): string {
  if (text.split(`${line}\n`).length !== 2) throw new Error(`'${line}' is not there once`);
  return text.replace(`${line}\n`, into === "" ? "" : `${into}\n`);
}

/** The same, for what the first of several equal lines is. */
const first = (text: string, line: string, into: string) =>
  text.replace(`${line}\n`, into === "" ? "" : `${into}\n`);

describe("what it says", () => {
  test("of programs: as their descriptions were written by hand", () => {
    expect(describeSlot(read(PACE), 8)).toEqual({ ...DESCRIPTIONS.pace, stateVersion: 1, words: 2 });
    expect(describeSlot(read(GRADE), 9)).toEqual({ ...DESCRIPTIONS.grade, stateVersion: 1, words: 2 });
    const every = describeSlot(read(EVERY), 10);
    expect(every).toEqual({
      ...{ id: 10, name: "every", stateVersion: 2, words: 7 },
      option: { kind: 77, least: 2, most: 6, onSynAck: "reply" },
    });
    for (const one of [PACE, GRADE, EVERY])
      expect(slotProblem(describeSlot(read(one), FIRST_SLOT))).toBeUndefined();
  });

  test("of values: the words are bounded by their types", () => {
    const { values } = read(EVERY);
    const bounds = values.map(({ name, least, most, fallback, word }) => [name, least, most, fallback, word]);
    expect(bounds).toEqual([
      ["count", 1, 1024, undefined, 0],
      ["idle", 1, 86_400_000, 30_000, 1],
      ["gap", 1, 10_000_000, 1500, 2],
      ["rate", 0, 0xffff_ffff, 125_000, 3],
      ["room", 1024, 1 << 30, 65_536, 4],
      ["mode", 1, 7, 1, 5],
      ["loud", 0, 1, 0, 6],
    ]);
  });

  test("of directions: an option that is on every SYN-ACK wants ask rules of connections that are accepted", () => {
    const told = `${GRADE.replace(/\[request\][^[]*/, '[option]\nexid = 5\nlength = 6\nsyn-ack = "always"\n\n')}\n`;
    expect(() => read(told)).toThrow(
      expect.objectContaining({ place: expect.objectContaining({ key: "option.syn-ack" }) }),
    );
    expect(read(`${told}[directions]\nask = "both"\naccept = "both"\n`).directions).toEqual({});
    expect(read(`${told}[directions]\nask = "both"\n`).directions).toEqual({ accept: "from" });
  });

  test("of directions: a request is for who opens, an answer for who accepts, unless it says otherwise", () => {
    expect(read(GRADE).directions).toEqual({ ask: "to", accept: "from" });
    expect(read(PACE).directions).toEqual({});
    expect(
      read(`${GRADE.replace("set 6 --to", "set 6 --from")}\n[directions]\nask = "from"\nlocal = "to"\n`)
        .directions,
    ).toEqual({
      ...{ ask: "from", accept: "from", local: "to" },
    });
  });
});

describe("names that every object has", () => {
  const nameless = (text: string, from: string, to: string) => text.replaceAll(from, to);
  test.each(["constructor", "__proto__", "toString", "hasOwnProperty"])(
    "%s is no name of a value",
    (name) => {
      const text = nameless(
        nameless(PACE, "[values.rate]", `[values.${name}]`),
        '"rate"\nsays',
        `"${name}"\nsays`,
      );
      expect(lines(refusal(() => read(text)) as TcpxError)).toEqual([
        expect.stringMatching(
          /^extension.toml:\d+: values\.\w+: is (?:no name of a value|a name that every rule has);/,
        ),
      ]);
    },
  );

  test("nor are they verbs, keys or words that were not said", () => {
    const { values } = read(EVERY);
    const mode = values.find(({ name }) => name === "mode")!;
    for (const name of ["constructor", "__proto__", "toString", "valueOf"]) {
      expect(() => parseValue(mode, name, "--mode")).toThrow("is not one of its words");
      expect(() => read(PACE.replace("[verbs.set]", `[verbs.${name}]`))).toThrow("unknown key");
      expect(() => read(`${name} = 1\n${PACE}`)).toThrow("unknown key");
      expect(() => read(PACE.replace('kind = "local"', `kind = "${name}"`))).toThrow("kind");
      expect(() => read(PACE.replace('type = "rate"', `type = "${name}"`))).toThrow("type");
    }
  });

  test("a choice may be called so", () => {
    const text = EVERY.replace(/choices = \{[^}]*\}/, "choices = { constructor = 1, slow = 7 }").replaceAll(
      "fast",
      "constructor",
    );
    const mode = read(text).values.find(({ name }) => name === "mode")!;
    expect(parseValue(mode, "constructor", "--mode")).toBe(1);
    expect(textOf(mode, 1)).toBe("constructor");
  });

  test("an extension may not", () => {
    const manifest = read(PACE.replace('name = "pace"', 'name = "constructor"'));
    const present = { commands: [], extensions: [], site: DEFAULT_SITE };
    expect(collisionOf(manifest, present)).toBe("constructor is a word that tcpx keeps for itself");
  });
});

test("a mistake in a verb says nothing of directions, whose own mistakes are told", () => {
  const text = `${GRADE.replace('flags = ["priority"]\nsays', 'flags = ["priorty"]\nsays')}\n[directions]\naccept = "both"\n`;
  expect(lines(refusal(() => read(text)) as TcpxError)).toEqual([
    expect.stringContaining("verbs.accept.flags[0]: is no name of a value"),
  ]);
  expect(lines(refusal(() => read(text.replace('accept = "both"', 'accept = "bth"'))) as TcpxError)).toEqual([
    expect.stringContaining("verbs.accept.flags[0]"),
    expect.stringContaining('directions.accept: is "bth"'),
  ]);
});

test("as many tables as fit into a file are looked at in a moment", () => {
  const many = (n: number) => {
    const text = PACE + Array.from({ length: n }, (_, i) => `[a${i}]\n`).join("");
    const begun = performance.now();
    expect(() => read(text)).toThrow("unknown key");
    return performance.now() - begun;
  };
  many(1000);
  const [few, all] = [2500, 25_000].map((n) => Math.min(many(n), many(n), many(n)));
  expect(all! / few!).toBeLessThan(40); // ten times as many; by their square it is a hundred times
});

describe("one thing wrong is one line, with file, line, key, and what is accepted", () => {
  test.each<[string, string, string]>([
    // the file
    ["schema = 1", "", "1: schema is missing; accepted is schema = 1"],
    [
      "schema = 1",
      "schema = 2",
      "1: schema: is version 2 of this file, and this tcpx knows 1; accepted is 1; a newer tcpx may know it",
    ],
    ["schema = 1", 'schema = "1"', '1: schema: is "1"; accepted is 1'],
    ["api = 1", "", "1: api is missing; accepted is api = 1"],
    [
      "api = 1",
      "api = 7",
      "2: api: is version 7 of tcpx_ext.h, and this tcpx knows 1; accepted is 1; a newer tcpx may know it",
    ],
    [
      'name = "every"',
      "",
      "1: name is missing; accepted is a name of small letters, digits and hyphens, such as pacing",
    ],
    ['name = "every"', 'name = "Every"', '3: name: is "Every"; accepted is a name of small letters'],
    ['name = "every"', `name = "${"a".repeat(33)}"`, "3: name: has 33 characters; accepted is a name of"],
    ['name = "every"', "name = 5", "3: name: is 5; accepted is a name of"],
    [
      'name = "every"',
      'nmae = "every"',
      "3: nmae: unknown key; did you mean name? accepted is schema, api, name",
    ],
    [
      'version = "1.2.3-rc.1"',
      'version = "1.2"',
      '4: version: is "1.2"; accepted is three numbers, such as "1.0.0"',
    ],
    ['version = "1.2.3-rc.1"', "", "1: version is missing; accepted is three numbers"],
    [
      'summary = "Every type of value"',
      "",
      "1: summary is missing; accepted is a text of up to 80 characters",
    ],
    [
      'summary = "Every type of value"',
      `summary = "${"x".repeat(81)}"`,
      "5: summary: has 81 characters; accepted is a text of up to 80 characters, on one line",
    ],
    [
      'summary = "Every type of value"',
      'summary = "a\\u001b[31mb"',
      '5: summary: is "a\\u001b[31mb"; accepted is',
    ],
    ['summary = "Every type of value"', 'summary = "a\\nb"', '5: summary: is "a\\nb"; accepted is'],
    ['summary = "Every type of value"', 'summary = "a\\u202eb"', '5: summary: is "a\\u202eb"; accepted is'],
    ['summary = "Every type of value"', 'summary = " "', '5: summary: is " "; accepted is'],
    ['title = "No standard"', "title = []", "6: title: is an empty list; accepted is"],
    ['title = "No standard"', 'title = "x"\nauthor = 1', "7: author: is 1; accepted is a text of up to 80"],
    [
      'title = "No standard"',
      'title = "x"\nlicense = true',
      "7: license: is true; accepted is a text of up to 64",
    ],
    [
      "state-version = 2",
      "state-version = 0",
      "7: state-version: is 0; accepted is a whole number from 1 to 65535",
    ],
    // [option]
    ["[option]", "[optoin]", "9: optoin: unknown key; did you mean option? accepted is"],
    ["kind = 77", "", "9: option: an option has a kind, or the identifier of an experiment"],
    ["kind = 77", "kind = 28", "9: option: option kind 28 is not free: 1 to 252, and none of"],
    [
      "kind = 77",
      "kind = 77\nexid = 5",
      "9: option: an option has a kind, or the identifier of an experiment",
    ],
    ["kind = 77", 'kind = "77"', '10: option.kind: is "77"; accepted is a whole number from 0 to 65535'],
    ["length = [2, 6]", "", "9: option: length is missing; accepted is a number of bytes, or [LEAST, MOST]"],
    ["length = [2, 6]", "length = [2, 6, 8]", "11: option.length: is a list; accepted is a number of bytes"],
    ["length = [2, 6]", "length = [2, 60]", "9: option: an option has 2 to 40 bytes, not 2 to 60"],
    ["length = [2, 6]", "length = 24", "9: option: a SYN-ACK has room for 20 bytes, not for 24"],
    [
      'syn-ack = "reply"',
      'syn-ack = "replay"',
      '12: option.syn-ack: is "replay"; did you mean reply? accepted is reply, always',
    ],
    ['value = "count"', 'value = "loud"', '13: option.value: is "loud"; '],
    [
      'value = "count"',
      'valeu = "count"',
      "13: option.valeu: unknown key; did you mean value? accepted is kind, exid",
    ],
    // [values]
    [
      "[values.count]",
      "[values.Count]",
      "15: values.Count: is no name of a value; accepted is a name of small letters",
    ],
    ["[values.count]", "[values.no-count]", "15: values.no-count: is no name of a value"],
    [
      "[values.count]",
      "[values.port]",
      "15: values.port: is a name that every rule has; choose another name",
    ],
    ["[values.count]", "[values.netns-cookie]", "15: values.netns-cookie: is a name that every rule has"],
    ['text = "How many"', "", "15: values.count: text is missing; accepted is a text of up to 160"],
    [
      'unit = "segments"',
      'unit = "SEGMENTS"',
      '18: values.count.unit: is "SEGMENTS"; accepted is a word such as "segments"',
    ],
    [
      "range = [1, 1024]",
      "range = [1024, 1]",
      "19: values.count.range: has its least value behind its most; accepted is [LEAST, MOST] from [0, 4294967295]",
    ],
    [
      "range = [1, 1024]",
      "range = [1]",
      "19: values.count.range: has 1 elements, not 2; accepted is [LEAST, MOST]",
    ],
    ["range = [1, 1024]", "range = 5", "19: values.count.range: is 5; accepted is [LEAST, MOST]"],
    ["range = [1, 1024]", "range = [-1, 5]", "19: values.count.range[0]: is -1; accepted is [LEAST, MOST]"],
    ["range = [1, 1024]", "range = [1, 4294967296]", "19: values.count.range[1]: is 4294967296; accepted is"],
    ["range = [1, 1024]", "range = [1, 1.5]", "19: values.count.range[1]: is 1.5; accepted is"],
    ["range = [1, 1024]", "rnage = [1, 1024]", "19: values.count.rnage: unknown key; did you mean range?"],
    [
      "range = [1, 1024]",
      'hint = "number"',
      '19: values.count.hint: is "number"; accepted is capital letters, such as "N" or "RATE"',
    ],
    [
      "range = [1, 1024]",
      "word = 16",
      "19: values.count.word: is 16; accepted is a whole number from 0 to 15",
    ],
    [
      "range = [1, 1024]",
      "word = 1",
      "21: values.idle: has word 1, which is that of count; each value has its own",
    ],
    [
      "range = [1, 1024]",
      "choices = { a = 1 }",
      "19: values.count.choices: is not for type integer; accepted is it for choice",
    ],
    [
      'range = ["1ms", "24h"]',
      'range = ["1ms", "24 h"]',
      '24: values.idle.range[1]: is "24 h"; accepted is [LEAST, MOST] from ["0ms", "4294967295ms"]',
    ],
    ['default = "30s"', 'default = "2d"', "25: values.idle.default: default '2d' is not a duration; "],
    [
      'default = "30s"',
      'default = "25h"',
      "25: values.idle.default: default '25h' is out of range; accepted is 1ms to 24h",
    ],
    ['default = "30s"', "default = 30", "25: values.idle.default: is 30; accepted is 1ms to 24h"],
    ['unit = "us"', 'unit = "ns"', '29: values.gap.unit: is "ns"; '],
    [
      'default = "1M"',
      'default = "1X"',
      "37: values.rate.default: default '1X' is not a rate; accepted is 0 to ",
    ],
    [
      "choices = { fast = 1, slow = 7 }",
      "",
      "45: values.mode: choices is missing; accepted is a table of words",
    ],
    [
      "choices = { fast = 1, slow = 7 }",
      "choices = { fast = 1, slow = 1 }",
      "48: values.mode.choices.slow: has 1; accepted is a number from 0 to 4294967295, each once",
    ],
    [
      "choices = { fast = 1, slow = 7 }",
      "choices = { fast = 1, none = 2 }",
      "48: values.mode.choices.none: is no word; accepted is a word of small letters",
    ],
    [
      "choices = { fast = 1, slow = 7 }",
      "choices = {}",
      "48: values.mode.choices: has no words; accepted is a table of words",
    ],
    [
      'default = "fast"',
      'default = "fsat"',
      "49: values.mode.default: default 'fsat' is not one of its words; did you mean fast? accepted is fast, slow",
    ],
    [
      'type = "choice"',
      'type = "choise"',
      '46: values.mode.type: is "choise"; did you mean choice? accepted is integer, duration, rate, bytes, choice, switch',
    ],
    ['type = "switch"', "", "51: values.loud: type is missing; accepted is integer"],
    [
      'text = "Say so"',
      'text = "Say so"\ndefault = true',
      "54: values.loud.default: is not for type switch; ",
    ],
    // [verbs]
    ["[verbs.set]", "[verbs.sett]", "55: verbs.sett: unknown key; did you mean set? accepted is set, accept"],
    ['kind = "local"', 'kind = "accept"', '56: verbs.set.kind: is "accept"; accepted is ask, local'],
    ['kind = "local"', "", "55: verbs.set: kind is missing; accepted is ask, local"],
    ['summary = "Set all of it"', "", "55: verbs.set: summary is missing"],
    [
      'word = "count"',
      'word = "cuont"',
      "58: verbs.set.word: is no name of a value; did you mean count? accepted is count, idle",
    ],
    [
      'word = "count"',
      'word = "loud"',
      "58: verbs.set.word: loud is a switch; accepted is a value that is no switch",
    ],
    [
      'flags = ["room", "loud"]',
      'flags = ["room", "room"]',
      "66: verbs.accept.flags[1]: room is there twice; leave it out",
    ],
    [
      'flags = ["room", "loud"]',
      'flags = "room"',
      '66: verbs.accept.flags: is "room"; accepted is a list of values',
    ],
    [
      'flags = ["room", "loud"]',
      "flags = [5]",
      "66: verbs.accept.flags[0]: is no name of a value; accepted is",
    ],
    ["force = true", "force = 1", "60: verbs.set.force: is 1; accepted is true or false"],
    ["live = true", 'live = "yes"', '61: verbs.set.live: is "yes"; accepted is true or false'],
    ["live = true", "or-local = true", "61: verbs.set.or-local: is true; accepted is it for kind ask"],
    [
      "live = true",
      'says = "{cuont}"',
      "61: verbs.set.says: has {cuont}, which is no value of the verb; accepted is {count}, {idle}",
    ],
    ["live = true", 'notes = ["ok", "a\\u0007"]', '61: verbs.set.notes[1]: is "a\\u0007"; accepted is'],
    [
      "live = true",
      `notes = [${'"x",'.repeat(9)}]`,
      "61: verbs.set.notes: has 9 elements; accepted is up to 8 of them",
    ],
    ["live = true", "live = true\nlive = true", "62: column 1 is not TOML"],
    [
      'examples = [["accept --room 1M", "A lot"], ["accept none --from 10.0.0.0/8", "Not these"]]',
      'examples = ["accept"]',
      "67: verbs.accept.examples[0]: is no example; accepted is [COMMAND, WHAT]",
    ],
    [
      'examples = [["accept --room 1M", "A lot"], ["accept none --from 10.0.0.0/8", "Not these"]]',
      'examples = [["set 5", "x"]]',
      "67: verbs.accept.examples[0][0]: is of another verb; accepted is a command that begins with accept",
    ],
    // [directions]
    [
      "[option]",
      '[directions]\nask = "to"\n[option]',
      "10: directions.ask: no verb has rules of kind ask; accepted is local, accept",
    ],
    [
      "[option]",
      '[directions]\nlocal = "all"\n[option]',
      '10: directions.local: is "all"; accepted is to, from, both',
    ],
    [
      "[option]",
      '[directions]\nset = "to"\n[option]',
      "10: directions.set: unknown key; accepted is ask, local, accept",
    ],
  ])("%s -> %s", (line, into, what) => {
    const [only, ...more] = lines(refusal(() => read(changed(EVERY, line, into))));
    expect(more).toEqual([]);
    expect(only).toStartWith(`extension.toml:${what}`);
    for (const hidden of ["\n", "\u001b", "\u202e"]) expect(only).not.toContain(hidden);
  });

  test.each<[string, string, string]>([
    ["ask = 0x7d00", "", "8: request: ask is missing; accepted is a whole number from 1 to 65535"],
    ["ask = 0x7d00", "ask = 0x17d00", "9: request.ask: is 97536; accepted is a whole number from 1 to 65535"],
    ["answer = 0x7d01", "answer = 0x7d00", "8: request: identifiers of request, answer and option differ"],
    ["refused = 0xffff", "", "8: request: refused is missing; accepted is a whole number from 0 to 65535"],
    [
      "refused = 0xffff",
      'refused = 1\nany-time = "no"',
      '12: request.any-time: is "no"; accepted is true or false',
    ],
    [
      'value = "priority"',
      'value = "prio"',
      '12: request.value: is "prio"; did you mean priority? accepted is priority',
    ],
    ["word = 0", "word = 1", "20: verbs.set: has no value in word 0, which is what a request asks for"],
    [
      "range = [0, 6]",
      "range = [0, 65536]",
      "14: values.priority: priority is up to 65536, and a request has 16 bits; accepted is a range up to 65535",
    ],
    [
      'flags = ["priority"]',
      "",
      "30: verbs.accept.says: has {priority}, which is no value of the verb; accepted is a text without {}",
    ],
  ])("of a request: %s -> %s", (line, into, what) => {
    const found = lines(refusal(() => read(first(GRADE, line, into))));
    expect(found).toEqual([expect.stringContaining(`extension.toml:${what}`)]);
  });

  test.each<[string, string, string]>([
    [
      'kind = "local"',
      'kind = "ask"',
      "15: verbs.set: of kind ask, and nothing travels; add [option] or [request], or make it of kind local",
    ],
    [
      'word = "rate"',
      "",
      "18: verbs.set.says: has {rate}, which is no value of the verb; accepted is a text without {}",
    ],
    ["[verbs.set]", "[verbs.accept]", '16: verbs.accept.kind: is "local"; accepted is accept'],
    ["[verbs.set]", "[verb.set]", "15: verb: unknown key; did you mean verbs?"],
  ])("of a setting: %s -> %s", (line, into, what) => {
    const found = lines(refusal(() => read(changed(PACE, line, into))));
    expect(found[0]).toStartWith(`extension.toml:${what}`);
  });

  test("a value that nothing uses", () => {
    const text = `${PACE}[values.other]\ntype = "integer"\ntext = "Nobody's"\n`;
    expect(lines(refusal(() => read(text)))).toEqual([
      "extension.toml:23: values.other: is used by no verb; name it in `word` or `flags` of a verb, or leave it out",
    ]);
  });
});

test.each([
  ["set 5 --rate 5X", "--rate '5X' is not a rate; accepted is 0 to"],
  ["set 5 --rat 5M", "unknown flag '--rat'; did you mean --rate?"],
  ["set", "COUNT is missing"],
  ["set 5 --from 10.0.0.0/33", "--from '10.0.0.0/33' "],
  ["set none --live", "'none' takes no --live; "],
])("an example that is no command: %s", (line, what) => {
  const old = "set 5 --idle 1min --gap 20us --rate 5M --room 2k --mode slow --loud --force";
  expect(lines(refusal(() => read(EVERY.replace(old, line))))).toEqual([
    expect.stringMatching(
      new RegExp(`^extension\\.toml:62: verbs\\.set\\.examples\\[0\\]\\[0\\]: ${RegExp.escape(what)}`),
    ),
  ]);
});

test("an example in a direction that the rules are not for", () => {
  const wrong = lines(refusal(() => read(EVERY.replace("accept none --from", "accept none --to"))));
  expect(wrong).toEqual([
    expect.stringContaining("verbs.accept.examples[1][0]: --to is not for every accept rules;"),
  ]);
});

test("all that is wrong is told at once, in the order of the file", () => {
  const text = EVERY.replace('"1.2.3-rc.1"', "1").replace("kind = 77", "kind = 0").replace("[1, 1024]", "5");
  expect(lines(refusal(() => read(text))).map((line) => line.split(": ")[1])).toEqual([
    ...["version", "option", "values.count.range"],
  ]);
});

test.each<[string, string]>([
  ["nothing", ""],
  ["no TOML", "\u0000\u0001"],
  ["an object", '{"schema": 1}'],
  ["deep", `schema = ${"[".repeat(2000)}`],
  ["dotted", `${"a.".repeat(5000)}a = 1`],
  ["a long key", `${"k".repeat(100_000)} = 1`],
  ["__proto__", `${PACE}[__proto__]\nx = 1\n`],
  ["verbs that are a list", PACE.replace("[verbs.set]", "[[verbs]]")],
  ["values that are a text", PACE.replace("[values.rate]", 'values = "x"\n[other]')],
])("%s is refused", (_, text) => {
  const error = refusal(() => read(text));
  expect([error.code, error.message.startsWith("extension.toml:")]).toEqual([2, true]);
});

test("seventeen values are one too many", () => {
  const values = Array.from({ length: 17 }, (_, i) => `[values.v${i}]\ntype = "switch"\ntext = "x"\n`);
  const error = refusal(() => read(`${PACE}${values.join("")}`));
  expect(lines(error)[0]).toContain("values: has 18 values; accepted is up to 16");
});

describe("whatever stands there, it is a manifest or refused with the place", () => {
  const outcome = (text: string) => {
    try {
      return describeSlot(read(text), FIRST_SLOT).name.length > 0;
    } catch (error) {
      return error instanceof TcpxError && error.message.startsWith("extension.toml:");
    }
  };
  const junk = fc.constantFrom(
    ...[
      "",
      "0",
      "-1",
      "1e400",
      "99999999999999999999",
      "nan",
      "true",
      '""',
      '"\\u0000"',
      "[]",
      "[[]]",
      "{}",
      "{ a = 1 }",
    ],
    ...[
      "1979-05-27",
      '"none"',
      '["set", "set"]',
      '"{}"',
      '"__proto__"',
      '["constructor"]',
      '"toString"',
      "'''x'''",
    ],
  );

  test("a value that is anything", () => {
    const lines = EVERY.split("\n");
    const places = lines.flatMap((line, i) => (line.includes(" = ") ? [i] : []));
    fc.assert(
      fc.property(fc.constantFrom(...places), junk, (at, value) => {
        const text = lines.with(at, `${lines[at]!.split(" = ")[0]} = ${value}`).join("\n");
        expect(outcome(text)).toBe(true);
      }),
      { numRuns: 1000 },
    );
  });

  test("lines in another order, twice, or not at all", () => {
    const line = fc.constantFrom(
      ...EVERY.split("\n"),
      ...GRADE.split("\n"),
      "[__proto__]",
      "[values.constructor]",
    );
    fc.assert(
      fc.property(fc.array(line, { maxLength: 40 }), (some) => {
        expect(outcome(some.join("\n"))).toBe(true);
        expect(outcome(`${EVERY}\n${some.join("\n")}`)).toBe(true);
      }),
      { numRuns: 500 },
    );
  });

  test("any bytes", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 200 }), (text) => expect(outcome(text)).toBe(true)),
    );
  });
});
