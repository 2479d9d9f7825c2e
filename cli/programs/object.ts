// SPDX-License-Identifier: MIT
// What an object of others is: one sock_ops program, or one congestion control. Anything else is refused, before
// libbpf and the kernel see it.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, fromCstr } from "../bridge/bridge.ts";
import { type Btf, BtfKind, btfOf, IntEncoding } from "../objects/btf.ts";
import {
  type ElfObject,
  ObjectError,
  readElf,
  type Section,
  STB_LOCAL,
  STT_FUNC,
  sectionOf,
} from "../objects/elf.ts";
import { guarded } from "../packages/guard.ts";
import type { Variable } from "./variables.ts";

/** Of an object; as the bridge has it. */
export const OBJECT_MOST = 4 << 20;

export type ProgramKind = "sock_ops" | "congestion";

export interface ProgramObject {
  /** For people. */
  file: string;
  bytes: Uint8Array;
  kind: ProgramKind;
  /** Names of its programs: one of sock_ops. */
  programs: string[];
  variables: Variable[];
  /** Initial values of its variables. */
  rodata?: Uint8Array;
  /** Of a congestion control. */
  ops?: { variable: string; algorithm: string; wantsLink: boolean };
}

const OPS = ".struct_ops";
const OPS_LINK = ".struct_ops.link";
const REL = ".rel";
/** As the kernel takes it; a pin has no dots. */
const ALGORITHM = /^[A-Za-z0-9_][A-Za-z0-9_-]{0,14}$/;

function refusal(file: string, what: string, hint?: string): TcpxError {
  return new TcpxError(Exit.USAGE, `${file} ${what}`, { value: file, ...(hint !== undefined && { hint }) });
}

/** @throws TcpxError (usage): no ELF, another machine, cut off, no types, damaged ones */
function check(lib: Bridge, file: string, bytes: Uint8Array): void {
  const why = new Uint8Array(512);
  const source = bytes.length > 0 ? bytes : new Uint8Array(1);
  if (lib.tcpx_program_check(source, BigInt(bytes.length), why, why.length) >= 0) return;
  throw refusal(file, fromCstr(why) || "cannot be read");
}

/** "?" in front means: not loaded unless somebody says so. */
const plain = (name: string) => name.replace(/^\?/, "");
const isOps = (name: string) => /^struct_ops(?:\.s)?(?:\/|$)/.test(name);

const KINDS = "accepted are objects with one sock_ops program, or with one congestion control (struct_ops)";

/** The types of programs that it has, as the names of its sections. */
function kindOf(file: string, { sections }: ElfObject): ProgramKind {
  const code = sections
    .filter((section) => section.code && section.size > 0 && section.name !== ".text")
    .map(({ name }) => plain(name));
  const others = code.filter((name) => name !== "sockops" && !isOps(name));
  const [hasSockOps, hasOps] = [code.includes("sockops"), code.some(isOps)];
  if (others.length > 0) throw refusal(file, `has a program of another type, '${others[0]}'`, KINDS);
  if (hasSockOps && hasOps)
    throw refusal(file, "has programs of both kinds, sock_ops and struct_ops", "make an object of each");
  if (!hasSockOps && !hasOps) throw refusal(file, "has no program", KINDS);
  return hasSockOps ? "sock_ops" : "congestion";
}

function programsOf(file: string, kind: ProgramKind, { symbols, sections }: ElfObject): string[] {
  const names = symbols
    .filter(({ type, bind, section: index }) => {
      const section = sections[index];
      return type === STT_FUNC && bind !== STB_LOCAL && section?.code && section.name !== ".text";
    })
    .map(({ name }) => name);
  if (kind === "sock_ops" && names.length !== 1) {
    const count = `${names.length} sock_ops programs (${names.slice(0, 4).join(", ")})`;
    const what = names.length === 0 ? "no sock_ops program that is global" : count;
    throw refusal(file, `has ${what}`, "accepted is one in an object");
  }
  return names;
}

function variablesOf(elf: ElfObject, btf: Btf): Variable[] {
  const section = sectionOf(elf, ".rodata");
  const types = new Map(btf.variables(".rodata").map(({ name, type }) => [name, type]));
  return elf.symbols.flatMap(({ name, section: own, value: offset }) => {
    const type = own === section?.index ? types.get(name) : undefined;
    // a plain const is folded by the compiler: its place in memory is read by nobody
    if (type === undefined || !btf.isVolatile(type)) return [];
    const { kind, sizeOrType: bytes, encoding } = btf.type(type);
    if (kind !== BtfKind.INT || ![1, 2, 4, 8].includes(bytes) || offset + bytes > section!.bytes.length)
      return [];
    const isSigned = (encoding & IntEncoding.SIGNED) !== 0;
    return [{ name, offset, bytes, isSigned, isBool: (encoding & IntEncoding.BOOL) !== 0 }];
  });
}

