// SPDX-License-Identifier: MIT
// TOML to a table. The parser stops at the first mistake; where that is one line's, the line is read as it was
// meant, so that the others are found, too.

import { parse, TomlError, type TomlTable } from "smol-toml";
import { Exit, TcpxError } from "../base/errors.ts";
import { MOST_PROBLEMS, type Problems, problem, type Source } from "./problem.ts";
import { DEEPEST, dottedLine, tooDeep } from "./toml.ts";

const accepted = ({ printer = "tcpx export" }: Source) =>
  `accepted is TOML 1.0 (https://toml.io), as \`${printer}\` prints it`;
/** What is longer is read once only. */
const MOST_MENDED = 1 << 20;
const LONGEST_SHOWN = 60;
/** What is longer nobody has written: the patterns below would take minutes for a line of blanks. */
const LONGEST_LINE = 4096;

/** KEY = VALUE: what is in front of the value, and the value without a comment. */
const PAIR = /^(\s*(?:[\w.-]|"[^"]*"|'[^']*')+\s*=[ \t]*)([^\r\n]*?)\s*(?:\s#.*)?\r?$/;
/** An element on a line of its own. */
const ELEMENT = /^(\s*)([^\s,"'[\]{}=#]+)\s*(,?)\s*(?:#.*)?\r?$/;

const quoted = (text: string) => JSON.stringify(text.replace(/^[“”„‘’]|[“”‘’]$/g, ""));

/** The word around a column, from 0 on. */
function wordAt(line: string, column: number): string {
  const [before] = /[^\s,[\]{}"'=#]*$/.exec(line.slice(0, column)) ?? [""];
  const [after] = /^[^\s,[\]{}"'=#]*/.exec(line.slice(column)) ?? [""];
  return before + after;
}

/** "set 30s" and "set: 30s" as TOML has them. */
function otherPair(line: string): string | undefined {
  const [, key, rest] = /^\s*([A-Za-z][\w-]*)\s*[: ]\s*([^\s=].*?)\s*$/.exec(line) ?? [];
  return key && rest ? `${key} = ${quoted(rest.replace(/^"(.*)"$/, "$1"))}` : undefined;
}

/** What the text may have been meant to be. */
function hintFor(line: string, column: number, otherwise: string): string {
  if (line.length > LONGEST_LINE) return otherwise;
  const [, head, value] = PAIR.exec(line) ?? [];
  if (value === undefined) {
    const pair = otherPair(line);
    if (pair) return `a line is KEY = VALUE, such as ${pair}`;
    const [, , element] = ELEMENT.exec(line) ?? [];
    return element === undefined ? otherwise : `write ${quoted(element)}, with quotes`;
  }
  const isList = /^[[{]/.test(value);
  if (!isList && /^["']/.test(value))
    return /^(["']).*\1$/.test(value) ? otherwise : "the closing quote is missing";
  const word = isList ? wordAt(line, column) : value;
  if (word === "") return isList ? otherwise : `a value is missing behind ${head!.trim()}`;
  if (/^(?:yes|no|on|off|true|false)$/i.test(word)) return "accepted is true or false, in small letters";
  if (/^[+-]?0\d+$/.test(word)) return `write ${Number(word)}, without zeros in front, or ${quoted(word)}`;
  const hint = word.length > LONGEST_SHOWN ? "a text" : quoted(word);
  return `write ${hint}, with quotes`;
}

/** The line as it may have been meant; undefined: nobody knows. */
function mended(line: string, why: string): string | undefined {
  if (line.length > LONGEST_LINE || /^\s*\[/.test(line)) return undefined;
  if (why.includes("redefine")) return "";
  const [, head, value = ""] = PAIR.exec(line) ?? [];
  if (head !== undefined) return `${head}${JSON.stringify(value.replace(/^["']/, ""))}`;
  const [, indent, element, comma] = ELEMENT.exec(line) ?? [];
  if (element !== undefined) return `${indent}${quoted(element)}${comma}`;
  return line.includes("=") ? undefined : (otherPair(line) ?? "");
}

/** Where a list or table begins whose end the parser has looked for up to this line; both from 0 on. */
function openedAt(lines: string[], at: number): number | undefined {
  if (!/^\s*(?:\[\[?[A-Za-z]|[\w.-]+\s*=)/.test(lines[at] ?? "[[a")) return undefined;
  for (let i = at - 1; i >= 0; i--) {
    const line = lines[i]!;
    if (/^\s*[\w."'-]+\s*=\s*[[{]/.test(line)) return i;
    if (/^\s*(?:\[|[\w.-]+\s*=)/.test(line)) return undefined;
  }
  return undefined;
}

interface Mistake {
  message: string;
  line: number;
  column: number;
}

/** The error of the parser, and the number of its line, from 0 on. */
function syntaxError(source: Source, lines: string[], { message, line, column }: Mistake) {
  const { name } = source;
  const why = message.split("\n")[0]!.replace(/^Invalid TOML document: /, "");
  const opened = why.startsWith("expected comma") ? openedAt(lines, line - 1) : undefined;
  const at =
    opened === undefined ? { line, column } : { line: opened + 1, column: lines[opened]!.search(/[[{]/) + 1 };
  const what = opened === undefined ? why : "what begins here has no end";
  const redefined = why.includes("redefine");
  const hint =
    opened === undefined
      ? redefined
        ? "it is there twice: leave one out"
        : hintFor(lines[line - 1] ?? "", column - 1, accepted(source))
      : "close it with ] or }";
  const text = `${name}:${at.line}: column ${at.column} is not TOML: ${what}`;
  const place = { file: name, line: at.line, column: at.column, key: "" };
  return { error: new TcpxError(Exit.USAGE, text, { place, hint }), why, at: line - 1, opened };
}

/**
 * Reads TOML, as far as it can be; what is wrong goes to `problems`.
 * @returns the text that was read, whose lines are those of the source; undefined when it is no TOML at all
 */
export function parseToml(
  source: Source,
  problems: Problems,
): { document: TomlTable; text: string } | undefined {
  const { name } = source;
  let { text } = source;
  const dotted = dottedLine(text);
  if (dotted !== undefined) {
    const details = {
      place: { file: name, line: dotted, column: 1, key: "" },
      hint: "none of these files is that deep",
    };
    problems.add(new TcpxError(Exit.USAGE, `${name}:${dotted}: a key of more than 1,000 parts`, details));
    return undefined;
  }
  for (let round = 0; ; round++) {
    try {
      const document = parse(text);
      const deep = tooDeep(document);
      if (!deep) return { document, text };
      const what = `a key or value of more than ${DEEPEST} parts`;
      problems.add(problem({ ...source, text }, deep, what, "none of these files is that deep"));
      return undefined;
    } catch (error) {
      if (!(error instanceof TomlError)) throw error;
      const lines = text.split("\n");
      const { error: found, why, at, opened } = syntaxError(source, lines, error);
      problems.add(found);
      const known = problems.mended.has(at + 1);
      const line =
        known || opened !== undefined || text.length > MOST_MENDED ? undefined : mended(lines[at] ?? "", why);
      if (line === undefined || round >= MOST_PROBLEMS) return undefined;
      problems.mended.add(at + 1);
      lines[at] = line;
      text = lines.join("\n");
    }
  }
}
