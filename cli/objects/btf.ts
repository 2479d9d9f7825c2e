// SPDX-License-Identifier: MIT
// Type information of an object: what maps are made of, and which line of the source an instruction is from.

import { type ElfObject, ObjectError, Reader, sectionOf } from "./elf.ts";

export const IntEncoding = { SIGNED: 1, BOOL: 4 };
export const BtfKind = { INT: 1, PTR: 2, ARRAY: 3, STRUCT: 4, UNION: 5, ENUM: 6, VAR: 14, DATASEC: 15 };
const K = { FUNC_PROTO: 13, FLOAT: 16, DECL_TAG: 17, ENUM64: 19 };
/** Kinds that stand for another type, and change nothing: FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, TYPE_TAG. */
const MODIFIERS = [8, 9, 10, 11, 18];
const VOLATILE = 9;
const [MAGIC, TYPES_MOST, LINES_MOST, DEPTH_MOST] = [0xeb9f, 65_536, 262_144, 32];

/** Bytes behind the head of a type: for each of its members, or at all. */
const EACH: Record<number, number> = {
  ...{ [BtfKind.STRUCT]: 12, [BtfKind.UNION]: 12, [BtfKind.ENUM]: 8 },
  ...{ [K.FUNC_PROTO]: 8, [BtfKind.DATASEC]: 12, [K.ENUM64]: 12 },
};
const FIXED: Record<number, number> = {
  [BtfKind.INT]: 4,
  [BtfKind.ARRAY]: 12,
  [BtfKind.VAR]: 4,
  [K.DECL_TAG]: 4,
};

export interface BtfType {
  kind: number;
  name: string;
  /** Among the strings. */
  nameAt: number;
  /** Bytes, or the number of another type. */
  sizeOrType: number;
  /** Of structs, unions: names, types, where they stand. Of data sections: types. Of arrays: type, elements. */
  members: readonly { name: string; type: number; bits: number }[];
  elements: number;
  /** Of integers: IntEncoding. */
  encoding: number;
}

/** Where an instruction is from. */
export interface SourceLine {
  /** Bytes from the begin of its section. */
  at: number;
  file: string;
  line: number;
  text: string;
}

const damaged = () => new ObjectError("has damaged type information (BTF)");

/** The parts of a section of BTF. */
function partsOf(bytes: Uint8Array, least: number): { head: Reader; body: Reader } {
  const head = new Reader(bytes);
  const length = head.u32(4);
  if (head.u16(0) !== MAGIC || length < least || length > bytes.length) throw damaged();
  return { head, body: new Reader(bytes.subarray(length)) };
}

export class Btf {
  private readonly types: BtfType[] = [
    { kind: 0, name: "", nameAt: 0, sizeOrType: 0, members: [], elements: 0, encoding: 0 }, // void
  ];

  private constructor(private readonly strings: Reader) {}

  /** @throws ObjectError */
  static of(bytes: Uint8Array): Btf {
    const { head, body } = partsOf(bytes, 24);
    const [typesAt, typesSize, stringsAt, stringsSize] = [8, 12, 16, 20].map((at) => head.u32(at));
    const btf = new Btf(new Reader(body.slice(stringsAt!, stringsSize!)));
    btf.read(new Reader(body.slice(typesAt!, typesSize!)));
    return btf;
  }

  private read(from: Reader): void {
    let at = 0;
    while (at < from.bytes.length) {
      const info = from.u32(at + 4);
      const [kind, count] = [(info >>> 24) & 31, info & 0xffff];
      const size = (EACH[kind] ?? 0) * count + (FIXED[kind] ?? 0);
      from.slice(at, 12 + size);
      if (kind === 0 || kind > K.ENUM64 || this.types.length >= TYPES_MOST) throw damaged();
      this.types.push({
        ...{ kind, name: this.text(from.u32(at)), nameAt: from.u32(at), sizeOrType: from.u32(at + 8) },
        ...this.inside(from, at + 12, kind, count),
      });
      at += 12 + size;
    }
  }

  private inside(
    from: Reader,
    at: number,
    kind: number,
    count: number,
  ): Pick<BtfType, "members" | "elements" | "encoding"> {
    const none = { members: [], elements: 0, encoding: 0 };
    if (kind === BtfKind.INT) return { ...none, encoding: (from.u32(at) >>> 24) & 15 };
    if (kind === BtfKind.ARRAY)
      return { ...none, members: [{ name: "", type: from.u32(at), bits: 0 }], elements: from.u32(at + 8) };
    const isData = kind === BtfKind.DATASEC;
    if (!isData && kind !== BtfKind.STRUCT && kind !== BtfKind.UNION) return none;
    const members = Array.from({ length: count }, (_, i) => ({
      name: isData ? "" : this.text(from.u32(at + i * 12)),
      type: from.u32(at + i * 12 + (isData ? 0 : 4)),
      bits: isData ? 0 : from.u32(at + i * 12 + 8) & 0xffffff,
    }));
    return { ...none, members };
  }

