// SPDX-License-Identifier: MIT
// Whole programs of others that are damaged anywhere: each is refused in a line, or one that libbpf can open and close.
import { afterAll, expect } from "bun:test";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { bridge } from "../../cli/bridge/bridge.ts";
import { readElf } from "../../cli/objects/elf.ts";
import { readProgram } from "../../cli/programs/object.ts";
import { run } from "../../scripts/lib/run.ts";
import { withHeader } from "../support/damaged.ts";
import { hasTool, testIf } from "../support/requires.ts";

const ROOT = resolve(import.meta.dir, "../..");
const clang = hasTool("clang");
const dir = mkdtempSync(join(tmpdir(), "tcpx-programs-"));
afterAll(() => rmSync(dir, { recursive: true }));

async function compiled(name: string, ...flags: string[]): Promise<string> {
  const include = `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
  const object = join(dir, `${name}${flags.length}.o`);
  const source = join(ROOT, `tests/support/programs/${name}.bpf.c`);
  await run([
    "clang",
    "-g",
    "-O2",
    "-target",
    "bpf",
    "-mcpu=v3",
    ...flags,
    include,
    "-c",
    source,
    "-o",
    object,
  ]);
  return object;
}

/** In a process of its own: what goes wrong there may end it. */
const script = (objects: string[]) => `
  import { readFileSync } from "node:fs";
  import { TcpxError } from "${ROOT}/cli/base/errors.ts";
  import { bridge } from "${ROOT}/cli/bridge/bridge.ts";
  import { openBytes } from "${ROOT}/cli/bridge/open-object.ts";
  import { readProgram } from "${ROOT}/cli/programs/object.ts";
  import { damagedCopies, damagedHeaders } from "${ROOT}/tests/support/damaged.ts";
  const lib = await bridge();
  lib.tcpx_log_level(-1);
  const whole = ${JSON.stringify(objects)}.map((path) => readFileSync(path));
  let [taken, refused] = [0, 0];
  const tried = (bytes) => {
    try {
      const { bytes: own } = readProgram(lib, "x", new Uint8Array(bytes));
      taken++;
      const object = openBytes(lib, own, "program");
      lib.tcpx_program_pinned(object);
      lib.tcpx_object_close(object);
    } catch (error) {
      if (error instanceof TcpxError && error.message.includes("\\n")) throw error;
      if (!(error instanceof TcpxError) && error.name !== "Errno") throw error;
      refused++;
    }
  };
  for (const one of whole) tried(one);
  if (taken !== whole.length) throw new Error("refused what is sound");
  for (const bytes of damagedCopies(whole, 4000)) tried(bytes);
  for (const bytes of whole.flatMap((one) => [...damagedHeaders(one)])) tried(bytes);
  console.log(JSON.stringify({ taken, refused }));`;

testIf(clang.ok, clang.reason)(
  "cut off or changed anywhere, an object is refused or opened, and nothing else happens",
  async () => {
    const link = '-DSECTION=".struct_ops.link"';
    const objects = await Promise.all([compiled("count"), compiled("control"), compiled("control", link)]);
    const path = join(dir, "damage.ts");
    writeFileSync(path, script(objects));
    const child = Bun.spawn([process.execPath, path], { stdin: "ignore", stdout: "pipe", stderr: "inherit" });
    const [out, code] = [await child.stdout.text(), await child.exited];
    expect(code).toBe(0);
    const { taken, refused } = JSON.parse(out);
    expect(refused).toBeGreaterThan(1000);
    expect(taken).toBeGreaterThan(100);
  },
  60_000,
);

testIf(clang.ok, clang.reason)("sections are what their names say, and all of them is there", async () => {
  const lib = await bridge();
  const [SHT_NOTE, SHT_NOBITS] = [7, 8];
  const bytes = readFileSync(await compiled("count"));
  const { sections } = readElf(bytes);
  const at = (name: string) => sections.findIndex((section) => section.name === name);
  for (const [name, type] of [
    ["license", SHT_NOBITS],
    ["license", SHT_NOTE],
    [".maps", SHT_NOTE],
    [".relsockops", SHT_NOTE],
    [".rodata", SHT_NOTE],
  ] as const)
    expect(() => readProgram(lib, "x", withHeader(bytes, at(name), "type", type))).toThrow(
      "x has a section of the wrong type",
    );
  expect(() => readProgram(lib, "x", withHeader(bytes, at("license"), "align", 3))).toThrow("x is cut off");
});

testIf(clang.ok, clang.reason)(
  "the section of links is renamed, and nothing else of these letters",
  async () => {
    const lib = await bridge();
    const text = ".struct_ops.link";
    const bytes = readFileSync(await compiled("control", `-DSECTION="${text}"`, `-DTEXT="${text}"`));
    const count = (of: Uint8Array) => Buffer.from(of).toString("latin1").split(`${text}\0`).length - 1;
    const own = readProgram(lib, "x", bytes);
    expect(readElf(own.bytes).sections.map(({ name }) => name)).toEqual(
      readElf(bytes).sections.map(({ name }) => name.replace(text, ".struct_ops")),
    );
    expect(own.ops).toMatchObject({ variable: "control", algorithm: "tcpx_t_reno" });
    expect([count(bytes) > 1, count(own.bytes)]).toEqual([true, 1]); // the text of the program
  },
);
