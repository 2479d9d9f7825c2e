// SPDX-License-Identifier: MIT
// The JSON schema of policy files, for editors and other programs. It tells shapes; values are judged by the
// parsers of the commands.

import type { ArgDef } from "citty";
import { netnsArgs, selectorArgs } from "../base/args.ts";
import { extensions } from "../extensions/index.ts";
import type { Extension, RuleVerb } from "../extensions/types.ts";
import { KINDS } from "../policy/rule.ts";
import { DEFAULT_SITE, EXID_NAMES, hex, SITE_ALGORITHMS, SITE_FIRST, SITE_LAST } from "../wire/site.ts";
import { FORMAT, flagsOf, SCOPE_KEYS, scopeText, shapeOf, standsAlone, wordOf } from "./keys.ts";
import { ALGORITHM_NAME, ALGORITHMS_TEXT, EXID_TEXT } from "./site-tables.ts";

type Schema = Record<string, unknown>;

const SCALAR = ["string", "integer"];

/** A text, or what a list of the command line is here. */
function valueSchema(def: ArgDef): Schema {
  const { description } = def;
  if (shapeOf(def) === "flag") return { description, type: "boolean" };
  if (!def.valueHint?.includes(",")) return { description, type: SCALAR };
  return { description, anyOf: [{ type: SCALAR }, { type: "array", minItems: 1, items: { type: SCALAR } }] };
}

function wordSchema(verb: RuleVerb): Schema {
  const word = wordOf(verb);
  const description = verb.summary;
  if (!word) return { description, const: true };
  const { description: text, ...value } = valueSchema(word[1]);
  const both = `${description}. ${text}`;
  return standsAlone(verb)
    ? { description: both, anyOf: [{ const: true }, value] }
    : { description: both, ...value };
}

/** What may stand in every rule. */
function placeSchemas(): Record<string, Schema> {
  const places = Object.entries({ ...selectorArgs, ...netnsArgs });
  return {
    ...Object.fromEntries(places.map(([name, def]) => [name, valueSchema(def)])),
    only: {
      description: "Only this kind of the rules that the verb makes, as when the others were unset",
      enum: KINDS,
    },
  };
}

function verbSchema(name: string, verb: RuleVerb): Schema {
  const flags = flagsOf(verb).map(([flag, def]) => [
    flag,
    def.type === "boolean" && def.negativeDescription
      ? { description: `false: ${def.negativeDescription}`, type: "boolean" }
      : valueSchema(def),
  ]);
  return {
    type: "object",
    required: [name],
    additionalProperties: false,
    properties: { [name]: wordSchema(verb), ...Object.fromEntries(flags), ...placeSchemas() },
  };
}

function extensionSchema(extension: Extension): Schema {
  const verbs = Object.entries(extension.verbs).map(([name, verb]) => verbSchema(name, verb));
  return { description: `${extension.summary}. ${extension.title}`, type: "array", items: { oneOf: verbs } };
}

/** The schema as an object. */
export function policySchema(): Schema {
  const names = SCOPE_KEYS.map((key) => [key, { description: scopeText(key), type: "string", minLength: 1 }]);
  const rules = extensions.map((extension) => [extension.name, extensionSchema(extension)]);
  return {
    $schema: "http://json-schema.org/draft-07/schema#",
    title: "A policy of tcpx",
    description: "What `tcpx apply` makes true and `tcpx export` prints, in TOML",
    type: "object",
    required: ["scope"],
    additionalProperties: false,
    properties: {
      schema: { description: "Version of this format", const: FORMAT },
      exid: {
        description: EXID_TEXT,
        type: "object",
        additionalProperties: false,
        properties: Object.fromEntries(
          EXID_NAMES.map((name) => [
            name,
            {
              description: `Default: ${DEFAULT_SITE.exids[name]} (${hex(DEFAULT_SITE.exids[name])})`,
              type: "integer",
              minimum: 1,
              maximum: 0xffff,
            },
          ]),
        ),
      },
      algorithms: {
        description: ALGORITHMS_TEXT,
        type: "object",
        maxProperties: SITE_ALGORITHMS,
        propertyNames: { pattern: ALGORITHM_NAME },
        additionalProperties: { type: "integer", minimum: SITE_FIRST, maximum: SITE_LAST },
      },
      scope: {
        description: "Cgroups and their rules; a scope without a name is the root",
        type: "array",
        items: {
          type: "object",
          additionalProperties: false,
          properties: { ...Object.fromEntries(names), ...Object.fromEntries(rules) },
          allOf: [{ not: { required: ["cgroup", "unit"] } }],
          dependencies: { user: ["unit"] },
        },
      },
    },
  };
}

/** As it is published. */
export const schemaText = (): string => `${JSON.stringify(policySchema(), null, 2)}\n`;
