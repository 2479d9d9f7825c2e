// SPDX-License-Identifier: MIT
// Types that an object brings along (BTF), as far as variables need them. What is out of bounds throws a RangeError.

import { textAt } from "./elf.ts";

const Kind = {
  ...{ INT: 1, ARRAY: 3, STRUCT: 4, UNION: 5, ENUM: 6, TYPEDEF: 8, VOLATILE: 9, CONST: 10, FUNC_PROTO: 13 },
  ...{ VAR: 14, DATASEC: 15, DECL_TAG: 17, TYPE_TAG: 18, ENUM64: 19 },
} as const;
const DEEPEST = 32;
const TYPES_MOST = 65_536;
const SIGNED = 1;
const BOOL = 4;

/** Bytes behind a type, each time `vlen`. */
const PER_MEMBER = new Map<number, number>([
  [Kind.STRUCT, 12],
  [Kind.UNION, 12],
  [Kind.ENUM, 8],
  [Kind.FUNC_PROTO, 8],
  [Kind.DATASEC, 12],
  [Kind.ENUM64, 12],
]);
/** And once. */
const BEHIND = new Map<number, number>([
  [Kind.INT, 4],
  [Kind.ARRAY, 12],
  [Kind.VAR, 4],
  [Kind.DECL_TAG, 4],
]);

interface Type {
  name: string;
  kind: number;
  vlen: number;
  /** Its size, or the type that it refers to. */
  word: number;
  /** Where what is behind it begins. */
  at: number;
}

/** A number of a program. */
export interface Integer {
  bytes: number;
  isSigned: boolean;
  isBool: boolean;
}

/** What a variable is: undefined where it is no number. */
export interface VariableType {
  integer: Integer | undefined;
  isVolatile: boolean;
  /** Of a struct. */
  struct: string;
}

export class Btf {
  private readonly types: Type[] = [{ name: "void", kind: 0, vlen: 0, word: 0, at: 0 }];
  private readonly view: DataView;

  /** @throws RangeError where it is damaged */
  constructor(private readonly bytes: Uint8Array) {
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const [head, types, length, texts, size] = [4, 8, 12, 16, 20].map((at) => this.view.getUint32(at, true)) as [
      ...[number, number, number, number, number],
    ];
    const strings = { offset: head + texts, size };
    const end = head + types + length;
    for (let at = head + types; at < end; ) {
      if (this.types.length >= TYPES_MOST) throw new RangeError("too many types");
      const info = this.view.getUint32(at + 4, true);
      const [kind, vlen] = [(info >>> 24) & 0x1f, info & 0xffff];
      const name = textAt(this.bytes, strings, this.view.getUint32(at, true));
      this.types.push({ name, kind, vlen, word: this.view.getUint32(at + 8, true), at: at + 12 });
      at += 12 + (BEHIND.get(kind) ?? 0) + (PER_MEMBER.get(kind) ?? 0) * vlen;
    }
    this.strings = strings;
  }
  private readonly strings: { offset: number; size: number };

  private typeAt(id: number): Type {
    const type = this.types[id];
    if (!type) throw new RangeError("a type is out of the table");
    return type;
  }

  private integerOf({ kind, word, at }: Type): Integer | undefined {
    if (kind !== Kind.INT || ![1, 2, 4, 8].includes(word)) return undefined;
    const encoding = (this.view.getUint32(at, true) >>> 24) & 0xf;
    return { bytes: word, isSigned: (encoding & SIGNED) !== 0, isBool: (encoding & BOOL) !== 0 };
  }

  /** What the variables of a section are, by their names. */
  variables(section: string): Map<string, VariableType> {
    const found = new Map<string, VariableType>();
    const table = this.types.find(({ kind, name }) => kind === Kind.DATASEC && name === section);
    for (let i = 0; i < (table?.vlen ?? 0); i++) {
      const variable = this.typeAt(this.view.getUint32(table!.at + i * 12, true));
      let isVolatile = false;
      let type = this.typeAt(variable.word);
      for (let depth = 0; ([Kind.CONST, Kind.VOLATILE, Kind.TYPEDEF, Kind.TYPE_TAG] as number[]).includes(type.kind); depth++) {
        if (depth > DEEPEST) throw new RangeError("types without an end");
        isVolatile ||= type.kind === Kind.VOLATILE;
        type = this.typeAt(type.word);
      }
      const struct = type.kind === Kind.STRUCT ? type.name : "";
      found.set(variable.name, { integer: this.integerOf(type), isVolatile, struct });
    }
    return found;
  }

  /** Where a member stands in a struct, in bytes. */
  memberOffset(struct: string, member: string): number | undefined {
    const type = this.types.find(({ kind, name }) => kind === Kind.STRUCT && name === struct);
    for (let i = 0; i < (type?.vlen ?? 0); i++) {
      const at = type!.at + i * 12;
      if (textAt(this.bytes, this.strings, this.view.getUint32(at, true)) !== member) continue;
      return (this.view.getUint32(at + 8, true) & 0xffffff) / 8;
    }
    return undefined;
  }
}
