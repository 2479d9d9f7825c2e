// SPDX-License-Identifier: MIT
// Sections and symbols of a BPF object. What is out of bounds throws a RangeError, as DataView does.

const SECTION_SIZE = 64;
const SYMBOL_SIZE = 24;
const SYMBOLS_MOST = 65_536;
const SHT_SYMTAB = 2;
const SHT_NOBITS = 8;
const EXECUTABLE = 4n;

export interface Section {
  name: string;
  /** Has it instructions? */
  isCode: boolean;
  /** Where it stands in the object, and how long it is. */
  offset: number;
  size: number;
}

export interface Symbol {
  name: string;
  /** STT_OBJECT is 1, STT_FUNC 2. */
  type: number;
  isGlobal: boolean;
  section: Section | undefined;
  value: number;
}

export interface Elf {
  bytes: Uint8Array;
  sections: readonly Section[];
  symbols: readonly Symbol[];
}

const latin = (bytes: Uint8Array) => new TextDecoder("latin1").decode(bytes);

/** The text that begins there, in a table of texts. */
export function textAt(bytes: Uint8Array, table: { offset: number; size: number }, at: number): string {
  if (at >= table.size) throw new RangeError("a name is out of its table");
  const begin = table.offset + at;
  const end = bytes.indexOf(0, begin);
  if (end < 0 || end >= table.offset + table.size) throw new RangeError("a name does not end");
  return latin(bytes.subarray(begin, end));
}

interface Head {
  name: number;
  type: number;
  flags: bigint;
  offset: number;
  size: number;
  link: number;
}

function headAt(view: DataView, at: number): Head {
  const type = view.getUint32(at + 4, true);
  const [offset, size] = [Number(view.getBigUint64(at + 24, true)), Number(view.getBigUint64(at + 32, true))];
  if (type !== SHT_NOBITS && offset + size > view.byteLength) throw new RangeError("a section is cut off");
  return {
    name: view.getUint32(at, true),
    type,
    flags: view.getBigUint64(at + 8, true),
    offset,
    size,
    link: view.getUint32(at + 40, true),
  };
}

function symbolsOf(bytes: Uint8Array, view: DataView, heads: Head[], sections: Section[]): Symbol[] {
  const table = heads.find(({ type }) => type === SHT_SYMTAB);
  const names = table && sections[table.link];
  if (!names) return [];
  const count = Math.floor(table.size / SYMBOL_SIZE);
  if (count > SYMBOLS_MOST) throw new RangeError("too many symbols");
  return Array.from({ length: count }, (_, i) => {
    const at = table.offset + i * SYMBOL_SIZE;
    const info = view.getUint8(at + 4);
    return {
      name: textAt(bytes, names, view.getUint32(at, true)),
      type: info & 0xf,
      isGlobal: info >> 4 !== 0,
      section: sections[view.getUint16(at + 6, true)],
      value: Number(view.getBigUint64(at + 8, true)),
    };
  });
}

/** @throws RangeError where it is damaged */
export function readElf(bytes: Uint8Array): Elf {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const begin = Number(view.getBigUint64(40, true));
  const [count, names] = [view.getUint16(60, true), view.getUint16(62, true)];
  const heads = Array.from({ length: count }, (_, i) => headAt(view, begin + i * SECTION_SIZE));
  const table = heads[names];
  if (!table) throw new RangeError("no names of sections");
  const sections = heads.map(({ name, flags, offset, size, type }) => ({
    name: textAt(bytes, table, name),
    isCode: (flags & EXECUTABLE) !== 0n && type !== SHT_NOBITS && size > 0,
    offset,
    size: type === SHT_NOBITS ? 0 : size,
  }));
  return { bytes, sections, symbols: symbolsOf(bytes, view, heads, sections) };
}

export const sectionNamed = ({ sections }: Elf, name: string): Section | undefined =>
  sections.find((section) => section.name === name);

/** What a section has. */
export const dataOf = ({ bytes }: Elf, { offset, size }: Section): Uint8Array =>
  bytes.subarray(offset, offset + size);
