// SPDX-License-Identifier: MIT
// Compiles the C programs of the tests once per version of their sources.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { cached } from "../../scripts/lib/cache.ts";
import { run } from "../../scripts/lib/run.ts";
import { sharedHeaders } from "../../scripts/lib/shared-headers.ts";

/** Folders with the sources of one program each. */
const PROGRAMS = ["peer", "wire", "load", "loop", "congestion"] as const;
const FLAGS = ["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-pthread"];

/** What only some of them need. */
const LIBRARIES: Partial<Record<string, string[]>> = { congestion: ["-lbpf", "-lelf", "-lz"] };
/** A congestion control that `congestion` loads. */
const CONTROL = "fixed.bpf";
/** A sock_ops program of somebody else. */
const COUNT = "programs/count.bpf";
const CLANG = ["clang", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Werror"];

/** Where <asm/types.h> is. */
const bpfInclude = async () => `-I/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;

export type Support = Record<(typeof PROGRAMS)[number], string>;

let building: Promise<string> | undefined;

/** The folder with the test programs. They are static, so they run in a bare initrd too. */
export function supportFolder(): Promise<string> {
  building ??= build();
  return building;
}

/** The paths of the test programs. */
export async function buildSupport(): Promise<Support> {
  const dir = await supportFolder();
  return Object.fromEntries(PROGRAMS.map((name) => [name, join(dir, name)])) as Support;
}

async function build(): Promise<string> {
  const own = [...PROGRAMS.flatMap((name) => sources(name, /\.[ch]$/)), join(import.meta.dir, `${COUNT}.c`)];
  const files = own.map((path) => `file:${path}`);
  return cached("test-support", [...FLAGS, ...CLANG, ...PROGRAMS, CONTROL, ...files], async (out) => {
    const compile = (name: string) => {
      const units = sources(name, /^[^.]+\.c$/);
      return run([
        process.env.CC || "cc",
        ...FLAGS,
        "-o",
        join(out, name),
        ...units,
        ...(LIBRARIES[name] ?? []),
      ]);
    };
    const control = [join(import.meta.dir, "congestion", `${CONTROL}.c`), "-o", join(out, `${CONTROL}.o`)];
    const count = [join(import.meta.dir, `${COUNT}.c`), "-o", join(out, "count.bpf.o")];
    const objects = [control, count].map(async (which) =>
      run([...CLANG, await bpfInclude(), "-c", ...which]),
    );
    await Promise.all([...PROGRAMS.map(compile), ...objects]);
  });
}

/** A program with parts of the bridge inside; not one of the others: guests have no source of the bridge. */
async function buildWithBridge(name: string, parts: RegExp, libraries: string[] = []): Promise<string> {
  const bridge = ["../../native-loader", "../../native-loader/agent"];
  const files = [name, ...bridge].flatMap((dir) => sources(dir, dir === name ? /^[^.]+\.c$/ : parts));
  const read = [...files, ...(await sharedHeaders())].map((path) => `file:${path}`);
  const inputs = [...FLAGS, ...libraries, ...read];
  const folder = await cached(`test-${name}`, inputs, async (out) => {
    const units = files.filter((path) => path.endsWith(".c"));
    await run([process.env.CC || "cc", ...FLAGS, "-o", join(out, name), ...units, ...libraries]);
  });
  return join(folder, name);
}

/** The program of tests/support/routes. */
export const buildRoutes = () => buildWithBridge("routes", /^(routes?|netlink|guard)\b.*\.[ch]$/);

/** The program of tests/support/kernel-btf. */
export const buildKernelBtf = () =>
  buildWithBridge("kernel-btf", /^(kernel-btf|core-roots)\.[ch]$/, ["-lbpf", "-lelf", "-lz"]);

async function buildLibrary(name: string): Promise<string> {
  const source = join(import.meta.dir, name, `${name}.c`);
  const flags = ["-O1", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"];
  const folder = await cached(`test-${name}`, [...flags, `file:${source}`], async (out) => {
    await run([process.env.CC || "cc", ...flags, "-o", join(out, `${name}.so`), source]);
  });
  return join(folder, `${name}.so`);
}

/** The library of tests/support/asked. */
export const buildAsked = () => buildLibrary("asked");

/** The library of tests/support/hidden. */
export const buildHidden = () => buildLibrary("hidden");

/** The object of tests/support/kernel-btf. */
export async function fieldsObject(): Promise<string> {
  const source = join(import.meta.dir, "kernel-btf/fields.bpf.c");
  const folder = await cached("test-fields", [...CLANG, `file:${source}`], async (out) => {
    await run([...CLANG, await bpfInclude(), "-c", source, "-o", join(out, "fields.bpf.o")]);
  });
  return join(folder, "fields.bpf.o");
}

/** That of tests/support/programs, with a sock_ops program. */
export const countObject = async () => join(await supportFolder(), "count.bpf.o");

/** The object of tests/support/congestion. */
export const controlObject = async () => join(await supportFolder(), `${CONTROL}.o`);

function sources(name: string, kind: RegExp): string[] {
  const dir = join(import.meta.dir, name);
  const files = readdirSync(dir).filter((file) => kind.test(file));
  return files.sort().map((file) => join(dir, file));
}
