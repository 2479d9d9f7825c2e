// SPDX-License-Identifier: MIT
// Rules as the text of a policy file. The same rules always give the same text.

import { extensions, kindsOf } from "../extensions/index.ts";
import type { Extension, HostFacts, RuleDraft, Spelling } from "../extensions/types.ts";
import { inToml } from "../output/safe.ts";
import { placeKey, type Rule, sameEffect } from "../policy/rule.ts";
import { formatCidr } from "../policy/selector.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { FORMAT, flagsOf, wordOf } from "./keys.ts";
import { CONGESTION_KEY, PROGRAM_KEY, type PrintedProgram, programText } from "./programs.ts";
import { printSite } from "./site-tables.ts";

export interface PrintedScope {
  /** As the file is to name it. */
  names: { cgroup: string } | { unit: string; user?: string };
  rules: Rule[];
  /** Whole programs of others. */
  programs?: PrintedProgram[];
}

const MOST_REMEMBERED = 4096;
const HEADER = [
  "# A policy of tcpx: `tcpx apply FILE` makes it true, and removes rules that are not in it.",
  "# `tcpx apply --help` says more, `tcpx export --schema` what may stand here.",
];

/** A basic string; JSON's escapes are all TOML's. */
const quoted = (text: string) => inToml(JSON.stringify(text));

function valueText(value: unknown): string {
  if (typeof value !== "string") return String(value);
  return /^(?:0|[1-9]\d{0,14})$/.test(value) ? value : quoted(value);
}

const same = (a: RuleDraft, b: RuleDraft) => a.kind === b.kind && sameEffect(a, b);

/** What commands make on this host. Drafting may look at it, and thousands of rules have the same value. */
class Drafts {
  private readonly known = new Map<string, RuleDraft[]>();

  constructor(
    private readonly host: HostFacts,
    readonly site: Site,
  ) {}

  of(extension: Extension, { verb, args }: Spelling): RuleDraft[] {
    const key = `${extension.name} ${verb} ${JSON.stringify(args)}`;
    const known = this.known.get(key);
    if (known) return known;
    const { draft, fit } = extension.verbs[verb]!;
    const { drafts } = draft(args, this.site);
    const made = fit ? fit(drafts, this.host).drafts : drafts;
    if (this.known.size < MOST_REMEMBERED) this.known.set(key, made);
    return made;
  }
}

interface Printed extends Spelling {
  /** The only kind that is meant, of those that the command makes. */
  only?: string;
}

/** Commands that make exactly these rules of one extension at one place. */
function spelled(extension: Extension, rules: Rule[], drafts: Drafts): Printed[] {
  const left = new Map(rules.map((rule) => [rule.kind, rule]));
  const printed: Printed[] = [];
  for (const kind of kindsOf(extension)) {
    const rule = left.get(kind);
    if (!rule) continue;
    const candidates = extension.spell(rule, drafts.site).map((spelling) => ({
      spelling,
      drafts: drafts.of(extension, spelling),
    }));
    const isThere = (draft: RuleDraft) => {
      const held = left.get(draft.kind);
      return held !== undefined && same(held, draft);
    };
    const whole = candidates.find(({ drafts }) => drafts.every(isThere));
    const part = candidates.find(({ drafts }) => drafts.some((draft) => same(draft, rule)));
    const found = whole ?? part;
    if (!found) {
      const text = extension.describe(rule, drafts.site);
      throw new Error(`no command makes the rule ${rule.ext} ${kind} ${text}`);
    }
    printed.push(whole ? found.spelling : { ...found.spelling, only: kind });
    for (const draft of whole?.drafts ?? [rule]) left.delete(draft.kind);
  }
  return printed;
}

function entryLines(extension: Extension, { verb: name, args, only }: Printed, rule: Rule): string[] {
  const verb = extension.verbs[name]!;
  const word = wordOf(verb)?.[0];
  const lines = [`${name} = ${valueText((word !== undefined ? args[word] : undefined) ?? true)}`];
  for (const [flag] of flagsOf(verb)) {
    if (args[flag] !== undefined) lines.push(`${flag} = ${valueText(args[flag])}`);
  }
  const { selector } = rule;
  if (selector.family !== 0) lines.push(`${selector.direction} = ${quoted(formatCidr(selector))}`);
  if (selector.port !== 0) lines.push(`port = ${selector.port}`);
  if (only !== undefined) lines.push(`only = "${only}"`);
  return lines;
}

/** Sorts as people read: no address first, then by direction, family, address, prefix and port. */
function sortKey({ selector: s, netns }: Rule): string {
  const number = (n: number, width: number) => String(n).padStart(width, "0");
  const place = `${s.family}${s.direction}${s.address.toHex()}${number(s.prefix, 3)}${number(s.port, 5)}`;
  return `${place}${netns ? "0" : "1"}`;
}

function* ruleTexts(rules: Rule[], isRoot: boolean, drafts: Drafts): Generator<string> {
  for (const extension of extensions) {
    const places = new Map<string, { sort: string; rules: Rule[] }>();
    for (const rule of rules) {
      if (rule.ext !== extension.name) continue;
      const key = placeKey(rule);
      const held = places.get(key);
      if (held) held.rules.push(rule);
      else places.set(key, { sort: sortKey(rule), rules: [rule] });
    }
    const sorted = [...places.values()].sort((a, b) => (a.sort < b.sort ? -1 : 1));
    for (const { rules } of sorted) {
      const [rule] = rules as [Rule];
      for (const printed of spelled(extension, rules, drafts)) {
        const lines = entryLines(extension, printed, rule);
        if (isRoot && rule.netns === null) lines.push("all-netns = true");
        yield `\n[[scope.${extension.name}]]\n${lines.join("\n")}\n`;
      }
    }
  }
}

/** The file, in parts. Scopes without rules and programs are left out: that is what their absence says. */
export function* printPolicy(
  scopes: PrintedScope[],
  host: HostFacts,
  site: Site = DEFAULT_SITE,
  congestion: readonly PrintedProgram[] = [],
): Generator<string> {
  const drafts = new Drafts(host, site);
  yield `${HEADER.join("\n")}\n\nschema = ${FORMAT}\n`;
  const filled = scopes.filter(({ rules, programs = [] }) => rules.length + programs.length > 0);
  if (filled.length === 0) yield "scope = []\n"; // before the first table, or it would be in there
  const tables = printSite(site);
  if (tables !== "") yield tables;
  for (const one of congestion) yield programText(CONGESTION_KEY, one);
  for (const { names, rules, programs = [] } of filled) {
    const lines = Object.entries(names).map(([key, value]) => `${key} = ${quoted(value)}\n`);
    yield `\n[[scope]]\n${lines.join("")}`;
    yield* ruleTexts(rules, "cgroup" in names && names.cgroup === "/", drafts);
    for (const one of programs) yield programText(`scope.${PROGRAM_KEY}`, one);
  }
}