  text = (at: number): string => this.strings.text(at);

  /** A type without what changes nothing of it. */
  type(id: number): BtfType {
    for (let depth = 0; depth < DEPTH_MOST; depth++) {
      const type = this.types[id];
      if (!type) throw damaged();
      if (!MODIFIERS.includes(type.kind)) return type;
      id = type.sizeOrType;
    }
    throw damaged();
  }

  /** May it change behind the compiler's back? Then what is read of it is what is there. */
  isVolatile(id: number): boolean {
    for (let depth = 0; depth < DEPTH_MOST; depth++) {
      const type = this.types[id];
      if (!type) throw damaged();
      if (!MODIFIERS.includes(type.kind)) return false;
      if (type.kind === VOLATILE) return true;
      id = type.sizeOrType;
    }
    throw damaged();
  }

  /** Where a member of a struct stands, in bytes. */
  memberOffset(struct: string, member: string): number | undefined {
    const type = this.types.find(({ kind, name }) => kind === BtfKind.STRUCT && name === struct);
    const found = type?.members.find(({ name }) => name === member);
    return found && found.bits / 8;
  }

  /** Bytes of a type. */
  sizeOf(id: number, depth = 0): number {
    const type = this.type(id);
    if (depth > DEPTH_MOST) throw damaged();
    if (type.kind === BtfKind.PTR) return 8;
    if (type.kind === BtfKind.ARRAY) return type.elements * this.sizeOf(type.members[0]!.type, depth + 1);
    const sized = [BtfKind.INT, BtfKind.STRUCT, BtfKind.UNION, BtfKind.ENUM, K.FLOAT, K.ENUM64];
    return sized.includes(type.kind) ? type.sizeOrType : 0;
  }

  private section = (name: string): BtfType | undefined =>
    this.types.find((type) => type.kind === BtfKind.DATASEC && type.name === name);

  /** Where the name of a section with data stands, in the memory that the bytes are from. */
  sectionNameAt(name: string): number | undefined {
    const found = this.section(name);
    return found && this.strings.bytes.byteOffset + found.nameAt;
  }

  /** What a section with data has, by name. */
  variables(section: string): { name: string; type: number }[] {
    return (this.section(section)?.members ?? []).map(({ type }) => {
      const variable = this.type(type);
      if (variable.kind !== BtfKind.VAR) throw damaged();
      return { name: variable.name, type: variable.sizeOrType };
    });
  }
}

/** The type information of an object. @throws ObjectError where there is none */
export function btfOf(elf: ElfObject): Btf {
  const section = sectionOf(elf, ".BTF");
  if (!section) throw new ObjectError("has no type information: it is compiled with clang -g");
  return Btf.of(section.bytes);
}

/** Lines of the source by section, in the order of instructions; none where the object has none. */
export function linesOf(elf: ElfObject, btf: Btf): Map<string, SourceLine[]> {
  const lines = new Map<string, SourceLine[]>();
  const section = sectionOf(elf, ".BTF.ext");
  if (!section) return lines;
  const { head, body } = partsOf(section.bytes, 24);
  const from = new Reader(body.slice(head.u32(16), head.u32(20)));
  const size = from.bytes.length > 0 ? from.u32(0) : 0;
  let [at, left] = [4, LINES_MOST];
  while (at < from.bytes.length) {
    const [name, count] = [btf.text(from.u32(at)), from.u32(at + 4)];
    left -= count;
    if (size < 16 || count === 0 || left < 0) throw damaged();
    at += 8;
    from.slice(at, count * size);
    const of = Array.from({ length: count }, (_, i) => {
      const [offset, file, text, place] = [0, 4, 8, 12].map((word) => from.u32(at + i * size + word));
      return { at: offset!, file: btf.text(file!), line: place! >>> 10, text: btf.text(text!).trim() };
    });
    const before = lines.get(name);
    if (before) for (const line of of) before.push(line);
    else lines.set(name, of);
    at += count * size;
  }
  for (const of of lines.values()) of.sort((a, b) => a.at - b.at);
  return lines;
}

/** The line that an instruction is from. */
export const lineAt = (lines: readonly SourceLine[] | undefined, at: number): SourceLine | undefined =>
  lines?.findLast((line) => line.at <= at);

/** For people: "pace.bpf.c:12". What a compiler has put together of several lines has none. */
export const placeOf = ({ file, line }: Pick<SourceLine, "file" | "line">): string => {
  const name = file
    .split("/")
    .at(-1)!
    .replaceAll(/[^\w.-]/g, "?");
  return line > 0 ? `${name}:${line}` : name;
};
