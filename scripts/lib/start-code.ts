// SPDX-License-Identifier: MIT
// Makes native-loader/start/ the first code of an executable: it says why the runtime would die, and goes on to it. The note
// with the build's id, which nothing reads, gives its place among the program headers to one more segment.

import { open, readdir, readFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { cached } from "./cache.ts";
import { run } from "./run.ts";
import { type Arch, hostArch } from "./targets.ts";

const FOLDER = resolve(import.meta.dir, "../../native-loader/start");
const FLAGS = [
  ...[
    "-Os",
    "-g0",
    "-std=gnu11",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-ffreestanding",
    "-fPIE",
    "-fvisibility=hidden",
  ],
  ...["-fno-stack-protector", "-fno-asynchronous-unwind-tables", "-fcf-protection=none", "-fno-jump-tables"],
  // nothing that would be filled or copied by a C library's function
  ...["-fno-tree-loop-distribute-patterns", "-mgeneral-regs-only"],
];
const LINK = ["-nostdlib", "-static", "-no-pie", "-Wl,--build-id=none", "-Wl,-z,noexecstack"];

/** struct tcpx_start_head, and where in it the build writes. */
const HEAD = { magic: "tcpx start code\0", runtime: 16, started: 24, size: 32 };
/** sizeof(struct tcpx_started), and its alignment. */
const STARTED = { size: 32, align: 16 };

/** Of a program header: type, flags and the rest that is used here. */
const PHDR = {
  size: 56,
  type: 0,
  flags: 4,
  offset: 8,
  vaddr: 16,
  paddr: 24,
  filesz: 32,
  memsz: 40,
  align: 48,
};
const PT = { load: 1, note: 4 };
const [READ, WRITE, EXECUTE] = [4, 2, 1];
const EM: Record<number, Arch> = { 62: "x64", 183: "arm64" };

const compiler = (arch: Arch) =>
  arch === hostArch() ? "gcc" : `${arch === "arm64" ? "aarch64" : "x86_64"}-linux-gnu-gcc`;

/** Where it is linked for: the same bytes at both mean that it runs at any page. */
const BASES = ["0x10000", "0x40000000"];

const up = (value: bigint, to: bigint) => ((value + to - 1n) / to) * to;

interface Segment {
  bytes: Buffer;
  at: (field: keyof typeof PHDR) => bigint;
}

function segmentsOf(head: Buffer): Segment[] {
  const [from, count] = [Number(head.readBigUInt64LE(32)), head.readUInt16LE(56)];
  return Array.from({ length: count }, (_, i) => {
    const bytes = Buffer.from(head.subarray(from + i * PHDR.size, from + (i + 1) * PHDR.size));
    const at = (field: keyof typeof PHDR) =>
      field === "type" || field === "flags"
        ? BigInt(bytes.readUInt32LE(PHDR[field]))
        : bytes.readBigUInt64LE(PHDR[field]);
    return { bytes, at };
  });
}

/** The bytes of the only segment. */
function block(elf: Buffer): Buffer {
  const [segment, ...more] = segmentsOf(elf).filter((one) => one.at("type") === BigInt(PT.load));
  if (!segment || more.length > 0) throw new Error("native-loader/start/ is not one block");
  const from = Number(segment.at("offset"));
  return elf.subarray(from, from + Number(segment.at("filesz")));
}

/** The code as a block of bytes that runs at any page. */
export async function startCode(arch: Arch): Promise<Buffer> {
  const files = (await readdir(FOLDER)).sort();
  const sources = files.filter((name) => name.endsWith(".c"));
  const inputs = files.map((name) => `file:${join(FOLDER, name)}`);
  const cc = compiler(arch);
  const flags = FLAGS.filter((flag) => arch === "x64" || flag !== "-fcf-protection=none");
  const recipe = [arch, await run([cc, "--version"]), ...flags, ...LINK];
  const folder = await cached("start-code", [...recipe, ...inputs], async (out) => {
    for (const base of BASES) {
      const link = [...LINK, `-Wl,--defsym=BASE=${base}`, "-Wl,-T,start.ld"];
      await run([cc, ...flags, ...link, "-o", join(out, base), ...sources], { cwd: FOLDER });
    }
  });
  const linked = BASES.map(async (base) => block(await readFile(join(folder, base))));
  const [code, elsewhere] = await Promise.all(linked);
  if (!code!.equals(elsewhere!)) throw new Error("native-loader/start/ depends on where it is loaded");
  if (code!.toString("latin1", 0, HEAD.magic.length) !== HEAD.magic)
    throw new Error("native-loader/start/ has no head");
  return code!;
}

/** What is written where: `code` at `offset`, `head` at 0. */
interface Plan {
  head: Buffer;
  code: Buffer;
  offset: number;
}

/**
 * @param head the file's first page
 * @throws Error for an executable that is built in another way
 */
export function plan(head: Buffer, size: number, code: Buffer): Plan {
  const problem = (what: string) => new Error(`the executable is not of the form that is known: ${what}`);
  if (head.toString("latin1", 0, 4) !== "\x7fELF" || head.readUInt16LE(16) !== 2)
    throw problem("no ELF at a fixed address");
  const segments = segmentsOf(head);
  const note = segments.findIndex((one) => one.at("type") === BigInt(PT.note));
  const last = segments.findLastIndex((one) => one.at("type") === BigInt(PT.load));
  const data = segments[last];
  if (note < last || !data) throw problem("no note behind its segments");
  if (data.at("flags") !== BigInt(READ | WRITE)) throw problem("the last segment is not of data");
  const align = data.at("align");
  const started = up(data.at("vaddr") + data.at("memsz"), BigInt(STARTED.align));
  const vaddr = up(started + BigInt(STARTED.size), align);
  const offset = up(BigInt(size), align);
  data.bytes.writeBigUInt64LE(started + BigInt(STARTED.size) - data.at("vaddr"), PHDR.memsz);
  const added = Buffer.alloc(PHDR.size);
  added.writeUInt32LE(PT.load, PHDR.type);
  added.writeUInt32LE(READ | EXECUTE, PHDR.flags);
  for (const [field, value] of Object.entries({ offset, vaddr, paddr: vaddr, align })) {
    added.writeBigUInt64LE(value, PHDR[field as keyof typeof PHDR]);
  }
  for (const field of [PHDR.filesz, PHDR.memsz]) added.writeBigUInt64LE(BigInt(code.length), field);
  const bytes = segments.map((one) => one.bytes).filter((_, i) => i !== note);
  const patched = Buffer.from(head);
  Buffer.concat(bytes.toSpliced(last + 1, 0, added)).copy(patched, Number(head.readBigUInt64LE(32)));
  const own = Buffer.from(code);
  own.writeBigUInt64LE(head.readBigUInt64LE(24), HEAD.runtime);
  own.writeBigUInt64LE(started, HEAD.started);
  patched.writeBigUInt64LE(vaddr + BigInt(HEAD.size), 24);
  return { head: patched, code: own, offset: Number(offset) };
}

/** Puts the code into an executable that `bun build --compile` has made. */
export async function addStartCode(executable: string): Promise<void> {
  const file = await open(executable, "r+");
  try {
    const head = Buffer.alloc(4096);
    await file.read(head, 0, head.length, 0);
    const arch = EM[head.readUInt16LE(18)];
    if (arch === undefined) throw new Error(`${executable} is for another CPU`);
    const made = plan(head, (await file.stat()).size, await startCode(arch));
    await file.write(made.code, 0, made.code.length, made.offset);
    await file.write(made.head, 0, made.head.length, 0);
  } finally {
    await file.close();
  }
}
