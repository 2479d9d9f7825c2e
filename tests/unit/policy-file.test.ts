// SPDX-License-Identifier: MIT
// Policy files: what is read, what is refused and where, and that printing is the reverse of reading.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { TcpxError } from "../../cli/base/errors.ts";
import { extensions } from "../../cli/extensions/index.ts";
import type { Netns, Rule } from "../../cli/policy/rule.ts";
import { ruleKey } from "../../cli/policy/rule.ts";
import { RULE_KEYS } from "../../cli/policy-file/keys.ts";
import { parsePolicy } from "../../cli/policy-file/parse.ts";
import { Fitting, placeScope } from "../../cli/policy-file/place.ts";

const NETNS: Netns = { cookie: 7n, inode: 4026531840 };

async function rulesOf(text: string, netns: Netns | null = null): Promise<Rule[]> {
  const policy = await parsePolicy({ name: "p.toml", text });
  const fitting = new Fitting({ tickUs: 4000 });
  return policy.scopes.flatMap((scope) => [...placeScope(policy, scope, netns, fitting).values()]);
}

/** The message and hint, "" when nothing is wrong. */
async function complaint(text: string): Promise<string> {
  try {
    await rulesOf(text);
    return "";
  } catch (error) {
    if (!(error instanceof TcpxError)) throw error;
    expect(error.code).toBe(2);
    expect(error.place?.file).toBe("p.toml");
    expect(error.message).toStartWith(`p.toml:${error.place?.line}:`);
    return `${error.message}; ${error.hint}`;
  }
}

const shown = (rules: Rule[]) =>
  rules.map((rule) => {
    const extension = extensions.find(({ name }) => name === rule.ext)!;
    return `${rule.ext} ${rule.kind} ${extension.describe(rule)}`;
  });

describe("a policy", () => {
  test("has every verb of every extension by the names of the commands", async () => {
    const rules = await rulesOf(`
      schema = 1
      [[scope]]
      [[scope.uto]]
      set = "30s"
      advertise = false
      force = true
      to = ["192.0.2.0/24", "2001:db8::/32"]
      port = [80, 443]
      [[scope.uto]]
      accept = true
      min = "5s"
      [[scope.cc-request]]
      accept = ["bbr", "cubic"]
      from = "10.0.0.0/8"
      [[scope.cc-request]]
      set = "none"
      [[scope.iw]]
      set = 40
      [[scope.iw]]
      accept = true
      max = 60
      [[scope.ack]]
      set = true
      every = 8
      delay = "rtt/4"
      [[scope.ack]]
      request = "none"
      to = "192.0.2.9"
    `);
    expect(shown(rules.filter(({ ext }) => ext !== "uto"))).toEqual(
      [
        "cc-request accept bbr,cubic",
        "cc-request ask none",
        "iw ask 40 segments",
        "iw accept <= 60 segments",
        "ack local every 8, rtt/4",
        "ack ask none",
      ].map((line) => line.replace("bbr,cubic", "bbr,cubic")),
    );
    const uto = rules.filter(({ ext }) => ext === "uto");
    expect(uto).toHaveLength(9); // two kinds, two addresses, two ports; and the accept rule
    expect(new Set(shown(uto))).toEqual(
      new Set(["uto local 30s (force)", "uto ask none", "uto accept 5s..15min"]),
    );
  });

  test("is the same in every spelling that TOML has", async () => {
    const long = await rulesOf('[[scope]]\n[[scope.iw]]\nset = 40\nto = ["::1"]\n[[scope.iw]]\nset = 41\n');
    const inline = await rulesOf('scope = [{ iw = [{ set = "40", to = "::1" }, { "set" = 41 }] }]\r\n');
    expect(inline).toEqual(long);
  });

  test("of a scope is for the caller's namespace unless it says all-netns", async () => {
    const text = "[[scope]]\n[[scope.iw]]\nset = 40\n[[scope.iw]]\nset = 41\nall-netns = true\n";
    expect((await rulesOf(text, NETNS)).map(({ netns, value }) => [netns, value[0]])).toEqual([
      [NETNS, 40],
      [null, 41],
    ]);
    expect(await complaint(text)).toInclude("duplicate rule"); // where there are no namespaces of one's own
  });

  test("may keep one kind of what a verb makes", async () => {
    expect(shown(await rulesOf('[[scope]]\n[[scope.uto]]\nset = "30s"\nonly = "local"\n'))).toEqual([
      "uto local 30s",
    ]);
  });

  test("without rules says so", async () => {
    expect(await rulesOf("scope = []")).toEqual([]);
    expect(await rulesOf('[[scope]]\ncgroup = "/x"\n')).toEqual([]);
  });
});

