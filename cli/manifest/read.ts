// SPDX-License-Identifier: MIT
// The text of extension.toml to what it says. Nothing is looked up on this host, and all that is wrong is told.

import type { TomlTable } from "smol-toml";
import type { TcpxError } from "../base/errors.ts";
import { FIRST_SLOT, slotProblem } from "../extensions/slots.ts";
import type { Kind } from "../policy/rule.ts";
import { Problems, problem, type Source } from "../toml/problem.ts";
import { parseToml } from "../toml/syntax.ts";
import { checkExamples } from "./examples.ts";
import { Fields, type TextRule } from "./fields.ts";
import { checkValues, readValue, VALUE_KEYS } from "./read-values.ts";
import { readVerb, VERB_KEYS, VERBS } from "./read-verbs.ts";
import {
  DIRECTION_KEYS,
  OPTION_KEYS,
  REQUEST_KEYS,
  readDirections,
  readOption,
  readRequest,
  requestProblem,
  synAckProblem,
  unusedProblem,
} from "./read-wire.ts";
import { describeSlot } from "./slot.ts";
import {
  API,
  MANIFEST_SCHEMA,
  type Manifest,
  type TestSpec,
  type ValueSpec,
  type VerbSpec,
} from "./types.ts";

const VALUES_MOST = 16;
const BITS_16 = 0xffff;

const KEYS = [
  ...["schema", "api", "name", "version", "summary", "title", "author", "license", "state-version"],
  ...["directions", "option", "request", "values", "verbs", "test"],
];

const TEST_KEYS = ["client", "server"];

const NAME: TextRule = {
  most: 32,
  pattern: /^[a-z][a-z0-9-]{0,31}$/,
  accepted: "a name of small letters, digits and hyphens, such as pacing",
};
const VERSION: TextRule = {
  most: 32,
  pattern: /^\d{1,6}\.\d{1,6}\.\d{1,6}(?:-[0-9A-Za-z.-]+)?$/,
  accepted: 'three numbers, such as "1.0.0"',
};
const SUMMARY: TextRule = { most: 80 };
const TITLE: TextRule = { most: 80 };
const AUTHOR: TextRule = { most: 80 };
const LICENSE: TextRule = { most: 64 };
const COMMAND: TextRule = {
  most: 200,
  pattern: /^(?:set|accept)\b/,
  accepted: 'a verb and its values, such as "set 40"',
};

function readTest(fields: Fields): TestSpec {
  const [client, server] = [fields.maybeText("client", COMMAND), fields.maybeText("server", COMMAND)];
  return { ...(client !== undefined && { client }), ...(server !== undefined && { server }) };
}

/** A version that has to be this one; undefined: it is. */
function otherVersion(
  fields: Fields,
  key: "schema" | "api",
  ours: number,
  of: string,
): TcpxError | undefined {
  const value = fields.get(key);
  if (value === ours) return undefined;
  if (value === undefined) return fields.missing(key, `${key} = ${ours}`);
  const newer = typeof value === "number" && Number.isInteger(value) && value > ours;
  const what = newer ? `is version ${value} of ${of}, and this tcpx knows ${ours}` : undefined;
  return fields.wrong(key, newer ? `${ours}; a newer tcpx may know it` : String(ours), what);
}

class Reader {
  private readonly problems = new Problems();

  constructor(private readonly source: Source) {}

  private try<T>(part: () => T): T | undefined {
    return this.problems.try(part);
  }

  private values(root: Fields): ValueSpec[] {
    const tables = this.try(() => root.tables("values", VALUE_KEYS)) ?? [];
    if (tables.length > VALUES_MOST) {
      const what = `has ${tables.length} values`;
      this.problems.add(problem(this.source, ["values"], what, `accepted is up to ${VALUES_MOST}`));
      return [];
    }
    const found = tables.flatMap(([name, fields], i) => this.try(() => readValue(name, fields(), i)) ?? []);
    this.try(() => checkValues(root, found));
    return found;
  }

