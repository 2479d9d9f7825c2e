// SPDX-License-Identifier: MIT
// Flags that several commands share, and the strictness that citty lacks: it lets unknown flags,
// stray words and repeated flags pass.

import type { ArgDef, ArgsDef } from "citty";
import { flagOf, normalized, spellings, tokenize } from "./arg-words.ts";
import { durationMs, type Range } from "./duration.ts";
import { type TcpxError, usageError } from "./errors.ts";

export { aliasesOf, isList, optionalValue } from "./arg-words.ts";

/** What else is known of an argument's values, for the help, completions, policy files and their schema. */
export type ValueDef = ArgDef & {
  /** `none` may stand there, too: it exempts the selector. */
  exempts?: true;
  /** Words that may stand there, where the hint does not say them. */
  words?: readonly string[];
  /** What is accepted. */
  range?: Range;
};
export type ValuesDef = Record<string, ValueDef>;

export const globalArgs = {
  json: { type: "boolean", alias: "j", description: "Print one JSON document" },
  quiet: { type: "boolean", alias: "q", description: "Print errors only" },
  verbose: {
    type: "boolean",
    alias: "v",
    description: "Also print what libbpf and the kernel's verifier say",
  },
  help: { type: "boolean", alias: "h", description: "Print this help" },
} as const satisfies ArgsDef;

/** What may stand before a command. */
export const rootArgs = {
  version: { type: "boolean", alias: "V", description: "Print the version" },
  ...globalArgs,
} as const satisfies ArgsDef;

export const scopeArgs = {
  cgroup: {
    type: "string",
    valueHint: "PATH",
    description: "Scope: processes of this cgroup v2 directory; default: its root, all processes",
  },
  unit: {
    type: "string",
    valueHint: "UNIT",
    description: "Scope: a running unit of systemd: nginx.service (or nginx), web.slice",
  },
  user: {
    type: "string",
    valueHint: "USER",
    description: "With --unit: a unit of this user's systemd, by name or number",
  },
  pid: {
    type: "string",
    valueHint: "PID",
    description: "Scope: the cgroup that this process is in, with all that are in it",
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
    description: "Connections that this side opens to these addresses, as ss shows them",
  },
  from: {
    type: "string",
    valueHint: "CIDR,...",
    description: "Connections that this side accepts from these addresses, as ss shows them",
  },
  port: { type: "string", valueHint: "N,...", description: "Port of the side that listens" },
} as const satisfies ArgsDef;

/** Of verbs that can change connections that exist. */
export const liveArgs = {
  live: {
    type: "boolean",
    description:
      "Connections that exist, too, and not only new ones (Linux >= 5.15; >= 6.12 to announce something)",
  },
} as const satisfies ArgsDef;

/** Of commands that take the lock; flags/patience.ts reads them. */
export const waitArgs = {
  wait: {
    type: "string",
    valueHint: "[=DURATION]",
    description: "Wait so long for another tcpx to finish, or by itself without end; default: 5s",
  },
  "no-wait": { type: "boolean", description: "Fail with 5 at once while another tcpx is at work" },
} as const satisfies ArgsDef;

export const changeArgs = {
  "dry-run": { type: "boolean", description: "Print what would change, and change nothing" },
  ...waitArgs,
} as const satisfies ArgsDef;

/** The flags of every rule command. */
export const placeArgs = { ...selectorArgs, ...scopeArgs, ...netnsArgs, ...changeArgs } satisfies ArgsDef;

/** For the help: a command line, and what it does. */
export type Example = readonly [command: string, what: string];

/** Arguments of a command after parsing. */
export type Args = Readonly<Record<string, unknown>>;

/** The value of a string argument; undefined when it was not given. */
export function textArg(args: Args, name: string): string | undefined {
  const value = args[name];
  return typeof value === "string" ? value : undefined;
}

/** What selectorArgs were given, as parseSelectors() takes them. */
export function selectorWords(args: Args) {
  return { to: textArg(args, "to"), from: textArg(args, "from"), port: textArg(args, "port") };
}

/** Was this boolean flag given? */
export function flagArg(args: Args, name: string): boolean {
  return args[name] === true;
}

/** How a command names its scope; nothing: the root. */
export interface ScopeFlags {
  cgroup?: string | undefined;
  unit?: string | undefined;
  user?: string | undefined;
  pid?: string | undefined;
}

