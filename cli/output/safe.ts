// SPDX-License-Identifier: MIT
// Others choose names: of cgroups, processes, files, keys. Whatever a terminal would obey, hide or turn
// around is shown as an escape that bash's $'...' and printf read back: \x1b, \u202e, \U000e0041. Pure.

/**
 * Controls, format characters (bidi, zero width, tags), halves of surrogate pairs, separators of lines, what
 * Unicode lets fonts ignore, and noncharacters. Letters, marks, spaces, private and unassigned characters stay.
 */
const HIDDEN =
  "[\\p{Cc}\\p{Cf}\\p{Cs}\\p{Zl}\\p{Zp}\\p{Default_Ignorable_Code_Point}\\p{Noncharacter_Code_Point}]";
/** The joiners and selectors that emoji are made of, between their parts and nowhere else. */
const WITHIN_EMOJI = [
  "(?<=\\p{Extended_Pictographic})\\ufe0f",
  "(?<=[0-9#*])\\ufe0f(?=\\u20e3)",
  "(?<=\\p{Extended_Pictographic}[\\ufe0f\\p{Emoji_Modifier}]?)\\u200d(?=\\p{Extended_Pictographic})",
].join("|");
const UNSAFE = `(?!${WITHIN_EMOJI})${HIDDEN}`;

/** What nearly every text consists of: one look tells that there is nothing to do. */
const PLAIN = /^[\n\x20-\x7e]*$/;

const STYLES = { bold: "1", red: "31", green: "32", yellow: "33", grey: "90" } as const;
export type Style = keyof typeof STYLES;

/** Nobody can know it beforehand, so no name can look like a colour of ours. */
const OURS = crypto.getRandomValues(new BigUint64Array(2)).join("");
const MARK = `\\x1b\\[(\\d+);${OURS}m`;

/** Text that painted() will make coloured. Widths are those of the text. */
export function marked(style: Style, text: string): string {
  return text === "" ? "" : `\x1b[${STYLES[style]};${OURS}m${text}\x1b[0;${OURS}m`;
}

const hex = (n: number, digits: number) => n.toString(16).padStart(digits, "0");

function escapedText(character: string): string {
  const code = character.codePointAt(0)!;
  if (code < 0x80) return `\\x${hex(code, 2)}`;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

const escapedJson = (character: string) =>
  character
    .split("")
    .map((unit) => `\\u${hex(unit.charCodeAt(0), 4)}`)
    .join("");

function escapedToml(character: string): string {
  const code = character.codePointAt(0)!;
  return code < 0x10000 ? `\\u${hex(code, 4)}` : `\\U${hex(code, 8)}`;
}

const LINE = new RegExp(`${MARK}|${UNSAFE}`, "gu");
const LINES = new RegExp(`${MARK}|(?!\\n)${UNSAFE}`, "gu");
const DATA = new RegExp(`(?!\\n)${UNSAFE}`, "gu");

/** For one line, or a cell of a table: line breaks are escaped, too. Twice is the same as once. */
export function visible(text: string): string {
  if (PLAIN.test(text) && !text.includes("\n")) return text;
  return text.replace(LINE, (found, style) => (style === undefined ? escapedText(found) : found));
}

/** For a stream: lines stay lines, and marks become colours. */
export function painted(text: string): string {
  if (PLAIN.test(text)) return text;
  return text.replace(LINES, (found, style) => (style === undefined ? escapedText(found) : `\x1b[${style}m`));
}

/** In a JSON text, which stays the same document. */
export const inJson = (text: string): string => (PLAIN.test(text) ? text : text.replace(DATA, escapedJson));

/** Within a basic string of TOML, which stays the same string. */
export const inToml = (text: string): string => (PLAIN.test(text) ? text : text.replace(DATA, escapedToml));

/** At most so many characters: the middle goes, since the beginning says what it is and the end what to do. */
export function shortened(text: string, most: number): string {
  const GAP = " ... ";
  if (text.length <= most) return text;
  const head = Math.ceil((most - GAP.length) / 2);
  return text.slice(0, head) + GAP + text.slice(text.length - (most - GAP.length - head));
}
