// SPDX-License-Identifier: MIT
// What `tcpx export` prints is what was set, in one way only; and the schema knows it.
import { describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import Ajv from "ajv";
import fc from "fast-check";
import { parse } from "smol-toml";
import { extensions } from "../../cli/extensions/index.ts";
import { placeRules } from "../../cli/extensions/place.ts";
import type { Extension } from "../../cli/extensions/types.ts";
import { exactRules, isChange, unsetRules } from "../../cli/policy/change.ts";
import { type Netns, type Rule, ruleKey, type Selector } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { parsePolicy } from "../../cli/policy-file/parse.ts";
import { Fitting, placeScope } from "../../cli/policy-file/place.ts";
import { printPolicy } from "../../cli/policy-file/print.ts";
import { policySchema, schemaText } from "../../cli/policy-file/schema.ts";

const DOCS = join(import.meta.dir, "../../docs");
/** A kernel whose ticks are no whole milliseconds: CONFIG_HZ=300. */
const HOST = { tickUs: 3333 };
const NETNS: Netns = { cookie: 7n, inode: 4026531840 };

const print = (rules: Rule[], cgroup = "/") =>
  [...printPolicy([{ names: { cgroup }, rules }], HOST)].join("");

async function reread(text: string): Promise<Rule[]> {
  const policy = await parsePolicy({ name: "exported", text });
  return policy.scopes.flatMap((scope) => [...placeScope(policy, scope, NETNS, new Fitting(HOST)).values()]);
}

const milliseconds = fc.integer({ min: 1, max: 1_965_000_000 });
const optional = <T>(value: fc.Arbitrary<T>) => fc.option(value, { nil: undefined });
const text = (n: fc.Arbitrary<number>, unit = "") => n.map((value) => `${value}${unit}`);
const byte = text(fc.integer({ min: 1, max: 255 }));
const algorithm = fc.constantFrom("bbr", "cubic", "vegas", "highspeed");
const NONE = fc.constant("none");
const flag = optional(fc.boolean());

type Command = [extension: string, verb: string, args: fc.Arbitrary<Record<string, unknown>>];

/** Commands as people give them, in all that they can say. */
const COMMANDS: Command[] = [
  ["uto", "set", fc.record({ duration: text(milliseconds, "ms"), advertise: flag, force: flag })],
  ["uto", "set", fc.record({ duration: NONE })],
  [
    "uto",
    "accept",
    fc.record({
      min: text(fc.integer({ min: 1, max: 9 }), "s"),
      max: text(fc.integer({ min: 9, max: 99 }), "min"),
      force: flag,
    }),
  ],
  ["uto", "accept", fc.record({ value: NONE })],
  ["cc-request", "set", fc.record({ algorithm: fc.oneof(algorithm, NONE), local: flag })],
  ["cc-request", "set", fc.record({ algorithm, local: fc.constant(true), force: flag })],
  [
    "cc-request",
    "accept",
    fc.record({
      algorithms: fc.uniqueArray(algorithm, { minLength: 1 }).map((all) => all.join(",")),
      force: flag,
    }),
  ],
  ["cc-request", "accept", fc.record({ algorithms: NONE })],
  [
    "iw",
    "set",
    fc.record({ segments: fc.oneof(text(fc.integer({ min: 1, max: 1024 })), NONE), local: flag }),
  ],
  [
    "iw",
    "accept",
    fc.oneof(fc.record({ max: text(fc.integer({ min: 1, max: 1024 })) }), fc.record({ value: NONE })),
  ],
  [
    "ack",
    "set",
    fc.record({
      every: text(fc.integer({ min: 2, max: 255 })),
      delay: optional(
        fc.oneof(
          byte.map((k) => `rtt/${k}`),
          text(fc.integer({ min: 1, max: 200 }), "ms"),
        ),
      ),
      "min-acks-per-rtt": optional(byte),
    }),
  ],
  ["ack", "set", fc.record({ every: fc.constant("1"), "mark-bit": optional(text(fc.nat(31))) })],
  ["ack", "set", fc.record({ delay: text(fc.integer({ min: 1, max: 200 }), "ms") })],
  [
    "ack",
    "request",
    fc.record({
      every: text(fc.integer({ min: 2, max: 255 })),
      delay: optional(byte.map((k) => `rtt/${k}`)),
    }),
  ],
  ["ack", "request", fc.record({ every: text(fc.integer({ min: 1, max: 127 })), tarr: fc.constant(true) })],
  [
    "ack",
    "accept",
    fc.record({
      "max-every": optional(byte),
      "max-delay": optional(text(fc.integer({ min: 1, max: 200 }), "ms")),
      "mark-bit": optional(text(fc.nat(31))),
    }),
  ],
  ["ack", "set", fc.record({ value: NONE })],
  ["ack", "request", fc.record({ value: NONE })],
  ["ack", "accept", fc.record({ value: NONE })],
];

const selector = fc.record({
  direction: fc.constantFrom("to", "from"),
  address: fc.constantFrom(
    undefined,
    "10.0.0.0/8",
    "10.1.2.3",
    "0.0.0.0/0",
    "::/0",
    "2001:db8::/33",
    "::ffff:10.0.0.0/104",
  ),
  port: optional(fc.integer({ min: 1, max: 65535 })),
});

interface Given {
  extension: Extension;
  verb: string;
  args: Record<string, unknown>;
  place: { direction: string; address: string | undefined; port: number | undefined };
  allNetns: boolean;
}

const given: fc.Arbitrary<Given> = fc.oneof(
  ...COMMANDS.map(([name, verb, args]) =>
    fc.record({
      extension: fc.constant(extensions.find((extension) => extension.name === name)!),
      verb: fc.constant(verb),
      args,
      place: selector,
      allNetns: fc.boolean(),
    }),
  ),
);

/** The rules that a command makes, in the direction that they are for. */
function rulesOf({ extension, verb: name, args, place, allNetns }: Given): Rule[] {
  const verb = extension.verbs[name]!;
  const { drafts } = verb.draft(args);
  const fit = verb.fit?.(drafts, HOST).drafts ?? drafts;
  const direction = extension.directions?.[drafts[0]!.kind] ?? place.direction;
  const port = place.port?.toString();
  const selectors: Selector[] = parseSelectors({ [direction]: place.address, port });
  return placeRules(extension, selectors, fit, allNetns ? null : NETNS);
}

const keyed = (rules: Rule[]) => new Map(rules.map((rule) => [ruleKey(rule), rule]));

describe("printing", () => {
  test("is the reverse of reading, also after unset of a kind", async () => {
    const unset = optional(fc.constantFrom("ask", "local", "accept"));
    await fc.assert(
      fc.asyncProperty(fc.array(given, { maxLength: 12 }), unset, async (commands, kind) => {
        let rules = [...keyed(commands.flatMap(rulesOf)).values()];
        if (kind) rules = unsetRules(rules, { ext: "uto", kind, netns: null }).rules;
        const printed = print(rules);
        const read = await reread(printed);
        expect(keyed(read)).toEqual(keyed(rules));
        expect(isChange(exactRules(rules, keyed(read)))).toBe(false);
        expect(print(read.reverse())).toBe(printed); // the same, in whatever order they were set
        expect(validate(parse(printed))).toBe(true);
      }),
      { numRuns: 300 },
    );
  });

  test("is for people to read", () => {
    const uto = extensions.find(({ name }) => name === "uto")!;
    const place = { direction: "to", address: "192.0.2.0/24", port: 443 };
    const rules = [
      ...rulesOf({ extension: uto, verb: "set", args: { duration: "30s" }, place, allNetns: false }),
      ...rulesOf({
        extension: uto,
        verb: "accept",
        args: {},
        place: { ...place, address: undefined },
        allNetns: true,
      }),
    ];
    const body = print(rules).split("\n").slice(2).join("\n");
    expect(body).toBe(`
schema = 1

[[scope]]
cgroup = "/"

[[scope.uto]]
accept = true
min = "100s"
max = "15min"
port = 443
all-netns = true

[[scope.uto]]
set = "30s"
to = "192.0.2.0/24"
port = 443
`);
  });

  test("of no rules is a policy, too, and strange names of cgroups are quoted", async () => {
    expect(await reread(print([]))).toEqual([]);
    const name = '/a"b\\c\x7f\u00e9.service';
    const rule = rulesOf({ ...fc.sample(given, 1)[0]!, allNetns: true })[0]!;
    const policy = await parsePolicy({ name: "x", text: print([rule], name) });
    expect(policy.scopes[0]!.flags.cgroup).toBe(name);
  });
});

const validate = new Ajv({ strict: true, strictTypes: false, strictRequired: false }).compile(policySchema());

describe("the published schema", () => {
  test("is the one of this tcpx", () => {
    expect(readFileSync(join(DOCS, "policy.schema.json"), "utf8") === schemaText()).toBe(true);
  });

  test("takes the example", () => {
    validate(parse(readFileSync(join(DOCS, "example.policy.toml"), "utf8")));
    expect(validate.errors).toBeNull();
  });

  test.each([
    "",
    "scope = 1",
    "[[scope]]\nx = 1",
    '[[scope]]\ncgroup = "/"\nunit = "a"',
    '[[scope]]\nuser = "a"',
    "[[scope]]\n[[scope.uto]]",
    "[[scope]]\n[[scope.uto]]\nset = true",
    '[[scope]]\n[[scope.uto]]\nset = "1s"\naccept = true',
    '[[scope]]\n[[scope.uto]]\nset = "1s"\nmin = "1s"',
    '[[scope]]\n[[scope.uto]]\nset = "1s"\nforce = "yes"',
    '[[scope]]\n[[scope.uto]]\nset = "1s"\nto = []',
    "schema = 2\nscope = []",
  ])("refuses %j", (text) => {
    expect(validate(parse(text))).toBe(false);
  });
});