/** The scope that the flags name. @throws TcpxError (usage) when they name two */
export function scopeFlags(args: Args): ScopeFlags {
  const named = (["cgroup", "unit", "pid"] as const).filter((flag) => args[flag] !== undefined);
  if (named.length > 1) {
    const [first, second] = named.map((flag) => `--${flag}`);
    throw usageError(`${first} and ${second} exclude each other`, second, "each names a scope: give one");
  }
  if (args.user !== undefined && args.unit === undefined) {
    throw usageError("--user is only for --unit", "--user", "give --unit NAME, too, or leave it out");
  }
  const [cgroup, unit, user, pid] = (["cgroup", "unit", "user", "pid"] as const).map((f) => textArg(args, f));
  return { cgroup, unit, user, pid };
}

/** Is this argument a command of others, which stands behind "--" with all that follows? */
export function isCommandArg(def: ArgDef): boolean {
  return def.type === "positional" && (def.valueHint?.startsWith("-- ") ?? false);
}

/** The error of a positional argument that is not there, named as in the usage line. */
function missingError([name, def]: [string, ArgDef], help: string): TcpxError {
  if (isCommandArg(def)) return usageError("CMD is missing", undefined, "put the command behind --");
  return usageError(`${def.valueHint ?? name.toUpperCase()} is missing`, undefined, help);
}

/** The first word that stands behind a flag like --wait, which takes its value behind "=" only. */
interface Behind {
  flag: string;
  word: string;
  /** Its number among the words. */
  at: number;
}

const joined = ({ flag, word }: Behind) => `if '${word}' belongs to ${flag}, write ${flag}=${word}`;

/** A duration behind --wait that is no word of this command must not be taken for one. */
function checkBehind(behind: Behind, place: [string, ArgDef] | undefined): void {
  const hint = place && (place[1].valueHint ?? place[0]);
  if (durationMs(behind.word) === undefined || hint === undefined || /duration/i.test(hint)) return;
  throw usageError(`${behind.flag} takes its value behind '=' only`, behind.word, joined(behind));
}

/** --x and --no-x. */
function checkOpposites(flags: ReadonlyMap<string, string>): void {
  for (const name of flags.keys()) {
    if (!flags.has(`no-${name}`)) continue;
    throw usageError(`--${name} and --no-${name} exclude each other`, `--no-${name}`, "give one of them");
  }
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
  const takesCommand = Object.values(defs).some(isCommandArg);
  let negative = -1;
  let behind = false;
  let valueless = { index: -2, flag: "" };
  let loose: Behind | undefined;
  for (const token of tokenize(args, known)) {
    behind ||= token.kind === "option-terminator";
    if (token.kind === "positional" && takesCommand && !behind) {
      throw usageError(`stray argument '${token.value}'`, token.value, "put the command behind --");
    }
    if (token.kind === "positional") {
      if (token.index === valueless.index + 1)
        loose = { flag: valueless.flag, word: token.value, at: words.length };
      words.push(token.value);
    }
    if (token.kind !== "option" || token.index === negative) continue;
    const word = args[token.index]!;
    if (/^-\d/.test(word)) {
      negative = token.index; // a negative number, and no flags: let it be judged as a value
      words.push(word);
      continue;
    }
    const flag = flagOf(token, word, known, help);
    if (flags.has(flag.name)) {
      const hint = flag.isList ? "separate several values by commas" : "give it once";
      throw usageError(`${token.rawName} is given twice`, token.rawName, hint);
    }
    flags.set(flag.name, normalized(token, flag, known, help));
    if (flag.value === "optional" && token.value === undefined)
      valueless = { index: token.index, flag: token.rawName };
  }
  checkOpposites(flags);
  const places = Object.entries(defs).filter(([, def]) => def.type === "positional");
  const stray = words[places.length];
  if (stray !== undefined && !takesCommand)
    throw usageError(`stray argument '${stray}'`, stray, loose ? joined(loose) : help);
  if (loose) checkBehind(loose, places[loose.at]);
  const missing = places.slice(words.length).find(([, def]) => def.required !== false);
  if (missing) throw missingError(missing, help);
  return [...flags.values(), "--", ...words];
}
