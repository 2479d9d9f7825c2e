// SPDX-License-Identifier: MIT
// [verbs.set] and [verbs.accept] of extension.toml.

import type { TomlValue } from "smol-toml";
import type { Example } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import type { TcpxError } from "../base/errors.ts";
import { problem } from "../toml/problem.ts";
import type { Fields, TextRule } from "./fields.ts";
import type { ValueSpec, VerbSpec } from "./types.ts";

export const VERB_KEYS = [
  ...["kind", "summary", "word", "flags", "or-local", "force", "live", "says", "examples", "notes"],
];
export const VERBS = ["set", "accept"] as const;
const KINDS = { set: ["ask", "local"], accept: ["accept"] } as const;

const SUMMARY: TextRule = { most: 120 };
const SAYS: TextRule = { most: 80 };
const LINE: TextRule = { most: 120 };
const WHAT: TextRule = { most: 120 };
const NOTE: TextRule = { most: 600 };
const LISTED_MOST = 8;

/** {NAME} in what a rule says. */
export const PLACEHOLDER = /\{([^{}]*)\}/g;

/** A name of a value that there is. */
function valueNamed(
  fields: Fields,
  path: (string | number)[],
  name: TomlValue,
  values: readonly ValueSpec[],
) {
  const found = values.find((value) => value.name === name);
  if (found) return found;
  const names = values.map((value) => value.name);
  const accepted =
    names.length === 0 ? "leave it out, or add [values.NAME]" : `accepted is ${names.join(", ")}`;
  const hint = typeof name === "string" ? meant(name, names, accepted) : accepted;
  throw problem(
    fields.source,
    path,
    "is no name of a value",
    hint,
    typeof name === "string" ? name : undefined,
  );
}

function wordOf(fields: Fields, values: readonly ValueSpec[]): string | undefined {
  const given = fields.get("word");
  if (given === undefined) return undefined;
  const value = valueNamed(fields, [...fields.path, "word"], given, values);
  if (value.type !== "switch") return value.name;
  throw fields.wrong("word", "a value that is no switch", `${value.name} is a switch`);
}

function flagsOf(fields: Fields, values: readonly ValueSpec[], word: string | undefined): string[] {
  const found: string[] = [];
  for (const [i, given] of fields
    .list("flags", values.length, 'a list of values, such as ["max"]')
    .entries()) {
    const path = [...fields.path, "flags", i];
    const { name } = valueNamed(fields, path, given, values);
    if (found.includes(name) || name === word)
      throw problem(fields.source, path, `${name} is there twice`, "leave it out");
    found.push(name);
  }
  return found;
}

function examplesOf(fields: Fields, name: string): Example[] {
  const accepted = `[COMMAND, WHAT], such as ["${name} ...", "What it does"]`;
  return fields.list("examples", LISTED_MOST, `a list of ${accepted}`).map((given, i): Example => {
    const path = [...fields.path, "examples", i];
    if (!Array.isArray(given) || given.length !== 2)
      throw problem(fields.source, path, "is no example", `accepted is ${accepted}`);
    const [line, what] = [
      fields.plain(given[0]!, [...path, 0], LINE),
      fields.plain(given[1]!, [...path, 1], WHAT),
    ];
    if (line.split(" ")[0] === name) return [line, what];
    throw problem(
      fields.source,
      [...path, 0],
      "is of another verb",
      `accepted is a command that begins with ${name}`,
    );
  });
}

function saysOf(fields: Fields, names: readonly string[]): string | undefined {
  const says = fields.maybeText("says", SAYS);
  if (says === undefined) return undefined;
  for (const [, name = ""] of says.matchAll(PLACEHOLDER)) {
    if (names.includes(name)) continue;
    const known = names.map((one) => `{${one}}`).join(", ");
    const hint = `accepted is ${known === "" ? "a text without {}" : known}`;
    throw problem(
      fields.source,
      [...fields.path, "says"],
      `has {${name}}, which is no value of the verb`,
      hint,
    );
  }
  return says;
}

/** Keys that only some kinds of rules have. */
function misplaced(fields: Fields, kind: VerbSpec["kind"], speaks: boolean): TcpxError | undefined {
  if (fields.flag("or-local") && kind !== "ask") return fields.wrong("or-local", "it for kind ask");
  if (kind === "local" || speaks) return undefined;
  const what = `of kind ${kind}, and nothing travels`;
  return problem(fields.source, fields.path, what, "add [option] or [request], or make it of kind local");
}

/** @param speaks there is an option or a request */
export function readVerb(
  name: (typeof VERBS)[number],
  fields: Fields,
  values: readonly ValueSpec[],
  speaks: boolean,
): VerbSpec {
  const kinds: readonly VerbSpec["kind"][] = KINDS[name];
  const kind = kinds.length === 1 && !fields.has("kind") ? kinds[0]! : fields.oneOf("kind", kinds);
  const wrong = misplaced(fields, kind, speaks);
  if (wrong) throw wrong;
  const word = wordOf(fields, values);
  const flags = flagsOf(fields, values, word);
  const says = saysOf(fields, word === undefined ? flags : [word, ...flags]);
  const notes = fields
    .list("notes", LISTED_MOST, "a list of texts")
    .map((note, i) => fields.plain(note, [...fields.path, "notes", i], NOTE));
  return {
    name,
    kind,
    summary: fields.text("summary", SUMMARY),
    ...(word !== undefined && { word }),
    flags,
    orLocal: fields.flag("or-local"),
    force: fields.flag("force"),
    live: fields.flag("live"),
    ...(says !== undefined && { says }),
    examples: examplesOf(fields, name),
    notes,
  };
}
