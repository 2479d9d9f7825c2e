// SPDX-License-Identifier: MIT
// What an object of others is: one sock_ops program, or one congestion control. Anything else is refused, before
// libbpf and the kernel see it.

import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, cstr, fromCstr } from "../bridge/bridge.ts";
import { Btf } from "./btf.ts";
import { dataOf, type Elf, readElf, type Section, sectionNamed } from "./elf.ts";
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
  /** Of a congestion control. */
  ops?: { variable: string; algorithm: string; wantsLink: boolean };
}

const OPS = ".struct_ops";
const OPS_LINK = ".struct_ops.link";
const FUNCTION = 2;
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
function kindOf(file: string, { sections }: Elf): ProgramKind {
  const code = sections.filter(({ name, isCode }) => isCode && name !== ".text").map(({ name }) => plain(name));
  const others = code.filter((name) => name !== "sockops" && !isOps(name));
  const [hasSockOps, hasOps] = [code.includes("sockops"), code.some(isOps)];
  if (others.length > 0) throw refusal(file, `has a program of another type, '${others[0]}'`, KINDS);
  if (hasSockOps && hasOps)
    throw refusal(file, "has programs of both kinds, sock_ops and struct_ops", "make an object of each");
  if (!hasSockOps && !hasOps) throw refusal(file, "has no program", KINDS);
  return hasSockOps ? "sock_ops" : "congestion";
}

function programsOf(file: string, kind: ProgramKind, { symbols }: Elf): string[] {
  const names = symbols
    .filter(({ type, isGlobal, section }) => type === FUNCTION && isGlobal && section?.isCode && section.name !== ".text")
    .map(({ name }) => name);
  if (kind === "sock_ops" && names.length !== 1) {
    const what = names.length === 0 ? "no sock_ops program with a name" : `${names.length} sock_ops programs (${names.slice(0, 4).join(", ")})`;
    throw refusal(file, `has ${what}`, "accepted is one in an object");
  }
  return names;
}

function variablesOf(elf: Elf, btf: Btf): Variable[] {
  const section = sectionNamed(elf, ".rodata");
  const types = btf.variables(".rodata");
  return elf.symbols.flatMap(({ name, section: own, value }) => {
    const type = own === section && section ? types.get(name) : undefined;
    // a plain const is folded by the compiler: its place in memory is read by nobody
    if (!type?.integer || !type.isVolatile || value + type.integer.bytes > section!.size) return [];
    return [{ name, offset: value, ...type.integer }];
  });
}

function opsOf(file: string, elf: Elf, btf: Btf): NonNullable<ProgramObject["ops"]> {
  const found = [OPS, OPS_LINK].flatMap((name) => {
    const section = sectionNamed(elf, name);
    return section && section.size > 0 ? [{ section, types: btf.variables(name) }] : [];
  });
  const all = found.flatMap(({ section, types }) => [...types].map(([name, { struct }]) => ({ section, name, struct })));
  const [first, second] = all;
  if (!first) throw refusal(file, "has struct_ops programs, and no struct that names them", `accepted is a struct tcp_congestion_ops in SEC("${OPS}")`);
  if (second) throw refusal(file, `has ${all.length} structs of operations (${first.name}, ${second.name})`, "accepted is one in an object");
  if (first.struct !== "tcp_congestion_ops")
    throw refusal(file, `has operations of another kind, struct ${first.struct || "?"}`, "accepted is struct tcp_congestion_ops");
  const algorithm = algorithmOf(elf, btf, first.section, first.name);
  if (!ALGORITHM.test(algorithm)) {
    const hint = "accepted are up to 15 letters, digits, _ and - in its member 'name'";
    throw refusal(file, `has no name for its congestion control, or one that is none ('${algorithm}')`, hint);
  }
  return { variable: first.name, algorithm, wantsLink: first.section.name === OPS_LINK };
}

function algorithmOf(elf: Elf, btf: Btf, section: Section, variable: string): string {
  const at = elf.symbols.find(({ name, section: own }) => name === variable && own === section)?.value;
  const member = btf.memberOffset("tcp_congestion_ops", "name");
  if (at === undefined || member === undefined) return "";
  return fromCstr(dataOf(elf, section).subarray(at + member, at + member + 16));
}

/** libbpf 1.1 does not know the section of links, which is the other one in all else: it is renamed. */
function withoutLinkSection(bytes: Uint8Array): Uint8Array {
  const copy = Buffer.from(bytes);
  const [name, to] = [Buffer.from(`${OPS_LINK}\0`), Buffer.from(`${OPS}\0`.padEnd(OPS_LINK.length + 1, "\0"))];
  for (let at = copy.indexOf(name); at >= 0; at = copy.indexOf(name, at + 1)) to.copy(copy, at);
  return new Uint8Array(copy);
}

/** @throws TcpxError (usage) in one line, for whatever is no such object */
export function readProgram(lib: Bridge, file: string, bytes: Uint8Array): ProgramObject {
  check(lib, file, bytes);
  try {
    const elf = readElf(bytes);
    const kind = kindOf(file, elf);
    const types = sectionNamed(elf, ".BTF");
    if (!types) throw refusal(file, "has no type information", "compile it with clang -g");
    const btf = new Btf(dataOf(elf, types));
    const programs = programsOf(file, kind, elf);
    const variables = variablesOf(elf, btf);
    if (kind === "sock_ops") return { file, bytes, kind, programs, variables };
    const ops = opsOf(file, elf, btf);
    return { file, bytes: ops.wantsLink ? withoutLinkSection(bytes) : bytes, kind, programs, variables, ops };
  } catch (error) {
    if (error instanceof RangeError) throw refusal(file, "is damaged", "compile it anew");
    throw error;
  }
}

/** The initial values of its variables; undefined: it has none. */
export function rodataOf({ bytes }: Pick<ProgramObject, "bytes">): Uint8Array | undefined {
  const elf = readElf(bytes);
  const section = sectionNamed(elf, ".rodata");
  return section && new Uint8Array(dataOf(elf, section));
}
