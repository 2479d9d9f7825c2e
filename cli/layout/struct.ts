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
/** The byte order of this machine, and so of the kernel's structs. */
export const LITTLE = new Uint8Array(new Uint16Array([1]).buffer)[0] === 1;

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
  if (!field.dims) return readScalar(view, at, field.type);
  const [count = 0, ...inner] = field.dims;
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
  if (!field.dims) {
    writeScalar(view, at, field.type, value);
    return;
  }
  const [count = 0, ...inner] = field.dims;
  if (typeof value === "string" || value instanceof Uint8Array) {
    const bytes = typeof value === "string" ? new TextEncoder().encode(value) : value;
    if (bytes.length > count) throw new RangeError(`${bytes.length} bytes do not fit into ${count}`);
    for (let i = 0; i < bytes.length; i++) view.setUint8(at + i, bytes[i]!);
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

/** Looked at for every rule of a policy, and so kept as a list. */
const FIELDS = new Map(
  Object.entries(structs).map(([name, { fields }]) => [name, Object.entries<FieldLayout>(fields)]),
);

function readStruct(view: DataView, at: number, name: StructName): Record<string, unknown> {
  const value: Record<string, unknown> = {};
  for (const [key, field] of FIELDS.get(name)!) value[key] = readField(view, at, field);
  return value;
}

function writeStruct(view: DataView, at: number, name: StructName, value: Record<string, unknown>): void {
  for (const [key, field] of FIELDS.get(name)!) {
    const part = value[key];
    if (part === undefined) continue;
    if (field.dims) writeField(view, at, field, part);
    else writeScalar(view, at + field.offset, field.type, part);
  }
}

type FieldKey<S extends StructName> = keyof Structs[S]["fields"] & string;
type Element<F> = F extends { type: infer T } ? Scalar<T> : never;

/** Where a field stands. @param index in a field that is an array */
function placeOf<S extends StructName>(name: S, key: FieldKey<S>, index: number) {
  const { offset, type } = new Map(FIELDS.get(name)!).get(key)!;
  return { from: offset + index * width(type), type };
}

/** Reads one field of the struct at an offset of a buffer: for structs of which there are 100,000. */
export function getter<S extends StructName, K extends FieldKey<S>>(
  name: S,
  key: K,
  index = 0,
): (view: DataView, at: number) => Element<Structs[S]["fields"][K]> {
  const { from, type } = placeOf(name, key, index);
  return (view, at) => readScalar(view, at + from, type) as Element<Structs[S]["fields"][K]>;
}

/** The same for a field that is bytes, which are copied. */
export function bytesGetter<S extends StructName>(name: S, key: FieldKey<S>) {
  const { from } = placeOf(name, key, 0);
  const count = new Map(FIELDS.get(name)!).get(key)!.dims![0]!;
  return (bytes: Uint8Array, at: number): Uint8Array => bytes.slice(at + from, at + from + count);
}

/** Writes one field. */
export type Put<T> = (view: DataView, at: number, value: T) => void;

/** Without an object for each struct, as `getter` reads. */
export function putter<S extends StructName>(name: S, key: FieldKey<S>, index = 0): Put<number | bigint> {
  const { from, type } = placeOf(name, key, index);
  return (view, at, value) => writeScalar(view, at + from, type, value);
}

/** The same for a field that is bytes. */
export function bytesPutter<S extends StructName>(name: S, key: FieldKey<S>): Put<Uint8Array> {
  const { from } = placeOf(name, key, 0);
  return (view, at, bytes) => {
    for (let i = 0; i < bytes.length; i++) view.setUint8(at + from + i, bytes[i]!);
  };
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
