// SPDX-License-Identifier: MIT
// The text of a policy file to what it asks for. Values go through the parsers of the commands: one validation,
// one wording.

import type { TomlTable, TomlValue } from "smol-toml";
import { type ScopeFlags, scopeFlags } from "../args.ts";
import { Exit, TcpxError } from "../errors.ts";
import { extensions } from "../extensions/index.ts";
import { parseUnit } from "../system/unit-name.ts";
import type { Site } from "../wire/site.ts";
import { type Entry, EntryReader } from "./entry.ts";
import { DOCUMENT_KEYS, extensionNames, FORMAT, SCOPE_KEYS } from "./keys.ts";
import type { Path } from "./locate.ts";
import { problem, problemAt, type Source } from "./problem.ts";
import { NOTHING_PRESENT, readTables, type SiteTables, settle } from "./site.ts";
import { isTable } from "./toml.ts";

export interface PolicyScope {
  /** How the file names it; nothing: the root. */
  flags: ScopeFlags;
  path: Path;
  entries: Entry[];
}

export interface Policy {
  source: Source;
  tables: SiteTables;
  /** The table that its rules were read with. */
  site: Site;
  scopes: PolicyScope[];
}

/** Is told how many rules have been read. */
export type Tick = (count: number) => void;

async function parseToml({ name, text }: Source): Promise<TomlTable> {
  const { parse, TomlError } = await import("smol-toml");
  try {
    return parse(text);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    const { line, column } = error;
    const why = error.message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
    throw new TcpxError(Exit.USAGE, `${name}:${line}: column ${column} is not TOML: ${why}`, {
      place: { file: name, line, key: "" },
      hint: "accepted is TOML 1.0 (https://toml.io), as `tcpx export` prints it",
    });
  }
}

class PolicyReader {
  private readonly entries: EntryReader;

  constructor(
    private readonly source: Source,
    site: Site,
    tick: Tick,
  ) {
    this.entries = new EntryReader(source, site, tick);
  }

  read(document: TomlTable): PolicyScope[] {
    for (const [key, value] of Object.entries(document)) {
      if (key === "schema" && value !== FORMAT) {
        const hint = `accepted is ${FORMAT}, or nothing; a newer tcpx may have written it`;
        throw problem(this.source, [key], "is not a version of this format", hint, String(value));
      }
      if (!DOCUMENT_KEYS.includes(key)) {
        const hint = "accepted is [[scope]], [exid], [algorithms] and schema";
        throw problem(this.source, [key], "unknown key", hint, key);
      }
    }
    if (document.scope === undefined) {
      const what = this.source.text.trim() === "" ? "the file is empty" : "there is no [[scope]] in the file";
      const hint = "a policy without any rules says `scope = []`; `tcpx export` prints what is in force";
      throw problem(this.source, [], what, hint);
    }
    return this.tables(document.scope, ["scope"]).map((table, i) => this.scope(table, ["scope", i]));
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
      if (extensionNames.includes(key)) continue;
      const at = [...path, key];
      if (key === "pid") {
        const hint = "name the scope by cgroup or unit";
        throw problem(this.source, at, "a process does not last as long as a policy", hint, key);
      }
      if (!(SCOPE_KEYS as readonly string[]).includes(key)) {
        const accepted = [...SCOPE_KEYS, ...extensionNames.map((name) => `[[scope.${name}]]`)].join(", ");
        throw problem(this.source, at, "unknown key", `accepted is ${accepted}`, key);
      }
      if (typeof value !== "string" || value === "") {
        throw problem(this.source, at, "is not a name", `accepted is a text, such as "nginx.service"`);
      }
      names[key] = value;
    }
    return { flags: this.flags(names, path), path, entries: this.rules(table, path) };
  }

  private rules(table: TomlTable, path: Path): Entry[] {
    const entries: Entry[] = [];
    for (const extension of extensions) {
      const value = table[extension.name];
      if (value === undefined) continue;
      const at = [...path, extension.name];
      const tables = this.tables(value, at);
      for (let i = 0; i < tables.length; i++) entries.push(this.entries.read(extension, tables[i]!, at, i));
    }
    return entries;
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

/**
 * Reads a policy; nothing is looked up on this host.
 * @param siteOf what the file's tables make of those of this host: rules refer to it
 * @throws TcpxError (usage) with file, line and key
 */
export async function parsePolicy(
  source: Source,
  tick: Tick = () => {},
  siteOf = (tables: SiteTables) => settle(source, tables, NOTHING_PRESENT, false),
): Promise<Policy> {
  const document = await parseToml(source);
  const tables = readTables(source, document);
  const site = siteOf(tables);
  return { source, tables, site, scopes: new PolicyReader(source, site, tick).read(document) };
}
