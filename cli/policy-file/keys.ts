// SPDX-License-Identifier: MIT
// What may stand in a policy file, read from the definitions that parse the commands: a rule has the key of
// its verb, whose value is the word behind the verb, and the flags by their names.

import type { ArgDef } from "citty";
import { netnsArgs, scopeArgs, selectorArgs } from "../base/args.ts";
import { extensions } from "../extensions/index.ts";
import type { Extension, RuleVerb } from "../extensions/types.ts";

/** Version of the format. */
export const FORMAT = 1;

/** --pid is missing: a process does not last. */
export const SCOPE_KEYS = ["cgroup", "unit", "user"] as const;
export const SELECTOR_KEYS = Object.keys(selectorArgs) as (keyof typeof selectorArgs)[];
/** Keys of every rule beside those of its verb. */
export const RULE_KEYS = [
  ...SELECTOR_KEYS,
  ...(Object.keys(netnsArgs) as (keyof typeof netnsArgs)[]),
  "only",
];

/** Keys of the file itself. */
export const DOCUMENT_KEYS = ["schema", "exid", "algorithms", "congestion", "scope"];

/** What the value of a key has to be. */
export type Shape = "text" | "list" | "flag";

export function shapeOf(def: ArgDef): Shape {
  return def.type === "boolean" ? "flag" : "text";
}

/** The words behind a verb; no verb has more than one. */
export function wordOf(verb: RuleVerb): [name: string, def: ArgDef] | undefined {
  return Object.entries(verb.args).find(([, def]) => def.type === "positional");
}

export function flagsOf(verb: RuleVerb): [name: string, def: ArgDef][] {
  return Object.entries(verb.args).filter(([, def]) => def.type !== "positional");
}

/** Can the verb do without its word? */
export function standsAlone(verb: RuleVerb): boolean {
  return wordOf(verb)?.[1].required === false;
}

export const extensionNames = (): string[] => extensions.map(({ name }) => name);

export function extensionNamed(name: string): Extension | undefined {
  return extensions.find((extension) => extension.name === name);
}

export const verbNames = (extension: Extension) => Object.keys(extension.verbs);

/** The description of a key of a scope, as the help has it. */
export const scopeText = (key: (typeof SCOPE_KEYS)[number]) => scopeArgs[key].description;
