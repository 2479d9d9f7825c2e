#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Builds the bridge: native-loader/*.c and agent/*.c below it, with libbpf, libelf and zlib inside, one shared object
// per CPU architecture that needs no library and binds to whatever C library Bun has loaded.

import { mkdir, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { availableParallelism, tmpdir } from "node:os";
import { basename, join, resolve } from "node:path";
import { type Library, licenceText } from "./lib/bridge-licences.ts";
import { cached } from "./lib/cache.ts";
import { distroSources } from "./lib/distro-sources.ts";
import { parallel, run } from "./lib/run.ts";
import { sharedHeaders } from "./lib/shared-headers.ts";
import { type Arch, hostArch } from "./lib/targets.ts";

export interface Bridge {
  /** The shared object. */
  so: string;
  /** The source packages inside it, with their exact versions. */
  versions: Record<Library, string>;
  /** A text file with the notices and licences of what is inside. */
  licences: string;
}

const NATIVE = resolve(import.meta.dir, "../native-loader");
/** What the rest does without. */
const AGENT = join(NATIVE, "agent");
const LIBRARIES: Library[] = ["libbpf", "elfutils", "zlib"];
const ZLIB =
  "adler32 crc32 deflate inflate inffast inftrees trees zutil gzclose gzlib gzread gzwrite compress uncompr";

/** What elfutils' configure would have found out, as far as libelf asks. */
const ELFUTILS_CONFIG = [
  "DEFAULT_AR_DETERMINISTIC false",
  "HAVE_DECL_MEMPCPY 1",
  "HAVE_DECL_MEMRCHR 1",
  "HAVE_DECL_POWEROF2 1",
  "HAVE_DECL_RAWMEMCHR 1",
  "HAVE_DECL_REALLOCARRAY 1",
  "HAVE_ERR_H 1",
  "HAVE_FALLTHROUGH 1",
  "HAVE_VISIBILITY 1",
  'PACKAGE "elfutils"',
  "SIZEOF_LONG 8",
  "STDC_HEADERS 1",
  "USE_ZLIB 1",
];

const COMMON = [
  ...["-Os", "-g0", "-fPIC", "-fvisibility=hidden", "-ffunction-sections", "-fdata-sections"],
  // No fortified names (__memcpy_chk): musl has none. Both libcs have the stack protector's.
  ...["-U_FORTIFY_SOURCE", "-D_FORTIFY_SOURCE=0", "-fstack-protector-strong"],
  ...["-fno-asynchronous-unwind-tables", "-fmerge-all-constants"],
];

const TARGET: Record<Arch, { triple: string; compile: string[]; link: string[] }> = {
  x64: { triple: "x86_64-linux-gnu", compile: [], link: [] },
  // Outlined atomics call into libgcc, which is not there; pages may be of 64 KiB.
  arm64: {
    triple: "aarch64-linux-gnu",
    compile: ["-mno-outline-atomics"],
    link: ["-Wl,-z,max-page-size=65536"],
  },
};

interface Tools {
  cc: string;
  nm: string;
  readelf: string;
}

function toolsFor(arch: Arch): Tools {
  const prefix = arch === hostArch() ? "" : `${TARGET[arch].triple}-`;
  return { cc: `${prefix}gcc`, nm: `${prefix}nm`, readelf: `${prefix}readelf` };
}

/** Every library's folder of unpacked source. */
async function locate(sources: string): Promise<Record<Library, string>> {
  const entries = await readdir(sources, { withFileTypes: true });
  const find = (name: Library) => {
    const entry = entries.find((e) => e.isDirectory() && e.name.startsWith(`${name}-`));
    if (!entry) throw new Error(`no source of ${name} in ${sources}`);
    return join(sources, entry.name);
  };
  return { libbpf: find("libbpf"), elfutils: find("elfutils"), zlib: find("zlib") };
}

async function packageVersions(sources: string): Promise<Record<Library, string>> {
  const versions = { libbpf: "", elfutils: "", zlib: "" };
  const files = await readdir(sources);
  for (const name of LIBRARIES) {
    const dsc = files.find((file) => file.startsWith(`${name}_`) && file.endsWith(".dsc"));
    const text = dsc ? await readFile(join(sources, dsc), "utf8") : "";
    versions[name] = text.match(/^Version: (\S+)$/m)?.[1] ?? "unknown";
  }
  return versions;
}

async function requireLibbpf(dir: string, version: string): Promise<void> {
  const header = await readFile(join(dir, "src/libbpf_version.h"), "utf8").catch(() => "");
  const number = (key: string) => Number(header.match(new RegExp(`LIBBPF_${key}_VERSION (\\d+)`))?.[1] ?? 0);
  if (number("MAJOR") > 1 || (number("MAJOR") === 1 && number("MINOR") >= 1)) return;
  throw new Error(
    `libbpf ${version} of this distribution is too old: the bridge needs 1.1, build on Debian 12 or Ubuntu 24.04 or newer`,
  );
}

/** The value of an automake variable, continuation lines included. */
function makeWords(makefile: string, name: string): string[] {
  const value = makefile.match(new RegExp(`^${name} *=((?:.*\\\\\n)*.*)`, "m"))?.[1] ?? "";
  return value.replaceAll("\\\n", " ").split(/\s+/).filter(Boolean);
}

interface Unit {
  source: string;
  object: string;
  flags: string[];
  /** Is it the agent's? */
  agent: boolean;
}

/** What to compile, and how. `work` gets the few headers that are made, not found. */
async function compilePlan(dirs: Record<Library, string>, work: string): Promise<Unit[]> {
  const { libbpf, elfutils, zlib } = dirs;
  const config = [...ELFUTILS_CONFIG, `PACKAGE_VERSION "${basename(elfutils)}"`];
  const lines = config.map((line) => `#define ${line}\n`).join("");
  await mkdir(join(work, "config"));
  await writeFile(join(work, "config/config.h"), `${lines}#include <eu-config.h>\n`);
  await mkdir(join(work, "include"));
  await symlink(join(libbpf, "src"), join(work, "include/bpf"));

  const uapi = [`-I${libbpf}/include`, `-I${libbpf}/include/uapi`];
  const elf = ["-w", "-DHAVE_CONFIG_H", "-D_GNU_SOURCE", "-std=gnu99", `-I${work}/config`];
  elf.push(`-I${elfutils}/lib`, `-I${elfutils}/libelf`, `-I${zlib}`);
  const z = ["-w", "-DHAVE_UNISTD_H", "-DHAVE_HIDDEN", "-D_DEFAULT_SOURCE", `-I${zlib}`];
  const bpf = ["-w", "-D_GNU_SOURCE", ...uapi, `-I${elfutils}/libelf`, `-I${zlib}`];
  const own = ["-Wall", "-Wextra", "-Werror", "-std=gnu11", `-I${work}/include`, `-I${libbpf}/include/uapi`];
  own.push(`-I${elfutils}/libelf`);

  const units: Unit[] = [];
  const add = (group: string, dir: string, files: string[], flags: string[]) => {
    for (const file of files) {
      units.push({
        source: join(dir, file),
        object: join(work, `${group}-${basename(file, ".c")}.o`),
        flags,
        agent: dir === AGENT,
      });
    }
  };
  const c = (file: string) => file.endsWith(".c");
  const libelf = makeWords(await readFile(join(elfutils, "libelf/Makefile.am"), "utf8"), "libelf_a_SOURCES");
  add("elf", join(elfutils, "libelf"), libelf.filter(c), elf);
  add("bpf", join(libbpf, "src"), (await readdir(join(libbpf, "src"))).filter(c).sort(), bpf);
  // Thread-safe search trees, in the versions of elfutils that have them.
  add(
    "eu",
    join(elfutils, "lib"),
    (await readdir(join(elfutils, "lib"))).filter((f) => f === "eu-search.c"),
    elf,
  );
  add(
    "z",
    zlib,
    ZLIB.split(" ").map((file) => `${file}.c`),
    z,
  );
  for (const [group, dir] of [
    ["own", NATIVE],
    ["agent", AGENT],
  ] as const)
    add(group, dir, (await readdir(dir)).filter(c).sort(), own);
  return units;
}

/** Names that are taken from the C library, by the folder of what takes them. */
async function allowedSymbols(dirs: readonly string[]): Promise<Set<string>> {
  const texts = await Promise.all(dirs.map((dir) => readFile(join(dir, "undefined-symbols.txt"), "utf8")));
  return new Set(texts.flatMap((text) => text.split("\n").filter((line) => line && !line.startsWith("#"))));
}

/** A shared object without a C library must not depend on one by accident, nor the rest on the agent. */
async function verify(so: string, tools: Tools, dirs: readonly string[]): Promise<void> {
  const allowed = await allowedSymbols(dirs);
  const nm = await run([tools.nm, "-D", "--undefined-only", "--format=posix", so]);
  const strange = nm
    .split("\n")
    .filter(Boolean)
    .map((line) => line.split(" ")[0]!)
    .filter((s) => !allowed.has(s));
  if (strange.length > 0) {
    throw new Error(
      `${basename(so)} uses symbols outside the undefined-symbols.txt of ${dirs.map((dir) => basename(dir)).join(" and ")}: ${strange.join(" ")}`,
    );
  }
  const dynamic = await run([tools.readelf, "-dW", so]);
  const needed = dynamic.split("\n").filter((line) => /\((NEEDED|VERNEED|TEXTREL)\)/.test(line));
  if (needed.length > 0) throw new Error(`the bridge must stand alone, but has:\n${needed.join("\n")}`);
}

async function compileAndLink(arch: Arch, dirs: Record<Library, string>, so: string): Promise<void> {
  const tools = toolsFor(arch);
  const work = await mkdtemp(join(tmpdir(), "tcpx-bridge-"));
  try {
    const prefixes = [`${work}=.`, `${NATIVE}=native-loader`, ...LIBRARIES.map((l) => `${dirs[l]}=${l}`)];
    const common = [...COMMON, ...TARGET[arch].compile, ...prefixes.map((p) => `-ffile-prefix-map=${p}`)];
    const units = await compilePlan(dirs, work);
    const compile = (u: Unit) => run([tools.cc, ...common, ...u.flags, "-c", u.source, "-o", u.object]);
    await parallel(
      units.map((unit) => () => compile(unit)),
      Math.max(2, availableParallelism()),
    );
    const link = ["-shared", "-nostdlib", "-Wl,--gc-sections", "-Wl,-z,now", "-Wl,-z,noexecstack"];
    link.push("-Wl,--build-id=none", "-Wl,-soname,libtcpx.so", "-Wl,-s", ...TARGET[arch].link);
    link.push("-Wl,--wrap=bpf_prog_load"); // load-once.c
    link.push(`-Wl,--version-script=${join(NATIVE, "bridge.map")}`);
    const make = async (to: string, parts: readonly Unit[], dirs: readonly string[]) => {
      await run([tools.cc, ...link, "-o", to, ...parts.map((unit) => unit.object)]);
      await verify(to, tools, dirs);
    };
    await make(
      join(work, "libtcpx-without-agent.so"),
      units.filter((unit) => !unit.agent),
      [NATIVE],
    );
    await make(so, units, [NATIVE, AGENT]);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

const librarySources = () => distroSources("bridge-sources", LIBRARIES);

/** Where libbpf's source package is unpacked. */
export const libbpfSource = async (): Promise<string> => (await locate(await librarySources())).libbpf;

export async function buildBridge(arch: Arch = hostArch()): Promise<Bridge> {
  const sources = await librarySources();
  const dirs = await locate(sources);
  const versions = await packageVersions(sources);
  await requireLibbpf(dirs.libbpf, versions.libbpf);
  const entries = await readdir(NATIVE, { withFileTypes: true, recursive: true });
  const own = entries
    .filter((entry) => entry.isFile())
    .map((entry) => `file:${join(entry.parentPath, entry.name)}`)
    .sort();
  own.push(...(await sharedHeaders()).map((path) => `file:${path}`));
  const compiler = await run([toolsFor(arch).cc, "--version"]);
  const inputs = [arch, compiler, JSON.stringify(versions), `file:${import.meta.path}`, ...own];
  const folder = await cached(`bridge-${arch}`, inputs, async (out) => {
    await compileAndLink(arch, dirs, join(out, "libtcpx.so"));
    await writeFile(join(out, "versions.json"), `${JSON.stringify(versions, null, 2)}\n`);
    await writeFile(join(out, "LICENCES.txt"), await licenceText(dirs, versions));
  });
  return { so: join(folder, "libtcpx.so"), versions, licences: join(folder, "LICENCES.txt") };
}

if (import.meta.main) {
  const arch = process.argv[2] ?? hostArch();
  if (arch !== "x64" && arch !== "arm64") throw new Error(`usage: build-bridge.ts [x64|arm64], not ${arch}`);
  console.log((await buildBridge(arch)).so);
}
