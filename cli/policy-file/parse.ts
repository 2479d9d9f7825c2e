// SPDX-License-Identifier: MIT
// The text of a policy file to what it asks for. Values go through the parsers of the commands: one validation,
// one wording.

import type { TomlTable, TomlValue } from "smol-toml";
import { type ScopeFlags, scopeFlags } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { TcpxError } from "../base/errors.ts";
import { extensions } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import { parseUnit } from "../system/unit-name.ts";
import { lineOf, type Path } from "../toml/locate.ts";
import { Problems, problem, problemAt, type Source } from "../toml/problem.ts";
import { isTable } from "../toml/toml.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { type Entry, EntryReader } from "./entry.ts";
import { entryProblems } from "./entry-problems.ts";
import { DOCUMENT_KEYS, extensionNames, FORMAT, SCOPE_KEYS } from "./keys.ts";
import { duplicates } from "./place.ts";
import { CONGESTION_KEY, PROGRAM_KEY, type ProgramEntry, programEntries } from "./programs.ts";
import { NOTHING_PRESENT, readTables, type SiteTables, settle } from "./site-tables.ts";

export interface PolicyScope {
  /** How the file names it; nothing: the root. */
  flags: ScopeFlags;
  path: Path;
  entries: Entry[];
  programs: ProgramEntry[];
}

export interface Policy {
  source: Source;
  tables: SiteTables;
  /** The table that its rules were read with. */
  site: Site;
  congestion: ProgramEntry[];
  scopes: PolicyScope[];
  /** What may not be meant as it stands. */
  notices: string[];
}

/** Is told how many rules have been read. */
export type Tick = (count: number) => void;

class PolicyReader {
  private readonly entries: EntryReader;

  constructor(
    private readonly source: Source,
    site: Site,
    tick: Tick,
    private readonly problems: Problems,
  ) {
    this.entries = new EntryReader(source, site, tick);
  }

  notices(): string[] {
    const { notices, unsaid } = this.entries;
    const said = notices.map(
      ({ path, text }) => `${this.source.name}:${lineOf(this.source.text, path)}: ${text}`,
    );
    return unsaid > 0 ? [...said, `and ${unsaid} more such addresses`] : said;
  }

  read(document: TomlTable): PolicyScope[] {
    for (const [key, value] of Object.entries(document)) this.problems.try(() => this.key(key, value));
    if (document.scope === undefined && this.problems.any) return []; // it may be what is misspelt
    const scopes = this.problems.try(() => this.scopesOf(document)) ?? [];
    return scopes.map((table, i) => this.scope(table, ["scope", i]));
  }

  private key(key: string, value: TomlValue): void {
    if (key === "schema" && value !== FORMAT) {
      const hint = `accepted is ${FORMAT}, or nothing; a newer tcpx may have written it`;
      throw problem(this.source, [key], "is not a version of this format", hint, String(value));
    }
    if (DOCUMENT_KEYS.includes(key)) return;
    const hint = meant(
      key,
      DOCUMENT_KEYS,
      "accepted is [[scope]], [exid], [algorithms], [[congestion]] and schema",
    );
    throw problem(this.source, [key], "unknown key", hint, key);
  }

  /** Whole programs of others, at this key. */
  private programs(value: TomlValue | undefined, path: Path): ProgramEntry[] {
    const tables = (given: TomlValue, at: Path) => this.tables(given, at);
    return programEntries(this.source, value, path, tables, this.problems);
  }

  readonly congestion = (document: TomlTable) => this.programs(document[CONGESTION_KEY], [CONGESTION_KEY]);

  private scopesOf(document: TomlTable): TomlTable[] {
    if (document.scope !== undefined) return this.tables(document.scope, ["scope"]);
    const what = this.source.text.trim() === "" ? "the file is empty" : "there is no [[scope]] in the file";
    const hint = "a policy without any rules says `scope = []`; `tcpx export` prints what is in force";
    throw problem(this.source, [], what, hint);
  }

  /** An array of tables. */
  private tables(value: TomlValue, path: Path): TomlTable[] {
    const header = `[[${path.filter((part) => typeof part === "string").join(".")}]]`;
    if (Array.isArray(value)) {
      const wrong = value.findIndex((element) => !isTable(element));
      if (wrong < 0) return value as TomlTable[];
      throw problem(this.source, [...path, wrong], "is not a table", `accepted is ${header}`);
    }
    const what = isTable(value) ? "is a single table" : "is not an array of tables";
    throw problem(this.source, path, what, `write ${header}`);
  }

