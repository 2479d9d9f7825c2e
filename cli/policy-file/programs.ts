// SPDX-License-Identifier: MIT
// [[congestion]] and [[scope.program]] of a policy file: whole programs of others, by the files that they are in.

import type { TomlTable, TomlValue } from "smol-toml";
import { meant } from "../base/did-you-mean.ts";
import { inToml } from "../output/safe.ts";
import { PROGRAM_NAME } from "../programs/place.ts";
import type { ProgramWish, WantedProgram } from "../programs/wanted.ts";
import type { Path } from "../toml/locate.ts";
import { type Problems, problem, type Source } from "../toml/problem.ts";
import { isTable, kindOf } from "../toml/toml.ts";

export interface ProgramEntry {
  wish: ProgramWish;
  path: Path;
}

/** Keys of the file and of a scope. */
export const CONGESTION_KEY = "congestion";
export const PROGRAM_KEY = "program";

const KEYS = { congestion: ["file", "sha256", "set"], program: ["file", "name", "sha256", "set"] } as const;
const SUM = "^[0-9a-fA-F]{64}$";
const VARIABLE = "^[A-Za-z_][A-Za-z0-9_]*$";

const matches = (pattern: string | RegExp, value: TomlValue | undefined): value is string =>
  typeof value === "string" && new RegExp(pattern).test(value);

function setOf(source: Source, value: TomlValue | undefined, path: Path): Record<string, string> {
  if (value === undefined) return {};
  if (!isTable(value))
    throw problem(source, path, kindOf(value), "write set = { limit = 10, verbose = true }");
  return Object.fromEntries(
    Object.entries(value).map(([name, given]): [string, string] => {
      const at = [...path, name];
      if (!new RegExp(VARIABLE).test(name))
        throw problem(source, at, "is no name of a variable", undefined, name);
      const isValue = typeof given === "boolean" || typeof given === "string" || typeof given === "bigint";
      if (isValue || Number.isSafeInteger(given)) return [name, String(given)];
      throw problem(source, at, kindOf(given), "accepted is a number without a point, true or false");
    }),
  );
}

function entryOf(source: Source, table: TomlTable, path: Path, keys: readonly string[]): ProgramEntry {
  for (const key of Object.keys(table))
    if (!keys.includes(key))
      throw problem(
        source,
        [...path, key],
        "unknown key",
        meant(key, keys, `accepted is ${keys.join(", ")}`),
        key,
      );
  const { file, name, sha256 } = table;
  if (file === undefined)
    throw problem(source, path, "names no file", 'accepted is file = "/etc/tcpx/NAME.bpf.o"');
  if (!matches("^/", file))
    throw problem(
      source,
      [...path, "file"],
      kindOf(file),
      "accepted is an absolute path: it is read while the system starts, too",
    );
  if (name !== undefined && !matches(PROGRAM_NAME, name))
    throw problem(source, [...path, "name"], kindOf(name), "accepted are up to 32 letters, digits, _ and -");
  if (sha256 !== undefined && !matches(SUM, sha256))
    throw problem(
      source,
      [...path, "sha256"],
      kindOf(sha256),
      "accepted are 64 hexadecimal digits, as sha256sum(1) has them",
    );
  const set = setOf(source, table.set, [...path, "set"]);
  return {
    wish: { file, set, ...(name !== undefined && { name }), ...(sha256 !== undefined && { sha256 }) },
    path,
  };
}

/** An array of tables, at this key. @param tables reads it as such */
export function programEntries(
  source: Source,
  value: TomlValue | undefined,
  path: Path,
  tables: (value: TomlValue, path: Path) => TomlTable[],
  problems: Problems,
): ProgramEntry[] {
  if (value === undefined) return [];
  const keys = path.at(-1) === CONGESTION_KEY ? KEYS.congestion : KEYS.program;
  const all = problems.try(() => tables(value, path)) ?? [];
  return all.flatMap((table, i) => problems.try(() => entryOf(source, table, [...path, i], keys)) ?? []);
}

const quoted = (text: string) => inToml(JSON.stringify(text));
const valueText = (text: string) => (/^(?:true|false|-?[1-9]\d{0,14}|0)$/.test(text) ? text : quoted(text));

export type PrintedProgram = Pick<WantedProgram, "name" | "sha256" | "set"> & { file: string };

/** As it stands in a file. @param header such as scope.program */
export function programText(header: string, { name, file, sha256, set }: PrintedProgram): string {
  const values = Object.entries(set).map(([key, value]) => `${key} = ${valueText(value)}`);
  const lines = [
    `file = ${quoted(file)}`,
    ...(header === CONGESTION_KEY ? [] : [`name = ${quoted(name)}`]),
    `sha256 = ${quoted(sha256)}`,
    ...(values.length > 0 ? [`set = { ${values.join(", ")} }`] : []),
  ];
  return `\n[[${header}]]\n${lines.join("\n")}\n`;
}

/** For the JSON schema. */
export function programSchema(kind: keyof typeof KEYS): Record<string, unknown> {
  const properties = {
    file: { description: "The object: an absolute path, root's own", type: "string", pattern: "^/" },
    ...(kind === "program" && {
      name: {
        description: "What it is called; default: the file's name",
        type: "string",
        pattern: PROGRAM_NAME.source,
      },
    }),
    sha256: {
      description: "What sha256sum(1) says of the file: another one is refused",
      type: "string",
      pattern: SUM,
    },
    set: {
      description: "Values of its variables that are `const volatile`",
      type: "object",
      propertyNames: { pattern: VARIABLE },
      additionalProperties: { type: ["integer", "boolean", "string"] },
    },
  };
  const description =
    kind === "program"
      ? "sock_ops programs of others, attached beside those of tcpx"
      : "Congestion controls made of BPF programs (struct_ops), for the whole host";
  const items = { type: "object", required: ["file"], additionalProperties: false, properties };
  return { description, type: "array", items };
}