test("keys of verbs, flags and places are apart in every extension", () => {
  for (const { verbs } of extensions) {
    for (const [name, verb] of Object.entries(verbs)) {
      const flags = Object.entries(verb.args).filter(([, def]) => def.type !== "positional");
      expect(Object.keys(verb.args).length - flags.length).toBeLessThan(2); // one word behind the verb
      const keys = [...Object.keys(verbs), ...flags.map(([flag]) => flag), ...RULE_KEYS];
      expect({ name, keys: keys.length }).toEqual({ name, keys: new Set(keys).size });
    }
  }
});

const uto = (lines: string) => `[[scope]]\n\n[[scope.uto]]\n${lines}`;

const REFUSED: [what: string, text: string, said: RegExp][] = [
  ["nothing", "", /^p\.toml:1: the file is empty; .*scope = \[\]/],
  ["comments only", "# nothing\n", /^p\.toml:1: there is no \[\[scope\]\]/],
  ["no TOML", "[[scope]]\na = \n", /^p\.toml:2: column \d+ is not TOML: .*a value is missing/],
  ["a NUL", "[[scope]]\n\0", /^p\.toml:2: column 1 is not TOML/],
  [
    "an unknown key",
    "[[scope]]\n[other]\nx = 1\n",
    /^p\.toml:2: other: unknown key; accepted is \[\[scope\]\]/,
  ],
  ["another version", "schema = 2\nscope = []\n", /^p\.toml:1: schema: is not a version .*accepted is 1/],
  ["a single scope", "[scope]\n", /^p\.toml:1: scope: is a single table; write \[\[scope\]\]/],
  ["a scope that is a number", "scope = [1]", /^p\.toml:1: scope\[0\]: is not a table/],
  [
    "an unknown key of a scope",
    '[[scope]]\ncgruop = "/x"\n',
    /^p\.toml:2: scope\[0\]\.cgruop: unknown key; did you mean cgroup\? accepted is cgroup, unit, user, \[\[scope\.uto\]\]/,
  ],
  ["a pid", "[[scope]]\npid = 1\n", /^p\.toml:2: scope\[0\]\.pid: a process does not last/],
  [
    "two names",
    '[[scope]]\ncgroup = "/x"\nunit = "a"\n',
    /^p\.toml:3: scope\[0\]\.unit: --cgroup and --unit exclude/,
  ],
  ["a user alone", '[[scope]]\nuser = "x"\n', /^p\.toml:2: scope\[0\]\.user: --user is only for --unit/],
  [
    "a name that is none",
    '[[scope]]\nunit = "a b"\n',
    /^p\.toml:2: scope\[0\]\.unit: --unit 'a b' is not the name/,
  ],
  ["a number as a name", "[[scope]]\ncgroup = 1\n", /^p\.toml:2: scope\[0\]\.cgroup: is not a name/],
  [
    "a single rule",
    "[[scope]]\n[scope.uto]\n",
    /^p\.toml:2: scope\[0\]\.uto: is a single table; write \[\[scope\.uto\]\]/,
  ],
  [
    "no verb",
    uto('to = "::1"\n'),
    /^p\.toml:3: scope\[0\]\.uto\[0\]: no verb; accepted is one of set, accept/,
  ],
  [
    "two verbs",
    uto('set = "1s"\naccept = true\n'),
    /^p\.toml:5: scope\[0\]\.uto\[0\]\.accept: stands beside set/,
  ],
  [
    "an unknown verb",
    uto('sett = "1s"\n'),
    /^p\.toml:4: scope\[0\]\.uto\[0\]\.sett: unknown key; did you mean set\? accepted is set, advertise/,
  ],
  [
    "an unknown flag",
    uto('accept = true\nmim = "1s"\n'),
    /^p\.toml:5: scope\[0\]\.uto\[0\]\.mim: unknown key; did you mean min\? accepted is accept, min, max/,
  ],
  [
    "a flag of another verb",
    uto('set = "1s"\nmin = "1s"\n'),
    /^p\.toml:5: scope\[0\]\.uto\[0\]\.min: unknown key/,
  ],
  [
    "a negated flag",
    uto('set = "1s"\nno-advertise = true\n'),
    /no-advertise: unknown key; accepted is advertise = false, or/,
  ],
  [
    "a bad word",
    uto('set = "30x"\n'),
    /^p\.toml:4: scope\[0\]\.uto\[0\]\.set: DURATION '30x' is not a duration; accepted is/,
  ],
  [
    "a bad flag",
    uto('accept = true\nforce = true\nmax = "0s"\n'),
    /^p\.toml:6: scope\[0\]\.uto\[0\]\.max: --max '0s' is out of range; accepted is/,
  ],
  [
    "a wrong shape",
    uto('set = ["1s"]\n'),
    /^p\.toml:4: scope\[0\]\.uto\[0\]\.set: is a list; accepted is a text or a number/,
  ],
  [
    "true where a word is needed",
    uto("set = true\n"),
    /^p\.toml:4: scope\[0\]\.uto\[0\]\.set: is true; accepted is a text/,
  ],
  [
    "a text for a flag",
    uto('set = "1s"\nforce = "yes"\n'),
    /^p\.toml:5: .*\.force: is "yes"; accepted is true or false/,
  ],
  [
    "a text for all-netns",
    uto('set = "1s"\nall-netns = "yes"\n'),
    /^p\.toml:5: .*\.all-netns: is "yes"; accepted is true or false/,
  ],
  ["a date", uto("set = 2020-01-01\n"), /^p\.toml:4: .*\.set: is a date/],
  ["an empty list", uto('set = "1s"\nto = []\n'), /^p\.toml:5: .*\.to: is an empty list/],
  [
    "a bad member",
    uto('set = "1s"\nto = [\n "::1", # one\n "::x",\n]\n'),
    /^p\.toml:7: .*\.to\[1\]: --to '::x' is not an address/,
  ],
  ["a bad shape of a member", uto('set = "1s"\nport = [80,\n true]\n'), /^p\.toml:6: .*\.port\[1\]: is true/],
  [
    "a bad port",
    uto('set = "1s"\nport = 65536\n'),
    /^p\.toml:5: .*\.port: --port '65536' is not a port number/,
  ],
  [
    "a kind that is not there",
    uto('set = "1s"\nonly = "accept"\n'),
    /^p\.toml:5: .*\.only: is "accept", .*accepted is ask, local/,
  ],
  [
    "a wrong direction",
    '[[scope]]\n[[scope.iw]]\nset = 40\nfrom = "::1"\n',
    /^p\.toml:4: scope\[0\]\.iw\[0\]\.from: --from is not for iw ask rules/,
  ],
  [
    "a duplicate",
    uto('set = "1s"\n[[scope.uto]]\nset = "2s"\nadvertise = false\n'),
    /^p\.toml:5: scope\[0\]\.uto\[1\]: duplicate rule: scope\[0\]\.uto\[0\] \(line 3\)/,
  ],
  [
    "a duplicate in a list",
    uto('set = "1s"\nto = ["::1", "::2"]\n[[scope.uto]]\nset = "2s"\nto = "::2"\n'),
    /^p\.toml:6: .*duplicate rule/,
  ],
  ["a key of every object", uto('set = "1s"\nconstructor = 1\n'), /constructor: unknown key/],
  [
    "a strange key",
    `${uto('set = "1s"\n')}"a\\u0062" = 1\n`,
    /^p\.toml:5: scope\[0\]\.uto\[0\]\.ab: unknown key/,
  ],
];

