// SPDX-License-Identifier: MIT
// The table of commands as completions and the manual page need it. All of it comes from the
// definitions that parse and that print the help: there is no second list of commands or flags.

import type { ArgDef, ArgsDef } from "citty";
import { aliasesOf, globalArgs, optionalValue, rootArgs, selectorArgs } from "../base/args.ts";
import { commands, extensionCommands, findCommand } from "../commands/index.ts";
import type { Command, Leaf } from "../commands/types.ts";
import { PROGRAM } from "./program.ts";
import { hintedValue, isProgram, ruleValue, type Value } from "./values.ts";

export interface Flag {
  /** As it is offered: "--to", "--no-advertise". */
  name: string;
  /** One-letter forms: "-q". */
  short: string[];
  /** Accepted, but not offered: "--advertise". */
  silent: string[];
  /** As the help says it. */
  description: string;
  /** Absent: it takes none. */
  value?: Value;
  /** The value may be left out, and is never a word of its own. */
  optional?: true;
}

/** A word that is no flag. */
export interface Place {
  value: Value;
  description: string;
  optional: boolean;
}

/** "tcpx", a group such as "tcpx uto", or a leaf such as "tcpx uto set". */
export interface Node {
  /** Words behind "tcpx". */
  path: string[];
  /** One line, for beside the command. */
  title: string;
  /** As its help begins. */
  summary: string;
  /** What may come next; none in a leaf. */
  next: Node[];
  flags: Flag[];
  places: Place[];
  /** The command that this is another name of. */
  alias?: string;
  /** Are the words behind "--" another program's? */
  runs: boolean;
  examples: readonly (readonly [command: string, what: string])[];
  notes: string[];
}

/** Every spelling of a flag that the parser takes. */
export function spellings(flag: Flag): string[] {
  return [flag.name, ...flag.short, ...flag.silent];
}

function flagOf(name: string, def: ArgDef): Flag {
  const short = aliasesOf(def).map((alias) => `-${alias}`);
  if (def.type === "boolean" && def.negativeDescription) {
    return { name: `--no-${name}`, short, silent: [`--${name}`], description: def.negativeDescription };
  }
  const flag = { name: `--${name}`, short, silent: [], description: def.description ?? "" };
  const optional = optionalValue(def);
  if (optional !== undefined) return { ...flag, value: hintedValue(optional, {}), optional: true };
  return def.type === "boolean" ? flag : { ...flag, value: hintedValue(name, def) };
}

/** What is unset is there: its selectors complete. */
function unsetFlag(flag: Flag): Flag {
  const name = flag.name.slice(2);
  return flag.value && Object.hasOwn(selectorArgs, name)
    ? { ...flag, value: ruleValue(name, flag.value.hint) }
    : flag;
}

function flagsOf(args: ArgsDef): Flag[] {
  return Object.entries(args).flatMap(([name, def]) =>
    def.type === "positional" ? [] : [flagOf(name, def)],
  );
}

function placesOf(args: ArgsDef): Place[] {
  return Object.entries(args).flatMap(([name, def]) => {
    if (def.type !== "positional") return [];
    const { description = "", required } = def;
    return [{ value: hintedValue(name, def), description, optional: required === false }];
  });
}

const BARE = { flags: [], places: [], runs: false, examples: [], notes: [] };

/** What may stand behind `help`: the same words, without anything behind them. */
function helpWords({ path, title, summary, next }: Node): Node {
  return { ...BARE, path: ["help", ...path], title, summary, next: next.map(helpWords) };
}

/** Is it a command that does something? `help` is one, although words may follow. */
export const isLeaf = ({ next, places }: Node): boolean => next.length === 0 || places.length > 0;

function leafNode(path: string[], leaf: Leaf, title = leaf.summary.split(". ")[0]!): Node {
  const { summary, args, examples, notes = [] } = leaf;
  const places = placesOf(args);
  const runs = places.some(({ value }) => isProgram(value)) || examples.some(([line]) => / -- /.test(line));
  return {
    path,
    title: title.replace(/\.$/, ""),
    summary,
    next: [],
    flags: path.at(-1) === "unset" ? flagsOf(args).map(unsetFlag) : flagsOf(args),
    places,
    runs,
    examples,
    notes,
  };
}

/** @param title for beside the command, in the list of all */
export function commandNode(name: string, title: string, command: Command): Node {
  if (command.kind === "leaf") return leafNode([name], command, title);
  const next = Object.entries(command.commands).map(([verb, leaf]) => leafNode([name, verb], leaf));
  const { summary, examples } = command;
  return {
    path: [name],
    title,
    summary,
    next,
    flags: flagsOf(globalArgs),
    places: [],
    runs: false,
    examples,
    notes: [],
  };
}

/** All commands that are for people, extensions first, as the help has them. */
export async function commandTree(): Promise<Node> {
  const entries = Object.entries({ ...(await extensionCommands()), ...commands });
  const next = await Promise.all(
    entries.map(async ([name, { summary, alias }]): Promise<Node> => {
      const node = commandNode(name, summary, (await findCommand(name))!);
      return alias === undefined ? node : { ...node, alias };
    }),
  );
  const help = next.find(({ path }) => path[0] === "help")!;
  help.next = next.map(helpWords);
  const { summary, examples, notes } = PROGRAM;
  return {
    path: [],
    title: summary,
    summary,
    next,
    flags: flagsOf(rootArgs),
    places: [],
    runs: false,
    examples,
    notes,
  };
}

/** The node and all commands below it, in the order of the help. */
export function nodesOf(node: Node): Node[] {
  return [node, ...(isLeaf(node) ? [] : node.next.flatMap(nodesOf))];
}

const allBelow = (node: Node): Node[] => [node, ...node.next.flatMap(allBelow)];

/** What scripts need a line for: those with something behind them. */
export const askedNodes = (root: Node): Node[] =>
  allBelow(root).filter(({ next, flags, places }) => next.length + flags.length + places.length > 0);
