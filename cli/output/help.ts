// SPDX-License-Identifier: MIT
// --help: usage, arguments and examples from the same definitions that parse them. citty's own
// page has no examples, ignores the terminal's width and colours pipes.

import type { ArgsDef } from "citty";
import { aliasesOf, type Example, isCommandArg, optionalValue } from "../base/args.ts";
import { styled } from "./io.ts";
import { terminalWidth } from "./terminal.ts";
import { wrapped } from "./wrap.ts";

/** Longer lines of prose are hard to read, however wide the terminal. */
const MOST = 100;
const USUAL = 80;
/** On a narrower terminal what a flag does stands below it. */
const LEAST_BESIDE = 60;

export interface HelpPage {
  /** Words that lead here: "tcpx uto set". */
  command: string;
  summary: string;
  args: ArgsDef;
  /** Subcommands and what they do, in groups. */
  groups: { title: string; commands: [name: string, summary: string][] }[];
  examples: readonly Example[];
  /** Paragraphs at the end. */
  notes: string[];
}

/** Two columns; a long left cell gets a line of its own. */
function columns(rows: [string, string][], width: number): string[] {
  const longest = Math.max(...rows.map(([left]) => left.length)) + 4;
  const indent = width < LEAST_BESIDE ? 6 : Math.min(26, longest);
  return rows.flatMap(([left, right]) => {
    const lines = wrapped(right, width - indent);
    const fits = left.length + 4 <= indent;
    const first = fits ? `  ${left.padEnd(indent - 2)}${lines.shift() ?? ""}` : `  ${left}`;
    return [first, ...lines.map((line) => " ".repeat(indent) + line)];
  });
}

function flagRows(args: ArgsDef): [string, string][] {
  return Object.entries(args).flatMap(([name, def]): [string, string][] => {
    if (def.type === "positional") return [];
    const short = aliasesOf(def).map((alias) => `-${alias}, `);
    const hint = def.valueHint ?? "VALUE";
    const value = def.type !== "string" ? "" : optionalValue(def) === undefined ? ` ${hint}` : hint;
    if (def.type === "boolean" && def.negativeDescription) return [[`--no-${name}`, def.negativeDescription]];
    return [[`${short.join("")}--${name}${value}`, def.description ?? ""]];
  });
}

function positionals(args: ArgsDef): [name: string, text: string, optional: boolean][] {
  return Object.entries(args)
    .filter(([, def]) => def.type === "positional")
    .map(([name, def]) => [
      def.valueHint ?? name.toUpperCase(),
      def.description ?? "",
      def.required === false,
    ]);
}

function usage(page: HelpPage): string {
  if (page.groups.length > 0) return `${page.command} COMMAND [FLAGS]`;
  const words = positionals(page.args).map(([name, , optional]) => (optional ? `[${name}]` : name));
  const takesCommand = Object.values(page.args).some(isCommandArg);
  return [page.command, ...(takesCommand ? ["[FLAGS]", ...words] : [...words, "[FLAGS]"])].join(" ");
}

/** The help page as text: 80 columns wide, on a terminal as it has them. */
export function renderHelp(page: HelpPage): string {
  const width = Math.min(terminalWidth() ?? USUAL, MOST);
  const heading = (text: string) => styled("bold", text);
  const list = (title: string, rows: [string, string][]) => [heading(`${title}:`), ...columns(rows, width)];
  const sections: string[][] = [wrapped(page.summary, width), [`${heading("Usage:")} ${usage(page)}`]];
  const words = positionals(page.args);
  if (words.length > 0)
    sections.push(
      list(
        "Arguments",
        words.map(([n, t]) => [n, t]),
      ),
    );
  for (const { title, commands } of page.groups) sections.push(list(title, commands));
  const flags = flagRows(page.args);
  if (flags.length > 0) sections.push(list("Flags", flags));
  if (page.examples.length > 0) {
    const lines = page.examples.flatMap(([command, what]) => [
      `  ${command}`,
      ...wrapped(what, width - 6).map((l) => `      ${l}`),
    ]);
    sections.push([heading("Examples:"), ...lines]);
  }
  for (const note of page.notes) sections.push(wrapped(note, width));
  return sections.map((lines) => lines.join("\n")).join("\n\n");
}