  private scope(table: TomlTable, path: Path): PolicyScope {
    const names: Record<string, string> = {};
    for (const [key, value] of Object.entries(table)) {
      if (extensionNames().includes(key) || key === PROGRAM_KEY) continue;
      const name = this.problems.try(() => this.name(key, value, [...path, key]));
      if (name !== undefined) names[key] = name;
    }
    const flags = this.problems.try(() => this.flags(names, path)) ?? {};
    const programs = this.programs(table[PROGRAM_KEY], [...path, PROGRAM_KEY]);
    return { flags, path, entries: this.rules(table, path), programs };
  }

  /** What a key of a scope says. */
  private name(key: string, value: TomlValue, at: Path): string {
    if (key === "pid") {
      const hint = "name the scope by cgroup or unit";
      throw problem(this.source, at, "a process does not last as long as a policy", hint, key);
    }
    if (!(SCOPE_KEYS as readonly string[]).includes(key)) {
      const lists = [...extensionNames(), PROGRAM_KEY];
      const accepted = `accepted is ${[...SCOPE_KEYS, ...lists.map((name) => `[[scope.${name}]]`)].join(", ")}`;
      const hint = meant(key, [...SCOPE_KEYS, ...lists], accepted);
      const isList = Array.isArray(value) && hint === accepted; // a policy of a host that has one more extension
      const [what, add] = isList
        ? ["this host has no such extension", "add it with `tcpx ext add`; "]
        : ["unknown key", ""];
      throw problem(this.source, at, what, add + hint, key);
    }
    if (typeof value === "string" && value !== "") return value;
    throw problem(this.source, at, "is not a name", `accepted is a text, such as "nginx.service"`);
  }

  private rules(table: TomlTable, path: Path): Entry[] {
    const entries: Entry[] = [];
    for (const extension of extensions) {
      const value = table[extension.name];
      if (value === undefined) continue;
      const at = [...path, extension.name];
      const tables = this.problems.try(() => this.tables(value, at)) ?? [];
      for (let i = 0; i < tables.length; i++) {
        const entry = this.entry(extension, tables[i]!, at, i);
        if (entry) entries.push(entry);
      }
    }
    return entries;
  }

  private entry(extension: Extension, table: TomlTable, list: Path, index: number): Entry | undefined {
    try {
      return this.entries.read(extension, table, list, index);
    } catch (error) {
      if (this.problems.isFull()) this.problems.add(error);
      else entryProblems(this.entries, this.problems, error, { extension, table, path: [...list, index] });
      return undefined;
    }
  }

  private flags(names: Record<string, string>, path: Path): ScopeFlags {
    const [first] = Object.keys(names);
    try {
      const flags = scopeFlags(names);
      if (flags.unit !== undefined) parseUnit(flags.unit);
      return flags;
    } catch (error) {
      if (!(error instanceof TcpxError)) throw error;
      const key = error.value?.replace(/^--/, "") ?? "";
      const guilty = Object.hasOwn(names, key) ? key : names.unit !== undefined ? "unit" : first;
      throw problemAt(this.source, guilty === undefined ? path : [...path, guilty], error);
    }
  }
}

/** The host's tables; when something is wrong with them, what is left of them. */
function tablesOf(source: Source, document: TomlTable, problems: Problems): SiteTables {
  try {
    return readTables(source, document);
  } catch {
    const good: TomlTable = {};
    for (const name of ["exid", "algorithms"]) {
      const table = document[name];
      if (!isTable(table)) {
        problems.try(() => readTables(source, { [name]: table! }));
        continue;
      }
      const kept = Object.entries(table).filter(([key, value]) =>
        problems.try(() => readTables(source, { [name]: { [key]: value } })),
      );
      good[name] = Object.fromEntries(kept);
    }
    return readTables(source, good);
  }
}

/**
 * Reads a policy; nothing is looked up on this host.
 * @param siteOf what the file's tables make of those of this host: rules refer to it
 * @throws TcpxError (usage) with file, line and key, of all that is wrong
 */
export async function parsePolicy(
  given: Source,
  tick: Tick = () => {},
  siteOf = (tables: SiteTables) => settle(given, tables, NOTHING_PRESENT, false),
): Promise<Policy> {
  const problems = new Problems();
  const { parseToml } = await import("../toml/syntax.ts"); // and the parser with it: printing needs neither
  const read = parseToml(given, problems);
  if (!read) problems.end();
  const { document, text } = read!;
  const source: Source = { name: given.name, text, isFull: problems.isFull };
  const tables = tablesOf(source, document, problems);
  const site = problems.try(() => siteOf(tables)) ?? DEFAULT_SITE;
  const reader = new PolicyReader(source, site, tick, problems);
  const scopes = reader.read(document);
  const congestion = reader.congestion(document);
  if (problems.any) for (const scope of scopes) duplicates(source, scope, problems);
  problems.end();
  return { source: given, tables, site, congestion, scopes, notices: reader.notices() };
}
