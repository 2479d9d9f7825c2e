// SPDX-License-Identifier: MIT
// One rule of a policy file: a table becomes the arguments of a command.

import type { ArgDef } from "citty";
import type { TomlTable, TomlValue } from "smol-toml";
import { type Args, isList } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { TcpxError } from "../base/errors.ts";
import { placeRules } from "../extensions/place.ts";
import type { Drafted, Extension, RuleVerb } from "../extensions/types.ts";
import { compareKinds, type Direction, type Selector } from "../policy/rule.ts";
import { parseSelectors, selectorNotices } from "../policy/selector.ts";
import type { Path } from "../toml/locate.ts";
import { problem, problemAt, type Source } from "../toml/problem.ts";
import { kindOf } from "../toml/toml.ts";
import type { Site } from "../wire/site.ts";
import { flagsOf, RULE_KEYS, SELECTOR_KEYS, shapeOf, standsAlone, verbNames, wordOf } from "./keys.ts";
import type { Tick } from "./parse.ts";

/** What a verb makes of its arguments; the same object for the same arguments. */
export interface Draft {
  extension: Extension;
  verb: RuleVerb;
  drafted: Drafted;
}

export interface Entry {
  draft: Draft;
  selectors: Selector[];
  allNetns: boolean;
  /** Index in the extension's array. */
  index: number;
}

/** So many sets of arguments are remembered: policies repeat few of them, hostile ones many. */
const MOST_REMEMBERED = 4096;
const TICK_EVERY = 1024;
/** So many notices are told with their lines. */
const MOST_NOTICES = 3;
const NETWORK_END = /(?:\.0|:)\s*(?:,|$)/;

type Scalar = string | number | bigint;

const isScalar = (value: TomlValue | undefined): value is Scalar =>
  typeof value === "string" || typeof value === "number" || typeof value === "bigint";

interface Allowed {
  /** Flags by name, the word behind the verb by the verb's name. */
  keys: Map<string, ArgDef>;
  word: string | undefined;
}

export class EntryReader {
  /** What is to be said about rules, and where they stand; and how much more there is. */
  readonly notices: { path: Path; text: string }[] = [];
  unsaid = 0;
  private readonly drafts = new Map<string, Draft>();
  private readonly allowed = new Map<RuleVerb, Allowed>();
  /** Directions that are known to be right. */
  private readonly fitting = new WeakMap<Draft, Set<Direction>>();
  private count = 0;

  constructor(
    readonly source: Source,
    private readonly site: Site,
    private readonly tick: Tick,
  ) {}

  /** @param list where the extension's array of tables stands */
  read(extension: Extension, table: TomlTable, list: Path, index: number): Entry {
    if (++this.count % TICK_EVERY === 0) this.tick(this.count);
    const path = () => [...list, index];
    const verb = this.verbOf(extension, table, path);
    const args = this.argsOf(extension, verb, table, path);
    const selectors = this.selectorsOf(table, path);
    const draft = this.draftOf(extension, verb, args, table, path);
    this.checkDirections(draft, selectors, table, path);
    return { draft, selectors, allNetns: table["all-netns"] === true, index };
  }

  verbOf(extension: Extension, table: TomlTable, path: () => Path): string {
    const names = verbNames(extension);
    const [verb, second] = names.filter((name) => table[name] !== undefined);
    const [first = "set"] = names;
    if (verb === undefined) {
      const stray = Object.keys(table).find((key) => !this.knows(extension, key));
      if (stray !== undefined) throw this.unknown(extension, names, stray, path);
      const hint = `accepted is one of ${names.join(", ")}, such as in \`${first} = ...\``;
      throw problem(this.source, path(), "no verb", hint);
    }
    if (second !== undefined) {
      const hint = `give each a [[scope.${extension.name}]] of its own`;
      throw problem(this.source, [...path(), second], `stands beside ${verb}: a rule has one verb`, hint);
    }
    return verb;
  }

  private allowedIn(name: string, verb: RuleVerb): Allowed {
    const known = this.allowed.get(verb);
    if (known) return known;
    const word = wordOf(verb);
    const keys = new Map([...(word ? [[name, word[1]] as const] : []), ...flagsOf(verb)]);
    const made = { keys, word: word?.[0] };
    this.allowed.set(verb, made);
    return made;
  }

  knows(extension: Extension, key: string): boolean {
    const verbs = Object.entries(extension.verbs);
    return RULE_KEYS.includes(key) || verbs.some(([name, verb]) => this.allowedIn(name, verb).keys.has(key));
  }

  private unknown(extension: Extension, verbs: string[], key: string, path: () => Path): TcpxError {
    const keys = verbs.flatMap((name) => [name, ...this.allowedIn(name, extension.verbs[name]!).keys.keys()]);
    const accepted = [...new Set([...keys, ...RULE_KEYS])];
    const negated =
      key.startsWith("no-") && keys.includes(key.slice(3)) ? `${key.slice(3)} = false, or ` : "";
    const hint = `accepted is ${negated}${accepted.join(", ")}`;
    const near = negated === "" ? meant(key, accepted, hint) : hint;
    return problem(this.source, [...path(), key], "unknown key", near, key);
  }

  /** @throws TcpxError for a key that no verb has */
  refuseKey(extension: Extension, key: string, path: () => Path): never {
    throw this.unknown(extension, verbNames(extension), key, path);
  }

