// SPDX-License-Identifier: MIT
// The manual page tcpx(1), in the man macros that groff and mandoc both know.

import { globalArgs } from "../base/args.ts";
import { wrapped } from "../output/wrap.ts";
import { EXIT_CODES, PROGRAM } from "./program.ts";
import { type Flag, isLeaf, type Node, nodesOf, type Place } from "./tree.ts";

const WIDTH = 78;

const ESCAPES: Record<string, string> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  '"': "\\(dq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** Text such that roff takes no character of it as its own, and cuts and pastes as it was. */
function roff(text: string): string {
  return text.replace(/[\\'"`^~-]/g, (c) => ESCAPES[c]!).replace(/^\./, "\\&.");
}

const bold = (text: string) => `\\fB${roff(text)}\\fR`;
const italic = (text: string) => `\\fI${roff(text)}\\fR`;

/** Prose, one sentence per line and none too long: what the help has in backquotes is bold here. */
function prose(text: string): string {
  const parts = text.split("`").map((part, i) => (i % 2 === 1 ? bold(part) : roff(part)));
  const sentences = parts.join("").split(/(?<=\.) (?=[A-Z])/);
  return sentences
    .flatMap((sentence) => wrapped(sentence, WIDTH))
    .map((line) => line.replace(/^\./, "\\&."))
    .join("\n");
}

function section(title: string, ...lines: string[]): string[] {
  return [`.SH ${title.includes(" ") ? `"${title}"` : title}`, ...lines];
}

/** A term and what it means. */
function item(term: string, text: string): string[] {
  return [".TP", term, prose(text)];
}

const item2 = (term: string, text: string) => item(bold(term), text);

function flagItem(flag: Flag): string[] {
  const names = [...flag.short, flag.name].map(bold).join(", ");
  const value = flag.value && italic(flag.value.hint);
  const after = value && (flag.optional ? `[=${value}]` : ` ${value}`);
  return item(`${names}${after ?? ""}`, flag.description);
}

function placeName({ value, optional }: Place): string {
  return optional ? `[${italic(value.hint)}]` : italic(value.hint);
}

/** Told once for all commands, unless a command says it in its own way. */
const isGlobal = ({ name, description }: Flag) =>
  Object.entries(globalArgs).some(([key, def]) => name === `--${key}` && description === def.description);

const commandOf = ({ path }: Node) => ["tcpx", ...path].join(" ");

function usage(node: Node): string {
  const program = node.runs && node.places.length === 0 ? [`\\-\\- ${italic("COMMAND")}`] : [];
  const places = node.places.map(placeName);
  const flags = `[${italic("FLAGS")}]`;
  return [bold(commandOf(node)), ...(node.runs ? [flags, ...places] : [...places, flags]), ...program].join(
    " ",
  );
}

function exampleLines(examples: Node["examples"]): string[] {
  return examples.flatMap(([line, what]) => [
    ".PP",
    prose(`${what}:`),
    ".PP",
    ".RS 4",
    ".EX",
    roff(line),
    ".EE",
    ".RE",
  ]);
}

function leafLines(node: Node): string[] {
  return [
    `.SS "${roff(commandOf(node))}"`,
    usage(node),
    ".PP",
    prose(node.summary),
    ...node.places.flatMap((place) => item(italic(place.value.hint), place.description)),
    ...node.flags.filter((flag) => !isGlobal(flag)).flatMap(flagItem),
    ...node.notes.flatMap((note) => [".PP", prose(note)]),
    ...exampleLines(node.examples),
  ];
}

function nodeLines(node: Node): string[] {
  if (node.alias) return [`.SS "${roff(commandOf(node))}"`, usage(node), ".PP", prose(`${node.title}.`)];
  if (isLeaf(node)) return leafLines(node);
  const group = [`.SS "${roff(commandOf(node))}"`, prose(node.summary), ...exampleLines(node.examples)];
  return [...group, ...node.next.flatMap(nodeLines)];
}

/**
 * The page as roff.
 * @param version for its foot; there is no date, so that the same sources give the same page
 */
export function manPage(root: Node, version: string): string {
  const leaves = nodesOf(root).filter(isLeaf);
  const global = root.flags.filter(isGlobal);
  const what = PROGRAM.summary.replace(/^tcpx (.*)\.$/, "$1");
  const lines = [
    '.\\" SPDX-License-Identifier: MIT',
    '.\\" Written by tcpx from its table of commands.',
    `.TH TCPX 1 "" "tcpx ${version}" "User Commands"`,
    ...section("NAME", `tcpx \\- ${roff(what)}`),
    ...section("SYNOPSIS", ".nf", ...leaves.map(usage), ".fi"),
    ...section(
      "DESCRIPTION",
      ...PROGRAM.description.flatMap((text, i) => [...(i > 0 ? [".PP"] : []), prose(text)]),
    ),
    ...section(
      "COMMANDS",
      "Flags may stand in any order; those of all commands are listed below.",
      ...root.next.flatMap(nodeLines),
    ),
    ...section("GLOBAL FLAGS", "Before and behind every command:", ...global.flatMap(flagItem)),
    ...section(
      "EXIT STATUS",
      ...EXIT_CODES.flatMap((text, code) => item2(`${code}`, text)),
      ...item2("125 to 127", "of `tcpx run`, which else ends with the command's code"),
    ),
    ...section("FILES", ...PROGRAM.files.flatMap(([name, text]) => item2(name, text))),
    ...section("ENVIRONMENT", ...PROGRAM.environment.flatMap(([name, text]) => item2(name, text))),
    ...section("EXAMPLES", ...exampleLines(root.examples).slice(1)),
    ...section("SEE ALSO", ...seeAlso(PROGRAM.seeAlso)),
  ];
  return `${lines.join("\n")}\n`;
}

function seeAlso(pages: readonly string[]): string[] {
  return pages.map((page, i) => {
    const [, name = "", number = ""] = /^(.*)\((.*)\)$/.exec(page)!;
    return `.BR ${roff(name)} (${number})${i < pages.length - 1 ? "," : ""}`;
  });
}
