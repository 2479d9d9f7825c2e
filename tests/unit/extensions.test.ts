// SPDX-License-Identifier: MIT
// What every extension of the registry says of itself, tried: values, kinds, examples, demo, doctor and run. And the
// same of some that come from manifests.
import { describe, expect, test } from "bun:test";
import { parseArgs } from "citty";
import { checkArguments, type ValueDef } from "../../cli/base/args.ts";
import { extensionCommand } from "../../cli/commands/extension.ts";
import { exemption } from "../../cli/extensions/exemption.ts";
import { addExtension, extensions, kindsOf } from "../../cli/extensions/index.ts";
import { rulesOfLine } from "../../cli/extensions/line.ts";
import { hasOwnKind, ownOption } from "../../cli/extensions/options.ts";
import { placeRules } from "../../cli/extensions/place.ts";
import { draftRun, runArgs } from "../../cli/extensions/run-flags.ts";
import { FIRST_SLOT } from "../../cli/extensions/slots.ts";
import type { Extension, RuleVerb } from "../../cli/extensions/types.ts";
import { Counter, structs } from "../../cli/layout/layout.generated.ts";
import { COUNTER_NAMES } from "../../cli/loader/counters.ts";
import { extensionFrom } from "../../cli/manifest/extension.ts";
import { readManifest } from "../../cli/manifest/read.ts";
import { ownCounters } from "../../cli/observe/counted.ts";
import type { Netns, Rule } from "../../cli/policy/rule.ts";
import { parseSelectors } from "../../cli/policy/selector.ts";
import { parsePolicy } from "../../cli/policy-file/parse.ts";
import { Fitting, placeScope } from "../../cli/policy-file/place.ts";
import { printPolicy } from "../../cli/policy-file/print.ts";
import { DEFAULT_SITE } from "../../cli/wire/site.ts";
import { EVERY, GRADE, PACE } from "../support/manifests.ts";
import { refusal } from "../support/refusal.ts";

for (const [i, text] of [EVERY, GRADE, PACE].entries())
  addExtension(extensionFrom(readManifest(text, "extension.toml"), FIRST_SLOT + i));

const HOST = { tickUs: 4000 };
const NETNS: Netns = { cookie: 7n, inode: 4026531840 };

const verbsOf = ({ verbs }: Extension) => Object.entries(verbs);
const valuesOf = (extension: Extension) =>
  verbsOf(extension).flatMap(([verb, { args }]) =>
    Object.entries(args).map(([name, def]) => ({ verb, name, def: def as ValueDef })),
  );
const verbOf = (extension: Extension, name: string): RuleVerb => extension.verbs[name]!;

/** The rules of an example, which is a whole command line with the flags of all commands; undefined: it sets none. */
function exampleRules(extension: Extension, line: string): Rule[] | undefined {
  const [program, name, verb = "", ...words] = line.split(" ");
  if (program !== "tcpx" || name !== extension.name || !extension.verbs[verb]) return undefined;
  const { args: defs } = extensionCommand(extension).commands[verb]!;
  const args = parseArgs(checkArguments(words, defs, line), defs) as Record<string, unknown>;
  const { to, from, port } = args as Record<"to" | "from" | "port", string | undefined>;
  const { draft, fit } = extension.verbs[verb];
  const { drafts } = draft(args, DEFAULT_SITE);
  return placeRules(
    extension,
    parseSelectors({ to, from, port }),
    fit?.(drafts, HOST).drafts ?? drafts,
    NETNS,
  );
}

test("kinds and counters of their own: as many as there is room for, and no two of one name", () => {
  const [, kinds] = structs.tcpx_config.fields.places.dims;
  for (const extension of extensions) {
    const names = kindsOf(extension);
    expect([extension.name, new Set(names).size, names.length <= kinds]).toEqual([
      extension.name,
      names.length,
      true,
    ]);
  }
  const own = ownCounters();
  for (const { number } of own) {
    expect(number).toBeGreaterThanOrEqual(Counter.OWN);
    expect(number).toBeLessThan(Counter.COUNT);
  }
  const all = [...COUNTER_NAMES, ...own.map(({ name }) => name)];
  expect(new Set(all).size).toBe(all.length);
});

test("names, numbers and files are each one's own", async () => {
  for (const part of ["name", "id", "title", "summary"] as const)
    expect(new Set(extensions.map((extension) => extension[part])).size).toBe(extensions.length);
  for (const { name } of extensions.filter(({ id }) => id < FIRST_SLOT)) {
    expect(name).toMatch(/^[a-z][a-z0-9-]*$/);
    expect(await Bun.file(`${import.meta.dir}/../../cli/extensions/${name}.ts`).exists()).toBe(true);
  }
});