function opsOf(file: string, elf: ElfObject, btf: Btf): NonNullable<ProgramObject["ops"]> {
  const all = [OPS, OPS_LINK].flatMap((section) =>
    btf
      .variables(section)
      .map(({ name, type }) => ({ section: sectionOf(elf, section), name, type: btf.type(type) })),
  );
  const [first, second] = all;
  if (!first?.section) {
    const hint = `accepted is a struct tcp_congestion_ops in SEC("${OPS}")`;
    throw refusal(file, "has struct_ops programs, and no struct that names them", hint);
  }
  if (second)
    throw refusal(
      file,
      `has ${all.length} structs of operations (${first.name}, ${second.name})`,
      "accepted is one in an object",
    );
  if (first.type.name !== "tcp_congestion_ops") {
    const what = `has operations of another kind, struct ${first.type.name || "?"}`;
    throw refusal(file, what, "accepted is struct tcp_congestion_ops");
  }
  const algorithm = algorithmOf(elf, btf, first.section, first.name);
  if (!ALGORITHM.test(algorithm)) {
    const hint = "accepted are up to 15 letters, digits, _ and - in its member 'name'";
    throw refusal(file, `has no name for its congestion control, or one that is none ('${algorithm}')`, hint);
  }
  return { variable: first.name, algorithm, wantsLink: first.section.name === OPS_LINK };
}

function algorithmOf(elf: ElfObject, btf: Btf, { index, bytes }: Section, variable: string): string {
  const at = elf.symbols.find(({ name, section }) => name === variable && section === index)?.value;
  const member = btf.memberOffset("tcp_congestion_ops", "name");
  if (at === undefined || member === undefined) return "";
  return fromCstr(bytes.subarray(at + member, at + member + 16));
}

/**
 * libbpf 1.1 does not know the section of links, which is the other one in all else: it is renamed, with what it has of
 * relocations and in the types. Nothing else is touched that happens to have the same letters.
 */
function withoutLinkSection(bytes: Uint8Array): Uint8Array {
  const copy = new Uint8Array(bytes);
  const elf = readElf(bytes);
  const inTypes = btfOf(elf).sectionNameAt(OPS_LINK);
  const places = elf.sections.flatMap(({ name, nameAt }) =>
    name === OPS_LINK ? nameAt : name === REL + OPS_LINK ? nameAt + REL.length : [],
  );
  if (inTypes !== undefined) places.push(inTypes - bytes.byteOffset);
  for (const at of places) copy.fill(0, at + OPS.length, at + OPS_LINK.length);
  return copy;
}

/** What it is, in the words of whoever reads it for us. */
function described(file: string, bytes: Uint8Array): ProgramObject {
  const elf = readElf(bytes);
  const kind = kindOf(file, elf);
  const btf = btfOf(elf);
  const programs = programsOf(file, kind, elf);
  const common = { file, kind, programs, variables: variablesOf(elf, btf) };
  const rodata = sectionOf(elf, ".rodata")?.bytes;
  const all = rodata && rodata.length > 0 ? { ...common, rodata: new Uint8Array(rodata) } : common;
  if (kind === "sock_ops") return { ...all, bytes };
  const ops = opsOf(file, elf, btf);
  return { ...all, bytes, ops };
}

/** What libbpf gets, which is what is looked at. */
function adapted(file: string, bytes: Uint8Array): ProgramObject {
  const object = described(file, bytes);
  return object.ops?.wantsLink ? described(file, withoutLinkSection(bytes)) : object;
}

/**
 * Looks at an object before libbpf and the kernel do.
 * @throws TcpxError (usage) for whatever is no such object, (failed) for what the guard finds
 */
export function readProgram(lib: Bridge, file: string, bytes: Uint8Array): ProgramObject {
  try {
    const object = adapted(file, bytes);
    check(lib, file, object.bytes);
    guarded(file, object.bytes, object.kind === "congestion" ? "congestion" : "program");
    return object;
  } catch (error) {
    if (error instanceof ObjectError) throw refusal(file, error.message);
    throw error;
  }
}
