// SPDX-License-Identifier: MIT
// What functions of an object call, with the constants that they call it with: as far as one can see without running
// them. Each function alone is followed along its branches; what comes from memory or from a caller is not known.

import { type ElfObject, type ElfSymbol, ObjectError, Reader, type Section, STT_FUNC } from "./elf.ts";

/** What is known of a register: a constant, where it is from, or nothing. */
export type Known = number | "ctx" | "op" | "flags" | undefined;

/** A call of the kernel's, as one way leads there. */
export interface HelperCall {
  section: Section;
  /** Bytes from the begin of the section. */
  at: number;
  helper: number;
  /** r0 to r10. */
  registers: readonly Known[];
}

export interface Code {
  name: string;
  section: Section;
  at: number;
  calls: readonly HelperCall[];
  /** By section and place, as `keyOf` has it. */
  callees: ReadonlySet<string>;
  /** Constants that ctx->op is compared with. */
  ops: ReadonlySet<number>;
}

export const keyOf = ({ section, at }: Pick<Code, "section" | "at">): string => `${section.index}:${at}`;

/** Steps of all functions together, and of ways that are told apart at a place. */
const [STEPS_MOST, WAYS_MOST] = [400_000, 8];
const Class = { LD: 0, LDX: 1, STX: 3, ALU32: 4, JMP: 5, JMP32: 6, ALU64: 7 };
const [LDDW, LDX_WORD, CALL, EXIT, JA, JA_LONG] = [0x18, 0x61, 0x85, 0x95, 0x05, 0x06];
const [FUNCTION, PSEUDO_CALL] = [4, 1];
/** struct bpf_sock_ops */
const FIELDS: Record<number, Known> = { 0: "op", 84: "flags" };

interface Instruction {
  op: number;
  dst: number;
  src: number;
  off: number;
  imm: number;
}

type Registers = readonly Known[];

const compute: Record<number, (a: number, b: number) => number> = {
  0: (a, b) => (a + b) | 0,
  64: (a, b) => a | b,
  80: (a, b) => a & b,
  160: (a, b) => a ^ b,
};

/** What an instruction of arithmetic leaves. */
function arithmetic({ op, off, imm }: Instruction, before: Known, from: Known): Known {
  const [code, value] = [op & 0xf0, op & 8 ? from : imm];
  if (code === 0xb0) return off === 0 ? value : undefined;
  if (code === 0x80 || code === 0xd0) return undefined;
  if (typeof before === "number" && typeof value === "number") return compute[code]?.(before, value);
  return before === "flags" || value === "flags" ? "flags" : undefined;
}

const same = (a: Registers, b: Registers) => a.every((value, i) => value === b[i]);

/** One function, followed from its begin. */
class Walk {
  readonly calls: HelperCall[] = [];
  readonly callees = new Set<string>();
  readonly ops = new Set<number>();
  private readonly ways = new Map<number, Registers[]>();
  private readonly queue: { at: number; registers: Registers }[] = [];
  private readonly code: Reader;

  constructor(
    private readonly section: Section,
    private readonly relocations: ReadonlyMap<number, ElfSymbol> | undefined,
    private readonly targets: ReadonlySet<number>,
  ) {
    this.code = new Reader(section.bytes);
  }

  /** @returns steps that it took; as many as `most` where it did not come to an end */
  run(entry: number, most: number): number {
    this.enter(
      entry,
      Array.from({ length: 16 }, (_, i) => (i === 1 ? "ctx" : undefined)),
    );
    let steps = 0;
    for (let next = this.queue.pop(); next; next = this.queue.pop()) {
      let [at, registers] = [next.at, [...next.registers]];
      while (steps++ < most) {
        const to = this.step(at, registers);
        if (to === undefined) break;
        at = to;
        if (!this.targets.has(at)) continue;
        this.enter(at, registers);
        break;
      }
      if (steps >= most) return most;
    }
    return steps;
  }

  private enter(at: number, registers: Registers): void {
    if (at < 0 || at + 8 > this.section.bytes.length) return;
    const ways = this.ways.get(at) ?? [];
    this.ways.set(at, ways);
    if (ways.some((way) => same(way, registers))) return;
    const last = ways[WAYS_MOST];
    const now =
      ways.length < WAYS_MOST ? registers : registers.map((value, i) => this.joined(value, last, i));
    if (last && same(last, now)) return;
    ways[Math.min(ways.length, WAYS_MOST)] = [...now];
    this.queue.push({ at, registers: [...now] });
  }

  private joined = (value: Known, last: Registers | undefined, i: number): Known =>
    last === undefined || last[i] === value ? value : undefined;