describe.each(extensions.map((extension) => ({ name: extension.name, extension })))(
  "$name",
  ({ extension }) => {
    const rules = [...extension.examples, ...verbsOf(extension).flatMap(([, { examples }]) => examples)]
      .map(([line]) => ({ line, rules: exampleRules(extension, line) }))
      .flatMap(({ line, rules }) => (rules ? [{ line, rules }] : []));

    test("examples make rules of the kinds that their verbs have", () => {
      expect(rules.length).toBeGreaterThan(0);
      for (const { line, rules: made } of rules) {
        const { kinds } = verbOf(extension, line.split(" ")[2]!);
        expect([line, made.filter(({ kind }) => !kinds.includes(kind))]).toEqual([line, []]);
      }
      for (const [name, { kinds }] of verbsOf(extension)) {
        const shown = rules.filter(({ line }) => line.split(" ")[2] === name).flatMap((one) => one.rules);
        expect([name, new Set(shown.map(({ kind }) => kind))]).toEqual([name, new Set(kinds)]);
      }
    });

    test.each(rules)("$line: described, printed as a policy, and read again", async ({ rules: made }) => {
      for (const rule of made) {
        expect(extension.describe(rule)).toMatch(/^[\x20-\x7e]+$/);
        expect(JSON.parse(JSON.stringify(extension.json(rule)))).toEqual(extension.json(rule));
      }
      const text = [...printPolicy([{ names: { cgroup: "/" }, rules: made }], HOST)].join("");
      const policy = await parsePolicy({ name: "printed", text });
      const read = [...placeScope(policy, policy.scopes[0]!, NETNS, new Fitting(HOST)).values()];
      const sorted = (all: Rule[]) => all.map((rule) => JSON.stringify({ ...rule, netns: null })).sort();
      expect(sorted(read)).toEqual(sorted(made));
    });

    const exempting = valuesOf(extension).filter(({ def }) => def.exempts);
    test("every kind can be exempted", () => {
      const kinds = exempting.flatMap(({ verb }) => verbOf(extension, verb).kinds);
      const own = verbsOf(extension).flatMap(([, verb]) => verb.kinds);
      expect(new Set(kinds)).toEqual(new Set(own));
    });

    test.each(exempting)("$verb: none in the place of $name exempts", ({ verb, name, def }) => {
      expect(def.description).toMatch(/none exempts the selector$|^Exempts the selector/);
      const { drafts } = verbOf(extension, verb).draft({ [name]: "none" });
      expect(drafts.length).toBeGreaterThan(0);
      for (const draft of drafts) {
        expect(draft).toEqual(exemption(draft.kind));
        expect(extension.describe(draft)).toBe("none");
      }
    });

    test.each(valuesOf(extension).filter(({ def }) => def.range))(
      "$verb: $name has a range, and what is outside is refused by name",
      ({ verb, name, def }) => {
        const { least, most, unit = "" } = def.range!;
        for (const wrong of [`${least - 1}${unit}`, `${most + 1}${unit}`, "x", `1.5${unit}`, ""]) {
          const error = refusal(() => verbOf(extension, verb).draft({ [name]: wrong }));
          expect([wrong, error.code, error.value]).toEqual([wrong, 2, wrong]);
        }
      },
    );

    test("demo and doctor: the commands make rules, and their options are told apart", () => {
      const { demo, trial } = extension;
      const lines = [demo?.client, demo?.server, demo?.download?.client, ...(trial?.rules ?? [])];
      for (const line of lines.filter((one) => one !== undefined))
        expect([line, rulesOfLine(extension, line, 7001).length > 0]).toEqual([line, true]);
      for (const option of extension.options ?? []) {
        const exid = option.identifier?.documented;
        const bytes = new Uint8Array([
          option.kind,
          4,
          ...(exid === undefined ? [0, 1] : [exid >> 8, exid & 255]),
        ]);
        expect([hasOwnKind(bytes), ownOption(bytes, DEFAULT_SITE)]).toEqual([true, option]);
      }
    });

    test("run: the flag takes none, and a switch only beside its flag", () => {
      const { name, run } = extension;
      if (!run) return expect(runArgs()[name]).toBeUndefined();
      expect(runArgs()[name]).toMatchObject({ valueHint: run.valueHint, description: run.description });
      const [drafted] = draftRun({ [name]: "none" });
      expect(drafted!.drafts.every(({ none }) => none)).toBe(true);
      for (const key of run.switches ?? []) {
        const given = { [key]: !(runArgs()[key]!.default ?? false) };
        expect(refusal(() => draftRun(given)).message).toEndWith(`is only for --${name}`);
      }
    });

    test("kinds are known, and directions are of kinds that there are", () => {
      const kinds = verbsOf(extension).flatMap(([, verb]) => verb.kinds);
      for (const kind of kinds) expect(kindsOf(extension)).toContain(kind);
      for (const kind of Object.keys(extension.directions ?? {})) expect(kinds as string[]).toContain(kind);
      for (const kind of extension.announces ?? []) expect(kinds).toContain(kind);
    });
  },
);
