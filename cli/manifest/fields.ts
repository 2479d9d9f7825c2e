// SPDX-License-Identifier: MIT
// A table of extension.toml, read key by key. Its texts reach terminals, so what a terminal would obey is refused.

import type { TomlTable, TomlValue } from "smol-toml";
import { meant } from "../base/did-you-mean.ts";
import { TcpxError } from "../base/errors.ts";
import { shortened, visible } from "../output/safe.ts";
import type { Path } from "../toml/locate.ts";
import { problem, problemAt, type Source } from "../toml/problem.ts";
import { isTable, kindOf } from "../toml/toml.ts";

const SHOWN_MOST = 60;

/** What a text may be. */
export interface TextRule {
  /** Characters. */
  most: number;
  pattern?: RegExp;
  /** For the message; the length when left out. */
  accepted?: string;
}

/** "is 5": what stands there, on one line, and not all of it. */
const said = (value: TomlValue | undefined) => shortened(visible(kindOf(value)), SHOWN_MOST);

export class Fields {
  /**
   * @param known keys that it may have
   * @throws TcpxError (usage) for another one
   */
  constructor(
    readonly source: Source,
    private readonly table: TomlTable,
    readonly path: Path,
    known: readonly string[],
  ) {
    const accepted = new Set(known); // it may be the keys of the table itself, as many as there are
    const stray = Object.keys(table).find((key) => !accepted.has(key));
    if (stray === undefined) return;
    const hint = meant(stray, known, `accepted is ${known.join(", ")}`);
    throw problem(source, [...path, stray], "unknown key", hint);
  }

  get(key: string): TomlValue | undefined {
    return Object.hasOwn(this.table, key) ? this.table[key] : undefined;
  }

  has(key: string): boolean {
    return this.get(key) !== undefined;
  }

  /** The error about a key. @param accepted "a whole number" */
  wrong(key: string, accepted: string, what = said(this.get(key))): TcpxError {
    return problem(this.source, [...this.path, key], what, `accepted is ${accepted}`);
  }

  /** The error about an element of a list. */
  wrongAt(key: string, at: number, accepted: string): TcpxError {
    const list = this.get(key);
    const value = Array.isArray(list) ? list[at] : undefined;
    return problem(this.source, [...this.path, key, at], said(value), `accepted is ${accepted}`);
  }

  /** A text that is there. */
  text(key: string, rule: TextRule): string {
    const value = this.get(key);
    if (value === undefined)
      throw this.missing(key, rule.accepted ?? `a text of up to ${rule.most} characters`);
    return this.plain(value, [...this.path, key], rule);
  }

  maybeText(key: string, rule: TextRule): string | undefined {
    return this.has(key) ? this.text(key, rule) : undefined;
  }

  /** One line that a terminal shows as it is. */
  plain(value: TomlValue, path: Path, { most, pattern, accepted }: TextRule): string {
    const hint = `accepted is ${accepted ?? `a text of up to ${most} characters, on one line`}`;
    if (typeof value !== "string") throw problem(this.source, path, said(value), hint);
    if (value.length > most) {
      const what = `has ${value.length} characters`;
      throw problem(
        this.source,
        path,
        what,
        accepted === undefined ? hint : `${hint}; up to ${most} characters`,
      );
    }
    if (value.trim() === "" || visible(value) !== value || (pattern && !pattern.test(value)))
      throw problem(this.source, path, said(value), hint);
    return value;
  }

  missing(key: string, accepted: string): TcpxError {
    return problem(this.source, this.path, `${key} is missing`, `accepted is ${accepted}`);
  }

  /** A whole number that is there. */
  integer(key: string, least: number, most: number): number {
    const accepted = `a whole number from ${least} to ${most}`;
    const value = this.get(key);
    if (value === undefined) throw this.missing(key, accepted);
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) return value;
    throw this.wrong(key, accepted);
  }

  flag(key: string): boolean {
    const value = this.get(key) ?? false;
    if (typeof value === "boolean") return value;
    throw this.wrong(key, "true or false");
  }

  oneOf<T extends string>(key: string, words: readonly T[]): T {
    const value = this.get(key);
    if (value === undefined) throw this.missing(key, words.join(", "));
    const found = words.find((word) => word === value);
    if (found !== undefined) return found;
    const accepted = `accepted is ${words.join(", ")}`;
    const hint = typeof value === "string" ? meant(value, words, accepted) : accepted;
    throw problem(this.source, [...this.path, key], said(value), hint);
  }

  /** A list, which may be left out. */
  list(key: string, most: number, accepted: string): readonly TomlValue[] {
    const value = this.get(key) ?? [];
    if (!Array.isArray(value)) throw this.wrong(key, accepted);
    if (value.length > most) throw this.wrong(key, `up to ${most} of them`, `has ${value.length} elements`);
    return value;
  }

  /** A table in this one; undefined: there is none. */
  inner(key: string, known: readonly string[]): Fields | undefined {
    const value = this.get(key);
    if (value === undefined) return undefined;
    return new Fields(this.source, this.tableAt(key, value), [...this.path, key], known);
  }

  /** The tables in a table of this one, by their names. */
  tables(key: string, known: readonly string[]): [name: string, fields: () => Fields][] {
    const value = this.get(key);
    if (value === undefined) return [];
    return Object.entries(this.tableAt(key, value)).map(([name, inner]) => [
      name,
      () => {
        const path = [...this.path, key, name];
        if (isTable(inner)) return new Fields(this.source, inner, path, known);
        throw problem(this.source, path, said(inner), `accepted is [${key}.${visible(name)}]`);
      },
    ]);
  }

  private tableAt(key: string, value: TomlValue): TomlTable {
    if (isTable(value)) return value;
    throw this.wrong(key, `[${[...this.path, key].join(".")}]`);
  }

  /** Does a part; an error of it that has no place is about this key. */
  at<T>(key: string, part: () => T): T {
    try {
      return part();
    } catch (error) {
      if (!(error instanceof TcpxError) || error.place) throw error;
      throw problemAt(this.source, [...this.path, key], error);
    }
  }
}