  private verbs(root: Fields, values: readonly ValueSpec[], speaks: boolean): VerbSpec[] {
    const verbs = this.try(() => root.inner("verbs", VERBS));
    if (!verbs) {
      if (!root.has("verbs")) this.problems.add(root.missing("verbs", "[verbs.set] or [verbs.accept]"));
      return [];
    }
    const found = VERBS.flatMap((name) => {
      const fields = this.try(() => verbs.inner(name, VERB_KEYS));
      return (fields && this.try(() => readVerb(name, fields, values, speaks))) ?? [];
    });
    if (!VERBS.some((name) => verbs.has(name)))
      this.problems.add(
        problem(this.source, ["verbs"], "has no verb", "accepted is [verbs.set] or [verbs.accept]"),
      );
    return found;
  }

  private part<T>(root: Fields, key: string, known: string[], read: (fields: Fields) => T): T | undefined {
    return this.try(() => {
      const fields = root.inner(key, known);
      return fields && read(fields);
    });
  }

  private versions(root: Fields): void {
    for (const wrong of [
      otherVersion(root, "schema", MANIFEST_SCHEMA, "this file"),
      otherVersion(root, "api", API, "tcpx_ext.h"),
    ])
      if (wrong) this.problems.add(wrong);
  }

  private together(root: Fields): Manifest {
    const text = (key: string, rule: TextRule) => this.try(() => root.text(key, rule)) ?? "";
    const maybe = (key: string, rule: TextRule) => this.try(() => root.maybeText(key, rule));
    const speaks = root.has("option") || root.has("request");
    const values = this.values(root);
    const isBroken = this.problems.any; // then nobody can say which names of values there are
    const known = isBroken ? undefined : values;
    const option = this.part(root, "option", OPTION_KEYS, (fields) => readOption(fields, known));
    const request = this.part(root, "request", REQUEST_KEYS, (fields) => readRequest(fields, known));
    const test = this.part(root, "test", TEST_KEYS, readTest);
    const before = this.problems.count;
    const verbs = isBroken ? [] : this.verbs(root, values, speaks);
    const areVerbs = !isBroken && this.problems.count === before; // or nobody can say which kinds there are
    const kinds = verbs.flatMap(({ kind, orLocal }): Kind[] => (orLocal ? [kind, "local"] : [kind]));
    const directions = this.try(() =>
      readDirections(root.inner("directions", DIRECTION_KEYS), areVerbs ? kinds : undefined, speaks),
    );
    const [author, license] = [maybe("author", AUTHOR), maybe("license", LICENSE)];
    return {
      schema: MANIFEST_SCHEMA,
      api: API,
      name: text("name", NAME),
      version: text("version", VERSION),
      summary: text("summary", SUMMARY),
      title: text("title", TITLE),
      ...(author !== undefined && { author }),
      ...(license !== undefined && { license }),
      stateVersion: root.has("state-version")
        ? (this.try(() => root.integer("state-version", 1, BITS_16)) ?? 1)
        : 1,
      values,
      verbs,
      directions: directions ?? {},
      ...(option && { option }),
      ...(request && { request }),
      ...(test && { test }),
    };
  }

  read(document: TomlTable): Manifest {
    this.versions(new Fields(this.source, document, [], Object.keys(document)));
    this.problems.end(); // another version has other keys
    const root = new Fields(this.source, document, [], KEYS);
    const manifest = this.together(root);
    this.problems.end();
    const wrong = slotProblem(describeSlot(manifest, FIRST_SLOT));
    const late =
      (wrong === undefined ? undefined : problem(this.source, ["request"], wrong)) ??
      requestProblem(root, manifest) ??
      synAckProblem(root, manifest) ??
      unusedProblem(root, manifest);
    if (late) throw late;
    return manifest;
  }

  document(): TomlTable {
    const read = parseToml(this.source, this.problems);
    this.problems.end();
    return read!.document;
  }
}

/**
 * Reads a manifest that has been added to this host: its examples have been tried then.
 * @param name what the file is called in messages
 * @throws TcpxError (usage) with file, line and key of all that is wrong
 */
export function readAdded(text: string, name: string): Manifest {
  const reader = new Reader({ name, text, printer: "tcpx ext new" });
  return reader.read(reader.document());
}

/** The same, and examples that are no commands are mistakes, too. */
export function readManifest(text: string, name: string): Manifest {
  const manifest = readAdded(text, name);
  checkExamples({ name, text }, manifest);
  return manifest;
}
