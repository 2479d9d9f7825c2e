// SPDX-License-Identifier: MIT
// What may stand at the cursor of a command line, by the table of commands. Of the commands only the one on the
// line is loaded.

import { type Asked, cgroupsFor, processIds, rulesFor, unitNames } from "./asked.ts";
import { type Flag, type Node, nodeAt, spellings, type Table } from "./tree.ts";
import { isProgram, type Value } from "./values.ts";

export interface Word {
  word: string;
  /** What it is, in one line. */
  text: string;
  /** Is more of the word to come? */
  goesOn?: boolean;
}

export interface Offer {
  /** What of the word at the cursor stands before all of these: "--cgroup=", "bbr,". */
  head: string;
  words: Word[];
  /** Also files, which shells complete themselves. */
  files?: "file" | "directory";
  /** Instead: another program's command line begins at this word. */
  program?: number;
}

const NOTHING: Offer = { head: "", words: [] };

/** A command line up to the word at the cursor, as far as it can be understood. */
interface Line {
  node: Node;
  seen: Set<string>;
  /** Values of flags by name, as parsed arguments have them. */
  args: Record<string, string | true>;
  places: string[];
  /** The flag whose value is the next word. */
  open: Flag | undefined;
  /** Behind "--"? */
  stop: boolean;
  program?: number;
}

function findFlag({ flags }: Node, name: string): Flag | undefined {
  return flags.find((flag) => spellings(flag).includes(name));
}

function readFlag(line: Line, word: string): void {
  const [name = "", ...rest] = word.split("=");
  const flag = findFlag(line.node, name);
  line.seen.add(name);
  if (flag?.value && !flag.optional && rest.length === 0) line.open = flag;
  else if (flag) line.args[flag.name.slice(2)] = flag.value ? rest.join("=") : true;
}

/** @returns undefined where there is no such command */
async function readLine(words: string[], table: Table): Promise<Line | undefined> {
  const start = await nodeAt(table, []);
  if (!start) return undefined;
  const line: Line = { node: start, seen: new Set(), args: {}, places: [], open: undefined, stop: false };
  for (const [i, word] of words.entries()) {
    if (line.open) {
      line.args[line.open.name.slice(2)] = word;
      line.open = undefined;
    } else if (word === "--" && !line.stop) {
      line.stop = true;
      if (line.node.runs) return { ...line, program: i + 1 };
    } else if (/^-./.test(word) && !line.stop) {
      readFlag(line, word);
    } else if (line.node.next.length > 0) {
      const node = await nodeAt(table, [...line.node.path, word]);
      if (!node) return undefined;
      line.node = node;
    } else if (programHere(line)) {
      return { ...line, program: i };
    } else line.places.push(word);
  }
  return line;
}

function programHere({ node, places }: Line): boolean {
  const place = node.places[places.length];
  return place !== undefined && isProgram(place.value);
}

function listOffer({ words }: Value, typed: string, text: string): Offer {
  const comma = typed.lastIndexOf(",") + 1;
  const given = typed.slice(0, comma).split(",");
  const left = words.filter((word) => !given.includes(word) && (comma === 0 || word !== "none"));
  return { head: typed.slice(0, comma), words: left.map((word) => ({ word, text })) };
}

/** What the host has of it. */
async function found(value: Value, typed: string, line: Line, asked: Asked): Promise<string[]> {
  switch (value.source) {
    case "cgroup":
      return cgroupsFor(typed);
    case "rule":
      return rulesFor(value.words[0]!, typed, { ...line, ext: line.node.path[0]! }, asked);
    case "unit":
      return unitNames();
    case "pid":
      return processIds();
    default:
      return [];
  }
}

async function valueOffer(value: Value, typed: string, text: string, line: Line, asked: Asked) {
  if (value.list) return listOffer(value, typed, text);
  const { source } = value;
  const own = source === "rule" ? [] : value.words;
  const goesOn = source === "cgroup";
  const words = [...own, ...(await found(value, typed, line, asked))].map((word) => ({ word, text, goesOn }));
  const files = source === "file" || source === "directory" ? { files: source } : {};
  return { head: "", words, ...files };
}

function flagOffer({ node, seen }: Line): Offer {
  const left = node.flags.filter((flag) => !spellings(flag).some((name) => seen.has(name)));
  const words = left.flatMap(({ name, short, description: text }) =>
    [name, ...short].map((word) => ({ word, text })),
  );
  if (node.runs) words.push({ word: "--", text: "The command is behind it" });
  return { head: "", words };
}

/** For the word at the cursor in the form --flag=VALUE. */
async function inlineOffer(line: Line, typed: string, asked: Asked): Promise<Offer> {
  const head = typed.slice(0, typed.indexOf("=") + 1);
  const flag = findFlag(line.node, head.slice(0, -1));
  if (!flag?.value || flag.optional || line.seen.has(head.slice(0, -1))) return NOTHING;
  const offer = await valueOffer(flag.value, typed.slice(head.length), flag.description, line, asked);
  return { ...offer, head: head + offer.head };
}

/**
 * @param words behind "tcpx", without their quotes and without the one at the cursor
 * @param typed what of that one stands before the cursor
 */
export async function offered(words: string[], typed: string, asked: Asked): Promise<Offer> {
  const line = await readLine(words, asked.table);
  if (!line) return NOTHING;
  const { node, open, stop, places, program } = line;
  if (program !== undefined) return { ...NOTHING, program };
  if (open) return valueOffer(open.value!, typed, open.description, line, asked);
  if (!stop && /^--[^=]+=/.test(typed)) return inlineOffer(line, typed, asked);
  if (!stop && typed.startsWith("-")) return flagOffer(line);
  if (node.next.length > 0) {
    const next = node.next.map(({ path, title }) => ({ word: path.at(-1)!, text: title }));
    return stop ? NOTHING : { head: "", words: next };
  }
  if (programHere(line)) return { ...NOTHING, program: words.length };
  const place = node.places[places.length];
  if (place) return valueOffer(place.value, typed, place.description, line, asked);
  return stop || typed !== "" ? NOTHING : flagOffer(line);
}
