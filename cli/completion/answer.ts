// SPDX-License-Identifier: MIT
// What the shells' scripts (tcpx.bash, tcpx.zsh, tcpx.fish) ask, and how they are answered. A script may be older than
// the program: it leaves out the lines that it does not know, and a form that we do not know gets no answer.
//
//   bash LINE PIECE...    the line up to the cursor, and COMP_WORDS up to there
//   zsh|fish TYPED WORD...    without quotes: the word at the cursor up to there, and those before it
//
//   h TEXT    what of the word at the cursor stands before all that is offered; not for bash
//   w TEXT    a word; in zsh with its description behind a colon
//   p TEXT    the same, but more may follow without a blank
//   t TEXT    description of the word before; for fish
//   f, d      files, directories; for bash followed by what they begin with
//   c N       another program's command line begins at this place of COMP_WORDS, or of words

import { visible } from "../output/safe.ts";
import type { Asked } from "./asked.ts";
import { type Offer, offered, type Word } from "./offer.ts";

const WORD = /(?:\\[\s\S]?|'[^']*'?|"(?:[^"\\]|\\[\s\S])*"?|[^\s'"\\])+/g;
const PARTS = /\\([\s\S])|'([^']*)'?|"((?:[^"\\]|\\[\s\S])*)"?|\\$/g;

/** A word of bash without its quotes; nothing in it is carried out. */
export const unquoted = (typed: string): string =>
  typed.replace(
    PARTS,
    (_, escaped?: string, single?: string, double?: string) =>
      escaped ?? single ?? double?.replace(/\\([$`"\\])/g, "$1") ?? "",
  );

/** A word for bash, behind the quote that is open; undefined: it cannot stand there. */
function quoted(word: string, quote: string | undefined): string | undefined {
  if (quote === "'") return word.includes("'") ? undefined : word;
  if (quote === '"') return word.replace(/[\\"$`]/g, "\\$&");
  return word.replace(/[^\w@%+=:,./\u0080-\uffff-]/g, "\\$&");
}

/** Where each piece begins in the line that bash has split into them. */
function startsOf(line: string, pieces: string[]): number[] {
  let at = 0;
  return pieces.map((piece) => {
    while (at < line.length && /\s/.test(line[at]!)) at++;
    at += piece.length;
    return Math.min(at - piece.length, line.length);
  });
}

async function answerBash([line = "", ...pieces]: string[], asked: Asked): Promise<string[]> {
  const words = [...line.matchAll(WORD)].map(({ 0: text, index }) => ({ text, index }));
  const last = words.at(-1);
  const isOpen = last !== undefined && last.index + last.text.length === line.length;
  if (!isOpen) words.push({ text: "", index: line.length });
  const { text: raw } = words.at(-1)!;
  const typed = unquoted(raw);
  const before = words.slice(1, -1).map(({ text }) => unquoted(text));
  const offer = await offered(before, typed, asked);
  const starts = startsOf(line, pieces);
  if (offer.program !== undefined) {
    const { index } = words[offer.program + 1]!;
    return [`c ${starts.filter((start) => start < index).length}`];
  }
  // readline completes what stands behind the last = or : only, where bash has split there
  const piece = line.slice(starts.at(-1)).replace(/^[=:].*/, "");
  const done = raw.slice(0, raw.length - piece.length);
  const value = raw.startsWith(offer.head) ? raw.slice(offer.head.length) : raw;
  const lines = offer.words.flatMap(({ word, goesOn }) => {
    if (!(offer.head + word).startsWith(typed)) return [];
    const text = quoted(word, /^['"]/.exec(value)?.[0]);
    if (text === undefined) return [];
    const whole = offer.head + text;
    return [`${goesOn ? "p" : "w"} ${whole.startsWith(done) ? whole.slice(done.length) : whole}`];
  });
  return [...lines, ...(offer.files ? [`${offer.files[0]} ${value}`] : [])];
}

function wordLines(form: string, { word, text, goesOn }: Word): string[] {
  const kind = goesOn ? "p" : "w";
  if (form === "fish") return [`${kind} ${word}`, `t ${text}`];
  return [`${kind} ${word.replace(/[\\:]/g, "\\$&")}:${text}`];
}

function answerPlain(form: string, { head, words, files, program }: Offer): string[] {
  if (program !== undefined) return [`c ${program + (form === "zsh" ? 2 : 1)}`];
  return [
    ...(head === "" ? [] : [`h ${head}`]),
    ...words.flatMap((word) => wordLines(form, word)),
    ...(files ? [files[0]!] : []),
  ];
}

/** The lines for a script. Names that a terminal would obey or hide are left out: nobody could see what is completed. */
export async function answer([form = "", ...request]: string[], asked: Asked): Promise<string[]> {
  const clear = (lines: string[]) => lines.filter((line) => visible(line) === line);
  if (form === "bash") return clear(await answerBash(request, asked));
  if (form !== "zsh" && form !== "fish") return [];
  const [typed = "", ...words] = request;
  return clear(answerPlain(form, await offered(words, typed, asked)));
}
