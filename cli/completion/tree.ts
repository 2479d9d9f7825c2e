// SPDX-License-Identifier: MIT
// The table of commands as completions and the manual page need it. All of it comes from the
// definitions that parse and that print the help: there is no second list of commands or flags.

import {
  aliasesOf,
  type Example,
  globalArgs,
  optionalValue,
  rootArgs,
  selectorArgs,
  type ValueDef,
  type ValuesDef,
} from "../base/args.ts";
import { PROGRAM } from "./program.ts";
import { hintedValue, isProgram, ruleValue, type Value } from "./values.ts";

/** What is needed of a command that does something, and of one with verbs. */
interface Leaf {
  kind: "leaf";
  summary: string;
  args: ValuesDef;
  examples: readonly Example[];
  notes?: string[];
}
interface Group {
  kind: "group";
  summary: string;
  examples: readonly Example[];
  commands: Record<string, Leaf>;
}

/** All commands that are for people, extensions first, as the help has them. */
export type Table = Record<
  string,
  { summary: string /** Another name of this one. */; alias?: string; load(): Promise<Leaf | Group> }
>;

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

function flagOf(name: string, def: ValueDef): Flag {
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

function flagsOf(args: ValuesDef): Flag[] {
  return Object.entries(args).flatMap(([name, def]) =>
    def.type === "positional" ? [] : [flagOf(name, def)],
  );
}

function placesOf(args: ValuesDef): Place[] {
  return Object.entries(args).flatMap(([name, def]) => {
    if (def.type !== "positional") return [];
    const { description = "", required } = def;
    return [{ value: hintedValue(name, def), description, optional: required === false }];
  });
}

const BARE = { flags: [], places: [], runs: false, examples: [], notes: [] };

/** Is it a command that does something? */
export const isLeaf = ({ next }: Node): boolean => next.length === 0;

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
export function commandNode(name: string, title: string, command: Leaf | Group): Node {
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

/** "tcpx" itself. */
function rootNode(next: Node[]): Node {
  const { summary, examples, notes } = PROGRAM;
  return { ...BARE, path: [], title: summary, summary, next, flags: flagsOf(rootArgs), examples, notes };
}

const loaded = async (name: string, { summary, load }: Table[string]): Promise<Node> =>
  commandNode(name, summary, await load());

/** All of the table. */
export async function commandTree(table: Table): Promise<Node> {
  const next = Object.entries(table).map(async ([name, entry]): Promise<Node> => {
    const node = await loaded(name, entry);
    return entry.alias === undefined ? node : { ...node, alias: entry.alias };
  });
  return rootNode(await Promise.all(next));
}

const named = ([name, { summary }]: [string, Table[string]]): Node => ({
  ...BARE,
  path: [name],
  title: summary,
  summary,
  next: [],
});

/** The node that words lead to, with the names of what is below it; nothing but its command is loaded. */
export async function nodeAt(table: Table, path: readonly string[]): Promise<Node | undefined> {
  const [name, ...rest] = path;
  if (name === undefined) return rootNode(Object.entries(table).map(named));
  if (!Object.hasOwn(table, name)) return undefined;
  let node: Node | undefined = await loaded(name, table[name]!);
  if (name === "help") {
    // the words of commands may follow, without anything behind them
    const shown = await nodeAt(table, rest);
    const next = rest[0] === "help" ? [] : shown?.next;
    return next && { ...node, path: [...path], flags: rest.length > 0 ? [] : node.flags, next, places: [] };
  }
  for (const word of rest) node = node?.next.find(({ path }) => path.at(-1) === word);
  return node;
}

/** The node and all commands below it, in the order of the help. */
export function nodesOf(node: Node): Node[] {
  return [node, ...node.next.flatMap(nodesOf)];
}
