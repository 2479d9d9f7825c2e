// SPDX-License-Identifier: MIT
// The JSON schema of policy files, for editors and other programs. It tells shapes; values are judged by the
// parsers of the commands.

import { isList, netnsArgs, selectorArgs, type ValueDef } from "../base/args.ts";
import { extensions } from "../extensions/index.ts";
import { identifiers } from "../extensions/options.ts";
import type { Extension, RuleVerb } from "../extensions/types.ts";
import type { Kind } from "../policy/rule.ts";
import { hex, SITE_ALGORITHMS, SITE_FIRST, SITE_LAST } from "../wire/site.ts";
import { FORMAT, flagsOf, SCOPE_KEYS, scopeText, shapeOf, standsAlone, wordOf } from "./keys.ts";
import { programSchema } from "./programs.ts";
import { ALGORITHM_NAME, ALGORITHMS_TEXT, EXID_TEXT } from "./site-tables.ts";

type Schema = Record<string, unknown>;

/** A text, or a number where that says the same. */
const scalar = ({ range }: ValueDef): Schema => ({
  type: ["string", "integer"],
  ...(range && !range.unit && { minimum: range.least, maximum: range.most }),
});

/** A text, or what a list of the command line is here. */
function valueSchema(def: ValueDef): Schema {
  const { description } = def;
  if (shapeOf(def) === "flag") return { description, type: "boolean" };
  if (!isList(def)) return { description, ...scalar(def) };
  return { description, anyOf: [scalar(def), { type: "array", minItems: 1, items: scalar(def) }] };
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
function placeSchemas(kinds: readonly Kind[]): Record<string, Schema> {
  const places = Object.entries({ ...selectorArgs, ...netnsArgs });
  return {
    ...Object.fromEntries(places.map(([name, def]) => [name, valueSchema(def)])),
    only: {
      description: "Only this kind of the rules that the verb makes, as when the others were unset",
      enum: kinds,
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
    properties: { [name]: wordSchema(verb), ...Object.fromEntries(flags), ...placeSchemas(verb.kinds) },
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
          identifiers().map(({ name, documented }) => [
            name,
            {
              description: `Default: ${documented} (${hex(documented)})`,
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
      congestion: programSchema("congestion"),
      scope: {
        description: "Cgroups and their rules; a scope without a name is the root",
        type: "array",
        items: {
          type: "object",
          additionalProperties: false,
          properties: {
            ...Object.fromEntries(names),
            ...Object.fromEntries(rules),
            program: programSchema("program"),
          },
          allOf: [{ not: { required: ["cgroup", "unit"] } }],
          dependencies: { user: ["unit"] },
        },
      },
    },
  };
}

/** As it is published. */
export const schemaText = (): string => `${JSON.stringify(policySchema(), null, 2)}\n`;