  private read(at: number): Instruction {
    const registers = this.code.u8(at + 1);
    const [off, imm] = [this.code.i16(at + 2), this.code.i32(at + 4)];
    return { op: this.code.u8(at), dst: registers & 15, src: registers >> 4, off, imm };
  }

  /** @returns where it goes on; undefined: nowhere, or where `enter` was told */
  private step(at: number, r: Known[]): number | undefined {
    if (at < 0 || at + 8 > this.section.bytes.length) return undefined;
    const i = this.read(at);
    const kind = i.op & 7;
    if (kind === Class.ALU32 || kind === Class.ALU64) r[i.dst] = arithmetic(i, r[i.dst], r[i.src]);
    else if (kind === Class.LDX)
      r[i.dst] = i.op === LDX_WORD && r[i.src] === "ctx" ? FIELDS[i.off] : undefined;
    else if (kind === Class.STX && i.op >> 6 === 3) r[0] = r[i.src] = undefined;
    else if (i.op === LDDW) return this.constant(at, i, r);
    else if (kind === Class.LD) r.fill(undefined, 0, 6);
    else if (kind === Class.JMP || kind === Class.JMP32) return this.jump(at, i, r);
    return at + 8;
  }

  private constant(at: number, { dst, src, imm }: Instruction, r: Known[]): number {
    const symbol = this.relocations?.get(at);
    const isFunction = src === FUNCTION || symbol?.type === STT_FUNC;
    if (isFunction) this.calls_(at, imm, symbol);
    r[dst] = symbol || src !== 0 ? undefined : imm;
    return at + 16;
  }

  private calls_(at: number, imm: number, symbol: ElfSymbol | undefined): void {
    const section = symbol?.section ?? this.section.index;
    if (section !== 0) this.callees.add(`${section}:${(symbol ? symbol.value : at) + (imm + 1) * 8}`);
  }

  private jump(at: number, i: Instruction, r: Known[]): number | undefined {
    if (i.op === EXIT) return undefined;
    if (i.op === CALL) {
      if (i.src === PSEUDO_CALL) this.calls_(at, i.imm, this.relocations?.get(at));
      if (i.src === 0) this.calls.push({ section: this.section, at, helper: i.imm, registers: [...r] });
      r.fill(undefined, 0, 6);
      return at + 8;
    }
    const to = at + 8 + (i.op === JA_LONG ? i.imm : i.off) * 8;
    if (i.op === JA || i.op === JA_LONG) return to;
    this.compared(i, r);
    this.enter(to, r);
    return at + 8;
  }

  /** Only what is for one operation: others are bounds of a search in all of them. */
  private compared({ op, dst, src, imm }: Instruction, r: Registers): void {
    const isEqual = (op & 0xf0) === 0x10 || (op & 0xf0) === 0x50;
    const [a, b] = [r[dst], op & 8 ? r[src] : imm];
    if (isEqual && a === "op" && typeof b === "number") this.ops.add(b);
    if (isEqual && b === "op" && typeof a === "number") this.ops.add(a);
  }
}

/** Where jumps lead to. */
function targetsOf({ bytes }: Section): Set<number> {
  const [code, targets] = [new Reader(bytes), new Set<number>()];
  for (let at = 0; at + 8 <= bytes.length; at += 8) {
    const op = code.u8(at);
    const isJump = (op & 7) === Class.JMP || (op & 7) === Class.JMP32;
    if (!isJump || op === CALL || op === EXIT) continue;
    targets.add(at + 8 + (op === JA_LONG ? code.i32(at + 4) : code.i16(at + 2)) * 8);
  }
  return targets;
}

/**
 * Functions of an object, and what each of them calls.
 * @throws ObjectError for what is damaged, or more than can be looked at
 */
export function codeOf({ sections, symbols, relocations }: ElfObject): Code[] {
  const code = new Map(sections.filter((section) => section.code).map((section) => [section.index, section]));
  let left = STEPS_MOST;
  if ([...code.values()].reduce((sum, { size }) => sum + size, 0) / 8 > STEPS_MOST)
    throw new ObjectError("has more code than can be looked at");
  const targets = new Map([...code].map(([index, section]) => [index, targetsOf(section)]));
  const done = new Set<string>();
  return symbols.flatMap(({ name, section: index, value: at, type }) => {
    const section = code.get(index);
    if (type !== STT_FUNC || !section || at % 8 || done.has(`${index}:${at}`)) return [];
    done.add(`${index}:${at}`);
    const walk = new Walk(section, relocations.get(index), targets.get(index)!);
    left -= walk.run(at, left);
    if (left <= 0) throw new ObjectError("has more code than can be looked at");
    return { name, section, at, calls: walk.calls, callees: walk.callees, ops: walk.ops };
  });
}