  /** The table as the arguments that the command's parser would give. */
  argsOf(extension: Extension, name: string, table: TomlTable, path: () => Path): Args {
    const verb = extension.verbs[name]!;
    const { keys, word } = this.allowedIn(name, verb);
    const args: Record<string, unknown> = {};
    for (const key in table) {
      const value = table[key]!;
      const def = keys.get(key);
      if (def === undefined) {
        if (RULE_KEYS.includes(key) || (key === name && value === true)) continue;
        if (key === name) throw problem(this.source, [...path(), key], kindOf(value), "accepted is true");
        throw this.unknown(extension, [name], key, path);
      }
      if (key === name && value === true && standsAlone(verb)) continue; // `set = true`: no word behind it
      const target = key === name ? word! : key;
      args[target] = shapeOf(def) === "flag" ? this.flag(value, path, key) : this.text(value, path, key, def);
    }
    const all = table["all-netns"];
    if (all !== undefined && typeof all !== "boolean") this.flag(all, path, "all-netns");
    return args;
  }

  private flag(value: TomlValue, path: () => Path, key: string): boolean {
    if (typeof value === "boolean") return value;
    throw problem(this.source, [...path(), key], kindOf(value), "accepted is true or false");
  }

  /** Numbers may stand for themselves, and a list for what the command line separates by commas. */
  private text(value: TomlValue, path: () => Path, key: string, def: ArgDef): string {
    const takesList = isList(def);
    if (isScalar(value)) return String(value);
    const members = takesList && Array.isArray(value) ? value : [];
    const wrong = members.findIndex((member) => !isScalar(member));
    if (members.length > 0 && wrong < 0) return members.join(",");
    const at = wrong < 0 ? [...path(), key] : [...path(), key, wrong];
    const word = def.type === "positional" && def.required === false ? "true, or " : "";
    const hint = `accepted is ${word}a text or a number${takesList ? ", or a list of them" : ""}`;
    throw problem(this.source, at, kindOf(wrong < 0 ? value : members[wrong]), hint);
  }

  /** The words of a selector's flag. */
  selectorShape(key: string, value: TomlValue, path: () => Path): string {
    return this.text(value, path, key, { type: "string", valueHint: "CIDR,..." });
  }

  private selectorsOf(table: TomlTable, path: () => Path): Selector[] {
    const args: Record<string, string> = {};
    for (const key of SELECTOR_KEYS) {
      const value = table[key];
      if (value !== undefined) args[key] = this.selectorShape(key, value, path);
    }
    try {
      const selectors = parseSelectors(args);
      this.notice(args, path);
      return selectors;
    } catch (error) {
      throw this.blamed(error, table, path, SELECTOR_KEYS[0]!);
    }
  }

  /** Addresses that look like those of networks; few end so. */
  private notice(args: Record<string, string>, path: () => Path): void {
    for (const key of ["to", "from"] as const) {
      const words = args[key];
      if (words === undefined || !NETWORK_END.test(words)) continue;
      for (const text of selectorNotices({ [key]: words })) {
        if (this.notices.length < MOST_NOTICES) this.notices.push({ path: [...path(), key], text });
        else this.unsaid++;
      }
    }
  }

  draftOf(extension: Extension, name: string, args: Args, table: TomlTable, path: () => Path): Draft {
    const key = `${extension.name} ${name} ${table.only ?? ""} ${JSON.stringify(args)}`;
    const known = this.drafts.get(key);
    if (known) return known;
    const verb = extension.verbs[name]!;
    let drafted: Drafted;
    try {
      drafted = verb.draft(args, this.site);
    } catch (error) {
      throw this.blamed(error, table, path, name);
    }
    const draft = { extension, verb, drafted: this.restricted(drafted, table, path) };
    if (this.drafts.size >= MOST_REMEMBERED) this.drafts.clear();
    this.drafts.set(key, draft);
    return draft;
  }

  /** `only = "local"`: what is left of the command after an `unset` of the other kinds. */
  private restricted(drafted: Drafted, table: TomlTable, path: () => Path): Drafted {
    const { only } = table;
    if (only === undefined) return drafted;
    const drafts = drafted.drafts.filter(({ kind }) => kind === only);
    if (drafts.length > 0) return { ...drafted, drafts };
    const kinds = [...new Set(drafted.drafts.map(({ kind }) => kind))].sort(compareKinds);
    const what = `${kindOf(only)}, which this verb makes no rule of`;
    throw problem(this.source, [...path(), "only"], what, `accepted is ${kinds.join(", ")}`);
  }

  /** Some kinds of rules are for one direction only. */
  private checkDirections(draft: Draft, selectors: Selector[], table: TomlTable, path: () => Path): void {
    const { extension, drafted } = draft;
    if (!extension.directions) return;
    const fitting = this.fitting.get(draft) ?? new Set();
    this.fitting.set(draft, fitting);
    for (const selector of selectors) {
      if (fitting.has(selector.direction)) continue;
      try {
        placeRules(extension, [selector], drafted.drafts, null);
      } catch (error) {
        throw this.blamed(error, table, path, "to");
      }
      if (selector.family !== 0) fitting.add(selector.direction);
    }
  }

  /** An error of a command's parser, at the key that it is about. */
  private blamed(error: unknown, table: TomlTable, path: () => Path, otherwise: string): unknown {
    if (!(error instanceof TcpxError)) return error;
    const [, flag = ""] = /^--([a-z][a-z0-9-]*)/.exec(error.message) ?? [];
    const key = table[flag] === undefined ? otherwise : flag;
    const value = table[key];
    const member = Array.isArray(value) ? value.findIndex((m) => String(m) === error.value) : -1;
    return problemAt(this.source, member < 0 ? [...path(), key] : [...path(), key, member], error);
  }
}
