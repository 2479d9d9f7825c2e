// SPDX-License-Identifier: MIT
// Seeds as text: tests/fuzz/seeds/TARGET.txt, in the words of tests/fuzz/grammar.h.
//
//   let NAME TOKEN...     a name for tokens that come often
//   seed NAME TOKEN...    one input
//
// Lines that begin with a blank go on with the line before. A token is a number (one byte), u16(N), u32(N),
// an IPv4 address, str16("TEXT") (its length, then itself), a word of the grammar or a name, and any of
// these with *N behind it: so many times.

import { mkdir, readFile, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";

const FOLDER = resolve(import.meta.dir, "../../tests/fuzz");

type Words = Map<string, number[]>;

/** Enumerators count from 0 or from where they are told. */
function grammarWords(text: string): Words {
  const words: Words = new Map();
  for (const [, body] of text.replace(/\/\*.*?\*\//gs, "").matchAll(/\benum \w+ \{(.*?)\}/gs)) {
    let next = 0;
    for (const [, name, value] of body!.matchAll(/\b([A-Z]\w*)\b(?: = (\d+))?/g)) {
      next = value === undefined ? next : Number(value);
      words.set(name!, [next++]);
    }
  }
  return words;
}

function number(text: string, bits: number): number[] {
  const value = Number(text);
  if (value >= 2 ** bits) throw new Error(`${text} does not fit into ${bits} bits`);
  return Array.from({ length: bits / 8 }, (_, i) => Math.floor(value / 2 ** (bits - 8 - 8 * i)) % 256);
}

function bytesOf(token: string, words: Words): number[] {
  const times = token.match(/^(.+)\*(\d+)$/);
  if (times) return Array.from({ length: Number(times[2]) }, () => bytesOf(times[1]!, words)).flat();
  if (/^\d+$/.test(token)) return number(token, 8);
  if (/^\d+(\.\d+){3}$/.test(token)) return token.split(".").flatMap((part) => number(part, 8));
  const wide = token.match(/^u(16|32)\((\d+)\)$/);
  if (wide) return number(wide[2]!, Number(wide[1]));
  const text = token.match(/^str16\((".*")\)$/);
  if (text) {
    const bytes = [...Buffer.from(JSON.parse(text[1]!) as string)];
    return [...number(`${bytes.length}`, 16), ...bytes];
  }
  const word = words.get(token);
  if (!word) throw new Error(`${token} is neither a number nor a word of grammar.h`);
  return word;
}

/** The seeds in a text, by name. */
export function parseSeeds(text: string, grammar: string): Map<string, Uint8Array> {
  const words = grammarWords(grammar);
  const seeds = new Map<string, Uint8Array>();
  const joined = text.replace(/#.*$/gm, "").replace(/\n[ \t]+/g, " ");
  for (const line of joined.split("\n").filter((line) => line.trim() !== "")) {
    const [what, name, ...tokens] = line.match(/str16\("(?:[^"\\]|\\.)*"\)|\S+/g)!;
    const bytes = tokens.flatMap((token) => bytesOf(token, words));
    if (!name || (what !== "let" && what !== "seed")) throw new Error(`neither let nor seed: ${line}`);
    if (words.has(name) || seeds.has(name)) throw new Error(`${name} is there twice`);
    if (what === "let") words.set(name, bytes);
    else seeds.set(name, Uint8Array.from(bytes));
  }
  return seeds;
}

/** Writes the seeds of a target, one file each. */
export async function writeSeeds(target: string, dir: string): Promise<number> {
  const read = (name: string) => readFile(join(FOLDER, name), "utf8");
  const seeds = parseSeeds(await read(`seeds/${target}.txt`), await read("grammar.h"));
  await mkdir(dir, { recursive: true });
  for (const [name, bytes] of seeds) await writeFile(join(dir, name), bytes);
  return seeds.size;
}
