// SPDX-License-Identifier: MIT
// BPF object files as bytes that somebody else has made: sections, symbols, relocations. Strict, and bounded before
// anything is made of it. It is only looked at here: libbpf reads it for itself.

/** What is read at most: of an object, and of what stands in it. */
const MOST = { bytes: 16 << 20, sections: 4096, symbols: 65_536, relocations: 262_144, name: 256 };

const HEADER = 64;
const SECTION = 64;
const SYMBOL = 24;
const REL = 16;
const [ELF64, LITTLE, RELOCATABLE, EM_BPF] = [2, 1, 1, 247];
const SHT = { SYMTAB: 2, NOBITS: 8, REL: 9 };
const SHF_EXECINSTR = 4;
export const STT_FUNC = 2;
export const STB_LOCAL = 0;

export interface Section {
  index: number;
  name: string;
  /** Where its name stands in the file; 0: it has none. */
  nameAt: number;
  code: boolean;
  /** With bytes for what is not in the file, too: see `bytes`. */
  size: number;
  /** Empty for .bss. */
  bytes: Uint8Array;
}

export interface ElfSymbol {
  name: string;
  /** 0: it is somewhere else. */
  section: number;
  value: number;
  size: number;
  type: number;
  bind: number;
}

/** What a relocation refers to, by the section that it stands in and the offset there. */
export type Relocations = ReadonlyMap<number, ReadonlyMap<number, ElfSymbol>>;

export interface ElfObject {
  sections: readonly Section[];
  symbols: readonly ElfSymbol[];
  relocations: Relocations;
}

/** It is no object that can be read. The message is what stands behind its name: "is cut off". */
export class ObjectError extends Error {}

const wrong = (what: string) => new ObjectError(what);

/** A view whose bounds are looked at. */
export class Reader {
  private readonly view: DataView;

  constructor(readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  /** @throws ObjectError unless all of these bytes are there */
  slice(at: number, size: number): Uint8Array {
    if (at < 0 || size < 0 || at + size > this.bytes.length) throw wrong("is cut off");
    return this.bytes.subarray(at, at + size);
  }

  private within(at: number, size: number): number {
    if (at < 0 || at + size > this.bytes.length) throw wrong("is cut off");
    return at;
  }

  u8 = (at: number) => this.view.getUint8(this.within(at, 1));
  u16 = (at: number) => this.view.getUint16(this.within(at, 2), true);
  i16 = (at: number) => this.view.getInt16(this.within(at, 2), true);
  u32 = (at: number) => this.view.getUint32(this.within(at, 4), true);
  i32 = (at: number) => this.view.getInt32(this.within(at, 4), true);

  /** 64 bits that have to fit into 53. */
  u64(at: number): number {
    const n = this.view.getBigUint64(this.within(at, 8), true);
    if (n > BigInt(Number.MAX_SAFE_INTEGER)) throw wrong("is cut off");
    return Number(n);
  }

  /** What ends with a NUL; of long ones the beginning. */
  text(at: number): string {
    const rest = this.bytes.subarray(this.within(at, 1), at + MOST.name);
    const end = rest.indexOf(0);
    return new TextDecoder().decode(end < 0 ? rest : rest.subarray(0, end));
  }
}

interface Header extends Section {
  type: number;
  link: number;
  info: number;
}

function headOf(elf: Reader): { at: number; count: number; names: number } {
  if (elf.bytes.length > MOST.bytes) throw wrong(`has more than ${MOST.bytes >> 20} MiB`);
  if (elf.bytes.length < HEADER || elf.u32(0) !== 0x464c457f) throw wrong("is no object file (ELF)");
  if (elf.u8(4) !== ELF64 || elf.u8(5) !== LITTLE || elf.u16(18) !== EM_BPF)
    throw wrong("is for another machine: BPF is needed (clang -target bpf)");
  if (elf.u16(16) !== RELOCATABLE) throw wrong("is no object of a compiler (clang -c)");
  const [at, size, count, names] = [elf.u64(40), elf.u16(58), elf.u16(60), elf.u16(62)];
  if (size !== SECTION || count === 0 || count > MOST.sections || names >= count)
    throw wrong("has damaged sections");
  elf.slice(at, count * SECTION);
  return { at, count, names };
}

function sectionsOf(elf: Reader): Header[] {
  const { at, count, names } = headOf(elf);
  const headers = Array.from({ length: count }, (_, index) => {
    const h = at + index * SECTION;
    const [type, size] = [elf.u32(h + 4), elf.u64(h + 32)];
    const isThere = type !== 0 && type !== SHT.NOBITS;
    return {
      index,
      name: "",
      nameAt: elf.u32(h),
      type,
      code: (elf.u64(h + 8) & SHF_EXECINSTR) !== 0 && isThere,
      size,
      bytes: isThere ? elf.slice(elf.u64(h + 24), size) : new Uint8Array(0),
      link: elf.u32(h + 40),
      info: elf.u32(h + 44),
    };
  });
  const strings = new Reader(headers[names]!.bytes);
  const begin = strings.bytes.byteOffset - elf.bytes.byteOffset;
  return headers.map((header) => {
    const { nameAt } = header;
    return nameAt ? { ...header, name: strings.text(nameAt), nameAt: begin + nameAt } : header;
  });
}

function symbolsOf(sections: readonly Header[]): ElfSymbol[] {
  const tables = sections.filter(({ type }) => type === SHT.SYMTAB);
  const table = tables[0];
  const strings = sections[table?.link ?? -1];
  if (!table || !strings) throw wrong("has no symbols: is it stripped? Only llvm-strip -g leaves them");
  if (tables.length > 1 || table.size % SYMBOL || table.size / SYMBOL > MOST.symbols)
    throw wrong("has a damaged table of symbols");
  const [bytes, names] = [new Reader(table.bytes), new Reader(strings.bytes)];
  return Array.from({ length: table.size / SYMBOL }, (_, i) => {
    const [at, info] = [i * SYMBOL, bytes.u8(i * SYMBOL + 4)];
    const name = bytes.u32(at);
    return {
      name: name ? names.text(name) : "",
      section: bytes.u16(at + 6),
      value: bytes.u64(at + 8),
      size: bytes.u64(at + 16),
      type: info & 15,
      bind: info >> 4,
    };
  });
}

/** Of sections with code and of maps: those of debuggers are many. */
function relocationsOf(sections: readonly Header[], symbols: readonly ElfSymbol[]): Relocations {
  const all = new Map<number, Map<number, ElfSymbol>>();
  let count = 0;
  for (const { type, info, size, bytes } of sections) {
    const of = sections[info];
    if (type !== SHT.REL || !of || !(of.code || of.name === ".maps")) continue;
    count += size / REL;
    if (size % REL || count > MOST.relocations) throw wrong("has damaged relocations");
    const at = all.get(info) ?? new Map<number, ElfSymbol>();
    all.set(info, at);
    const reader = new Reader(bytes);
    for (let i = 0; i < size; i += REL) {
      const symbol = symbols[reader.u32(i + 12)];
      if (!symbol) throw wrong("has damaged relocations");
      at.set(reader.u64(i), symbol);
    }
  }
  return all;
}

/** @throws ObjectError for what is no object for BPF, or a damaged one */
export function readElf(bytes: Uint8Array): ElfObject {
  const sections = sectionsOf(new Reader(bytes));
  const symbols = symbolsOf(sections);
  return { sections, symbols, relocations: relocationsOf(sections, symbols) };
}

export const sectionOf = ({ sections }: ElfObject, name: string): Section | undefined =>
  sections.find((section) => section.name === name);
