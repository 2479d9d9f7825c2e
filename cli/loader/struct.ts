// SPDX-License-Identifier: MIT
// Encodes and decodes the C structs of tcpx_shared.h by the generated layout.

import { structs } from "./layout.generated.ts";

type Structs = typeof structs;
export type StructName = keyof Structs;

interface FieldLayout {
  readonly offset: number;
  readonly type: string;
  readonly dims?: readonly number[];
}

type Scalar<T> = T extends StructName ? Struct<T> : T extends "u64" | "s64" ? bigint : number;
type Nested<T, D> = D extends readonly [unknown, unknown] ? T[][] : D extends readonly [unknown] ? T[] : T;
type FieldValue<F> = F extends { type: "char" }
  ? string
  : F extends { type: "u8"; dims: readonly [number] }
    ? Uint8Array
    : F extends { type: infer T; dims: infer D }
      ? Nested<Scalar<T>, D>
      : F extends { type: infer T }
        ? Scalar<T>
        : never;

/** The TypeScript shape of a C struct: u64 is bigint, u8 arrays are bytes, char arrays strings. */
export type Struct<S extends StructName> = {
  [F in keyof Structs[S]["fields"]]: FieldValue<Structs[S]["fields"][F]>;
};

const WIDTH: Record<string, number> = {
  u8: 1,
  s8: 1,
  u16: 2,
  s16: 2,
  u32: 4,
  s32: 4,
  u64: 8,
  s64: 8,
  char: 1,
};
const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

export function sizeOf(name: StructName): number {
  return structs[name].size;
}

function width(type: string): number {
  return WIDTH[type] ?? sizeOf(type as StructName);
}

function readScalar(view: DataView, at: number, type: string): unknown {
  switch (type) {
    case "u8":
      return view.getUint8(at);
    case "u16":
      return view.getUint16(at, LITTLE);
    case "u32":
      return view.getUint32(at, LITTLE);
    case "s32":
      return view.getInt32(at, LITTLE);
    case "u64":
      return view.getBigUint64(at, LITTLE);
    default:
      return readStruct(view, at, type as StructName);
  }
}

function writeScalar(view: DataView, at: number, type: string, value: unknown): void {
  if (type === "u8") view.setUint8(at, value as number);
  else if (type === "u16") view.setUint16(at, value as number, LITTLE);
  else if (type === "u32") view.setUint32(at, value as number, LITTLE);
  else if (type === "s32") view.setInt32(at, value as number, LITTLE);
  else if (type === "u64") view.setBigUint64(at, value as bigint, LITTLE);
  else writeStruct(view, at, type as StructName, value as Record<string, unknown>);
}

function readField(view: DataView, base: number, field: FieldLayout): unknown {
  const at = base + field.offset;
  const [count, ...inner] = field.dims ?? [];
  if (count === undefined) return readScalar(view, at, field.type);
  if (field.type === "char" || (field.type === "u8" && inner.length === 0)) {
    const bytes = new Uint8Array(view.buffer, view.byteOffset + at, count).slice();
    if (field.type === "u8") return bytes;
    const end = bytes.indexOf(0);
    return new TextDecoder().decode(end < 0 ? bytes : bytes.subarray(0, end));
  }
  const stride = inner.reduce((product, n) => product * n, width(field.type));
  return Array.from({ length: count }, (_, i) =>
    readField(view, at + i * stride, {
      offset: 0,
      type: field.type,
      ...(inner.length ? { dims: inner } : {}),
    }),
  );
}

function writeField(view: DataView, base: number, field: FieldLayout, value: unknown): void {
  const at = base + field.offset;
  const [count, ...inner] = field.dims ?? [];
  if (count === undefined) {
    writeScalar(view, at, field.type, value);
    return;
  }
  if (typeof value === "string" || value instanceof Uint8Array) {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    if (bytes.length > count) throw new RangeError(`${bytes.length} bytes do not fit into ${count}`);
    new Uint8Array(view.buffer, view.byteOffset + at, count).set(bytes);
    return;
  }
  const elements = value as unknown[];
  if (elements.length > count) throw new RangeError(`${elements.length} elements do not fit into ${count}`);
  const stride = inner.reduce((product, n) => product * n, width(field.type));
  for (const [i, element] of elements.entries()) {
    const rest = { offset: 0, type: field.type, ...(inner.length ? { dims: inner } : {}) };
    writeField(view, at + i * stride, rest, element);
  }
}

function fieldsOf(name: StructName): [string, FieldLayout][] {
  return Object.entries(structs[name].fields);
}

function readStruct(view: DataView, at: number, name: StructName): Record<string, unknown> {
  return Object.fromEntries(fieldsOf(name).map(([key, field]) => [key, readField(view, at, field)]));
}

function writeStruct(view: DataView, at: number, name: StructName, value: Record<string, unknown>): void {
  for (const [key, field] of fieldsOf(name)) {
    if (value[key] !== undefined) writeField(view, at, field, value[key]);
  }
}

/** The bytes of a struct; fields that are left out are zero. */
export function encode<S extends StructName>(name: S, value: Partial<Struct<S>>): Uint8Array {
  const bytes = new Uint8Array(sizeOf(name));
  writeStruct(new DataView(bytes.buffer), 0, name, value as Record<string, unknown>);
  return bytes;
}

/** Several structs back to back, as the batch calls want them. */
export function encodeAll<S extends StructName>(name: S, values: Partial<Struct<S>>[]): Uint8Array {
  const bytes = new Uint8Array(sizeOf(name) * values.length);
  const view = new DataView(bytes.buffer);
  values.forEach((value, i) => {
    writeStruct(view, i * sizeOf(name), name, value as Record<string, unknown>);
  });
  return bytes;
}

/** Reads a struct at an offset of a buffer. */
export function decode<S extends StructName>(name: S, bytes: Uint8Array, at = 0): Struct<S> {
  return readStruct(new DataView(bytes.buffer, bytes.byteOffset, bytes.length), at, name) as Struct<S>;
}
