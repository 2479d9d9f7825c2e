// SPDX-License-Identifier: MIT
// What the kernel's verifier says of a program that it refuses, in one line: its last words, and the line of the source
// that it stood at. Its log is long, and has text of whoever has written the program.

import { btfOf, linesOf, placeOf, type SourceLine } from "./btf.ts";
import { type ElfObject, type ElfSymbol, ObjectError, readElf, STT_FUNC } from "./elf.ts";

/** An object whose lines may be meant. */
export interface Suspect {
  name: string;
  bytes: Uint8Array;
  /** The slot that it was linked into; a program of its own has none. */
  slot?: number;
}

/** Where the verifier stood. */
interface Stood {
  /** The source as the kernel quotes it. */
  text?: string;
  /** "pace.bpf.c:12": kernels from 6.9 on say it. */
  place?: string;
  /** The global function that it had begun with. */
  function?: string;
}

export interface Refusal extends Stood {
  words: string;
  /** Whose function or source it was. */
  suspect?: Suspect;
}

const BEGIN = "-- BEGIN PROG LOAD LOG --\n";
const END = "-- END PROG LOAD LOG --";
/** Instructions, quoted lines, states of registers, and what else is no complaint. */
const NOISE = [
  /^(?:\d+: |;|\s|$)/,
  /^(?:from \d+ to \d+|to caller at \d+)/,
  /^(?:caller|callee|returning from callee|cur state|old state|frame\d+):/,
  /^R\d+(?:_\w+)?=/,
  /^(?:last_idx|first_idx|regs=|parent |propagating|mark_precise|verification time|stack depth|processed \d)/,
  /^(?:Validating |[Ff]unc#\d+)/,
];
const LIBBPF_NOISE =
  /accesses field incorrectly|Retrying without BTF|failed to load object|failed to load: |BPF program load failed/;
/** Of the whole program: it stood nowhere. */
const NOWHERE = /^(?:combined stack size|the call stack of)/;
const [WORDS_MOST, TEXT_MOST, LOG_MOST] = [200, 80, 4 << 20];

const cut = (text: string, most: number) => (text.length > most ? `${text.slice(0, most - 3)}...` : text);
const isNoise = (line: string) => NOISE.some((pattern) => pattern.test(line));
/** Others have written it: a line stays one. */
const plain = (text: string) => text.replaceAll(/[\p{C}\u2028\u2029]+/gu, " ").trim();

/** The verifier's part of the last program that was refused. */
function lastLog(log: string): string[] | undefined {
  const [begin, end] = [log.lastIndexOf(BEGIN), log.lastIndexOf(END)];
  if (begin < 0 && end < 0) return undefined;
  // of a long one the bridge keeps the end alone
  return log.slice(begin < 0 ? 0 : begin + BEGIN.length, end > begin ? end : undefined).split("\n");
}

/** Where it stood before a line of the log. */
function stoodAt(lines: readonly string[], end: number): Stood {
  const stood: Stood = {};
  for (let i = end - 1; i >= 0; i--) {
    const line = lines[i]!;
    const [, begun] = /^Validating ([\w.]+)\(\) func#/.exec(line) ?? [];
    if (begun !== undefined) return { ...stood, function: begun };
    if (stood.text !== undefined || !line.startsWith("; ")) continue;
    const [, text, file, number] = /^; (.*?)(?: @ ([^@]+):(\d+))?$/.exec(line) ?? [];
    if (text?.trim() === "" || number === "0") continue;
    stood.text = plain(text!);
    if (file) stood.place = placeOf({ file, line: Number(number) });
  }
  return stood;
}

/** What libbpf says of an object that the verifier has not seen. */
function libbpfWords(log: string): string | undefined {
  const lines = log.split("\n").filter((line) => line.startsWith("libbpf: ") && !LIBBPF_NOISE.test(line));
  return lines.at(-1)?.slice("libbpf: ".length);
}

interface Source {
  suspect: Suspect;
  elf: ElfObject;
  lines: ReadonlyMap<string, SourceLine[]>;
}

function sourceOf(suspect: Suspect): Source[] {
  try {
    const elf = readElf(suspect.bytes);
    return [{ suspect, elf, lines: linesOf(elf, btfOf(elf)) }];
  } catch (error) {
    if (error instanceof ObjectError) return [];
    throw error;
  }
}

/** The name of a function in the object that it is from: hooks have other names when they are linked. */
function ownName(name: string, { slot }: Suspect): string | undefined {
  const [, at, hook] = /^tcpx\d+_slot(\d)_(\w+)$/.exec(name) ?? [];
  if (hook === undefined) return name;
  return Number(at) === slot ? name.replace(/slot\d/, "slot0") : undefined;
}

function functionIn({ elf, suspect }: Source, name: string): ElfSymbol | undefined {
  const own = ownName(name, suspect);
  return elf.symbols.find(({ name: of, section, type }) => type === STT_FUNC && section > 0 && of === own);
}

/** The place of a line of text, where it is the only one: in a function if it is there, else anywhere. */
function placeOfText(source: Source, text: string, name: string | undefined): string | undefined {
  const all = [...source.lines.values()].flat().filter((line) => line.line > 0 && plain(line.text) === text);
  const within = name === undefined ? undefined : functionIn(source, name);
  const section = source.elf.sections[within?.section ?? -1]?.name;
  const near = (source.lines.get(section ?? "") ?? []).filter(
    (line) => within && line.at >= within.value && line.at < within.value + within.size && all.includes(line),
  );
  const places = new Set((near.length > 0 ? near : all).map(placeOf));
  return places.size === 1 ? [...places][0] : undefined;
}

/** Whose it is: of the function that was looked at, or of the file. */
function sourceOfRefusal(stood: Stood, sources: readonly Source[]): Source | undefined {
  const { function: name, place, text } = stood;
  const byFunction = name === undefined ? undefined : sources.find((source) => functionIn(source, name));
  if (byFunction || name !== undefined) return byFunction;
  const has = (match: (line: SourceLine) => boolean) =>
    sources.filter(({ lines }) => [...lines.values()].some((of) => of.some(match)));
  const found =
    place !== undefined
      ? has((line) => placeOf(line) === place)
      : text === undefined
        ? []
        : has((line) => plain(line.text) === text);
  return found.length === 1 ? found[0] : undefined;
}

/** @param suspects objects that may be meant: their lines tell what older kernels do not say */
export function refusalOf(log: string, suspects: readonly Suspect[] = []): Refusal | undefined {
  const whole = log.slice(-LOG_MOST);
  const lines = lastLog(whole);
  const last = lines?.findLastIndex((line) => !isNoise(line)) ?? -1;
  if (!lines || last < 0) {
    const words = libbpfWords(whole);
    return words === undefined ? undefined : { words: cut(plain(words), WORDS_MOST) };
  }
  const before = lines[last - 1];
  const both = before !== undefined && !isNoise(before) ? [before, lines[last]!] : [lines[last]!];
  const stood = NOWHERE.test(lines[last]!) ? {} : stoodAt(lines, last);
  const source = sourceOfRefusal(stood, suspects.flatMap(sourceOf));
  const place =
    stood.place ?? (source && stood.text ? placeOfText(source, stood.text, stood.function) : undefined);
  return {
    ...stood,
    words: cut(both.map(plain).join("; "), WORDS_MOST),
    ...(place !== undefined && { place }),
    ...(source && { suspect: source.suspect }),
  };
}

/** A refusal as a line: "pace.bpf.c:12: R0 invalid mem access 'map_value_or_null'". */
export function refusalText({ words, place, text }: Refusal): string {
  if (place !== undefined) return `${place}: ${words}`;
  return text ? `"${cut(text, TEXT_MOST)}": ${words}` : words;
}

/**
 * The log of a program that was refused (libbpf's text, with the verifier's in it) as a line; undefined: it says
 * nothing.
 * @param suspects objects that may be meant: their lines tell what older kernels do not say
 */
export function verifierSummary(log: string, suspects: readonly Suspect[] = []): string | undefined {
  const refusal = refusalOf(log, suspects);
  return refusal && refusalText(refusal);
}