describe("refused with file, line and key:", () => {
  test.each(REFUSED)("%s", async (_, text, said) => {
    expect(await complaint(text)).toMatch(said);
  });

  test("a value among 20,000 rules", async () => {
    const rule = (i: number) => `\n[[scope.iw]]\nset = 4\nto = "10.1.${i >> 8}.${i & 255}"\n`;
    const text = `[[scope]]\n${Array.from({ length: 20_000 }, (_, i) => rule(i)).join("")}\n[[scope.iw]]\nset = 0\n`;
    expect(await complaint(text)).toMatch(/^p\.toml:80004: scope\[0\]\.iw\[20000\]\.set: SEGMENTS '0'/);
  });
});

test("a place has one key, whatever stands there", async () => {
  const rules = await rulesOf('[[scope]]\n[[scope.uto]]\nset = "1s"\nto = ["::1", "0:0::1", "::1/128"]\n');
  expect(new Set(rules.map(ruleKey)).size).toBe(rules.length);
  expect(rules).toHaveLength(2);
});

test("the example in the documentation is a policy", async () => {
  const text = readFileSync(join(import.meta.dir, "../../docs/example.policy.toml"), "utf8");
  const policy = await parsePolicy({ name: "example", text });
  expect(policy.scopes.length).toBeGreaterThan(2);
  const used = new Set(
    policy.scopes.flatMap(({ entries }) => entries.map(({ draft }) => draft.extension.name)),
  );
  expect([...used].sort()).toEqual(extensions.map(({ name }) => name).sort());
});
