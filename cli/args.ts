// SPDX-License-Identifier: MIT
// Flags that several commands share, and the strictness that citty lacks: it lets unknown flags,
// stray words and repeated flags pass.

import { parseArgs } from "node:util";
import type { ArgDef, ArgsDef } from "citty";
import { usageError } from "./errors.ts";

export const globalArgs = {
  json: { type: "boolean", description: "Print one JSON document" },
  quiet: { type: "boolean", alias: "q", description: "Print errors only" },
  verbose: {
    type: "boolean",
    alias: "v",
    description: "Also print what libbpf and the kernel's verifier say",
  },
  help: { type: "boolean", alias: "h", description: "Print this help" },
} as const satisfies ArgsDef;

export const scopeArgs = {
  cgroup: {
    type: "string",
    valueHint: "PATH",
    description: "Scope: processes of this cgroup v2 directory; default: its root, all processes",
  },
} as const satisfies ArgsDef;

export const netnsArgs = {
  "all-netns": {
    type: "boolean",
    description: "Root scope: every network namespace, not only the caller's",
  },
} as const satisfies ArgsDef;

export const selectorArgs = {
  to: {
    type: "string",
    valueHint: "CIDR,...",
    description: "Connections that this side opens to these addresses",
  },
  from: {
    type: "string",
    valueHint: "CIDR,...",
    description: "Connections that this side accepts from these addresses",
  },
  port: { type: "string", valueHint: "N,...", description: "Port of the side that listens" },
} as const satisfies ArgsDef;

export const changeArgs = {
  "dry-run": { type: "boolean", description: "Print what would change, and change nothing" },
  wait: { type: "boolean", description: "Wait for another tcpx to finish instead of failing with 5" },
} as const satisfies ArgsDef;

/** Arguments of a command after parsing. */
export type Args = Readonly<Record<string, unknown>>;

/** The value of a string argument; undefined when it was not given. */
export function textArg(args: Args, name: string): string | undefined {
  const value = args[name];
  return typeof value === "string" ? value : undefined;
}

/** Was this boolean flag given? */
export function flagArg(args: Args, name: string): boolean {
  return args[name] === true;
}

/** One-letter forms of a flag. */
export function aliasesOf(def: ArgDef): string[] {
  return "alias" in def ? [def.alias ?? []].flat() : [];
}

/** Long flag names by every spelling that is accepted: --x, -x, and --no-x where that means something. */
function spellings(defs: ArgsDef): Map<string, { name: string; takesValue: boolean }> {
  const known = new Map<string, { name: string; takesValue: boolean }>();
  for (const [name, def] of Object.entries(defs)) {
    if (def.type === "positional") continue;
    const takesValue = def.type === "string" || def.type === "enum";
    for (const spelling of [name, ...aliasesOf(def)]) known.set(spelling, { name, takesValue });
    if (def.type === "boolean" && def.negativeDescription) known.set(`no-${name}`, { name, takesValue });
  }
  return known;
}

function tokenize(args: string[], known: ReturnType<typeof spellings>) {
  const options: Record<string, { type: "string" | "boolean"; short?: string }> = {};
  for (const [spelling, { name, takesValue }] of known) {
    const type = takesValue ? "string" : "boolean";
    if (spelling.length === 1) options[name] = { type, short: spelling };
    else options[spelling] ??= { type };
  }
  return parseArgs({ args, options, strict: false, allowPositionals: true, tokens: true }).tokens;
}

/**
 * Checks the words after a command against its arguments.
 * @returns the same words, flags first, such that citty cannot misread them
 * @throws TcpxError (usage) that names the flag or word
 */
export function checkArguments(args: string[], defs: ArgsDef, command: string): string[] {
  const help = `see \`${command} --help\``;
  const known = spellings(defs);
  const flags = new Map<string, string>();
  const words: string[] = [];
  let negative = -1;
  for (const token of tokenize(args, known)) {
    if (token.kind === "positional") words.push(token.value);
    if (token.kind !== "option" || token.index === negative) continue;
    if (/^-\d/.test(token.rawName)) {
      negative = token.index; // a negative number, and no flags: let it be judged as a value
      words.push(args[token.index]!);
      continue;
    }
    const flag = known.get(token.name);
    if (!flag) throw usageError(`unknown flag '${token.rawName}'`, token.rawName, help);
    if (flags.has(flag.name)) {
      throw usageError(`${token.rawName} is given twice`, token.rawName, "separate several values by commas");
    }
    const value = token.value;
    if (
      flag.takesValue &&
      (value === undefined ||
        (!token.inlineValue && known.has(value.replace(/^--?/, "")) && value.startsWith("-")))
    ) {
      throw usageError(`${token.rawName} needs a value`, token.rawName, help);
    }
    if (!flag.takesValue && value !== undefined) {
      throw usageError(`${token.rawName} takes no value`, value, help);
    }
    flags.set(flag.name, flag.takesValue ? `--${flag.name}=${value}` : `--${token.name}`);
  }
  const places = Object.entries(defs).filter(([, def]) => def.type === "positional");
  const stray = words[places.length];
  if (stray !== undefined) throw usageError(`stray argument '${stray}'`, stray, help);
  const missing = places.slice(words.length).find(([, def]) => def.required !== false);
  if (missing) throw usageError(`${missing[0].toUpperCase()} is missing`, undefined, help);
  return [...flags.values(), "--", ...words];
}
