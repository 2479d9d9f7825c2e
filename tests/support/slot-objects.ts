// SPDX-License-Identifier: MIT
// Extensions that tcpx does not ship, for tests: compiled here as their authors would, with tcpx_ext.h alone.
import { join, resolve } from "node:path";
import type { SlotDescription } from "../../cli/extensions/slots.ts";
import { run } from "../../scripts/lib/run.ts";

const ROOT = resolve(import.meta.dir, "../..");

/** What each of slots/NAME.bpf.c is, as an extension.toml will say it. */
export const DESCRIPTIONS = {
  pace: { id: 8, name: "pace" },
  grade: { id: 9, name: "grade", exchange: { askExid: 0x7d00, answerExid: 0x7d01, refused: 0xffff } },
  note: { id: 15, name: "note", words: 3, option: { kind: 77, least: 6, most: 6, onSynAck: "reply" } },
} satisfies Record<string, SlotDescription>;

export type SlotName = keyof typeof DESCRIPTIONS;
export const SLOT_NAMES = Object.keys(DESCRIPTIONS) as SlotName[];

/** Compiles a source into `dir`; the bytes of the object. @param flags such as -DNAME */
export async function compileSlot(dir: string, source: string, ...flags: string[]): Promise<Uint8Array> {
  const include = `/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
  const object = join(dir, `${Bun.hash(source + flags.join(" ")).toString(36)}.o`);
  const how = [
    "-g",
    "-O2",
    "-target",
    "bpf",
    "-mcpu=v3",
    "-Wall",
    "-Wextra",
    "-Wno-unused-parameter",
    "-Werror",
  ];
  const where = [`-I${join(ROOT, "embedded-bpf")}`, `-I${include}`];
  await run(["clang", ...how, ...flags, ...where, "-c", source, "-o", object]);
  return Bun.file(object).bytes();
}

export const slotSource = (name: string) => join(import.meta.dir, "slots", `${name}.bpf.c`);

/** every-1.bpf.c there, as it was compiled when version 1 of tcpx_ext.h came to be; only `llvm-strip -g` came after it. */
export const API_1_OBJECT = join(import.meta.dir, "api-1/every-1.bpf.o");
