// SPDX-License-Identifier: MIT
// Maps that an object of others asks for, and how much they may be: what they have is the kernel's memory.

import { type Btf, BtfKind, type BtfType } from "../objects/btf.ts";
import type { ElfObject } from "../objects/elf.ts";

/** docs/security.md names them. */
export const MAP_LIMITS = { count: 16, bytes: 64 << 20, perObject: 2048 };

const Type = { PERF: 4, RINGBUF: 27, USER_RINGBUF: 31, ARENA: 33 };
const PER_CPU = [5, 6, 10, 21];
/** Of sockets, inodes, tasks, cgroups: an element for each of them that there is. */
const STORAGE = [24, 28, 29, 32];
const PAGE = 4096;

interface MapSpec {
  name: string;
  type: number;
  entries: number;
  key: number;
  value: number;
  isPinned: boolean;
}

/** __uint(name, N) is a pointer to an array of N. */
function numberOf(btf: Btf, id: number | undefined): number {
  if (id === undefined) return 0;
  const to = btf.type(id);
  return to.kind === BtfKind.PTR ? btf.type(to.sizeOrType).elements : 0;
}

/** __type(name, T) is a pointer to it. */
function sizeOf(btf: Btf, id: number | undefined): number {
  if (id === undefined) return 0;
  const to = btf.type(id);
  return to.kind === BtfKind.PTR && to.sizeOrType !== 0 ? btf.sizeOf(to.sizeOrType) : 0;
}

function specOf(btf: Btf, name: string, type: BtfType): MapSpec {
  const of = new Map(type.members.map((member) => [member.name, member.type]));
  const number = (member: string) => numberOf(btf, of.get(member));
  const size = (what: string) => Math.max(number(`${what}_size`), sizeOf(btf, of.get(what)));
  return {
    ...{ name, type: number("type"), entries: number("max_entries") },
    ...{ key: size("key"), value: of.has("values") ? 4 : size("value"), isPinned: number("pinning") !== 0 },
  };
}

function bytesOf({ type, entries, key, value }: MapSpec, cpus: number): number {
  if (type === Type.RINGBUF || type === Type.USER_RINGBUF) return entries;
  if (type === Type.ARENA) return entries * PAGE;
  if (type === Type.PERF) return 0;
  return entries * (key + Math.ceil(value / 8) * 8 * (PER_CPU.includes(type) ? cpus : 1));
}

const mebibytes = (bytes: number) => `${(bytes / (1 << 20)).toFixed(1)} MiB`;

/** @param cpus that the host may have: maps per CPU have each value so often */
export function mapProblems(
  elf: ElfObject,
  btf: Btf,
  cpus: number,
  named: (name: string) => string,
): string[] {
  const maps = btf.variables(".maps").map(({ name, type }) => specOf(btf, named(name), btf.type(type)));
  const data = elf.sections
    .filter(({ name }) => /^\.(?:data|rodata|bss)(?:$|\.)/.test(name))
    .reduce((sum, { size }) => sum + size, 0);
  const sizes = maps.map((map) => bytesOf(map, cpus));
  const all = sizes.reduce((sum, size) => sum + size, data);
  const largest = maps[sizes.indexOf(Math.max(...sizes))];
  const problems: string[] = [];
  if (maps.length > MAP_LIMITS.count)
    problems.push(`it has ${maps.length} maps, and ${MAP_LIMITS.count} are the most: put several into one`);
  if (all > MAP_LIMITS.bytes)
    problems.push(
      `its maps have ${mebibytes(all)} (entries by key and value), and ${mebibytes(MAP_LIMITS.bytes)} are the most: ` +
        `lower max_entries${largest ? ` of ${largest.name}` : ""}`,
    );
  for (const { name, type, value, isPinned } of maps) {
    if (STORAGE.includes(type) && value > MAP_LIMITS.perObject)
      problems.push(
        `map ${name} keeps ${value} bytes of each socket, and ${MAP_LIMITS.perObject} are the most: make its value smaller`,
      );
    if (isPinned)
      problems.push(`map ${name} is pinned by its name, beside those of tcpx: leave 'pinning' out`);
  }
  return problems;
}
