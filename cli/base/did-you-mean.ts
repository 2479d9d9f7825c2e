// SPDX-License-Identifier: MIT
// Which of the accepted words somebody may have meant. Pure.

import { closestMatch } from "leven";

/** What is longer is no slip of the pen, and comparing costs by its length. */
const LONGEST = 40;

/** Slips that are forgiven: in less than half of the letters. */
const slips = (word: string): number => Math.min(3, Math.ceil(word.length / 2) - 1);

/** Two neighbours that have changed places are one slip, which an edit distance counts as two. */
function swapped(word: string, words: readonly string[]): string | undefined {
  for (let i = 0; i + 1 < word.length; i++) {
    const [a, b] = [word[i]!, word[i + 1]!];
    const turned = word.slice(0, i) + b + a + word.slice(i + 2);
    if (words.includes(turned)) return turned;
  }
  return undefined;
}

/** The nearest of the words; undefined when none is near, or several begin so and none is nearer. */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const lower = word.toLowerCase();
  if (word.length < 2 || word.length > LONGEST) return undefined;
  const same = words.find((one) => one.toLowerCase() === lower);
  if (same !== undefined) return same;
  const begun = words.filter((one) => one.startsWith(lower));
  if (begun.length === 1) return begun[0];
  // of several that are as near the first is taken: first letters are seldom wrong
  const [first, others] = [true, false].map((is) => words.filter((one) => (one[0] === lower[0]) === is));
  return swapped(lower, words) ?? closestMatch(lower, [...first!, ...others!], { maxDistance: slips(lower) });
}

/** A hint that begins with the nearest of the words, where one is near. */
export function meant(word: string, words: readonly string[], hint: string): string {
  const near = nearest(word, words);
  return near === undefined ? hint : `did you mean ${near}? ${hint}`;
}

const dashed = (name: string) => (name.length === 1 ? `-${name}` : `--${name}`);

/** As meant(), for a flag as it was typed: "--prot", "-json", "-qv", "-J". @param names without dashes */
export function meantFlag(typed: string, names: readonly string[], hint: string): string {
  const name = typed.replace(/^--?/, "").replace(/=.*$/s, "");
  const said = (flags: string) => `did you mean ${flags}? ${hint}`;
  if (names.includes(name)) return said(dashed(name));
  const letters = [...name.slice(0, LONGEST)];
  if (/^-[^-]/.test(typed) && name.length < 8 && letters.every((letter) => names.includes(letter))) {
    return said(letters.map(dashed).join(" "));
  }
  if (name.length === 1) {
    const other = names.find((known) => known.length === 1 && known.toLowerCase() === name.toLowerCase());
    const begun = names.filter((known) => known.length > 1 && known.startsWith(name));
    const near = other ?? (begun.length === 1 ? begun[0] : undefined);
    return near === undefined ? hint : said(dashed(near));
  }
  const near = nearest(
    name,
    names.filter((known) => known.length > 1),
  );
  return near === undefined ? hint : said(dashed(near));
}
