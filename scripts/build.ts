#!/usr/bin/env bun
// SPDX-License-Identifier: MIT
// Builds dist/tcpx: BPF objects, bridge, generated layout, one executable with all of them inside.
// scripts/release.ts uses its parts for other targets.

import { existsSync } from "node:fs";
import { copyFile, mkdir, mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join, resolve } from "node:path";
import { buildBridge, libbpfSource } from "./build-bridge.ts";
import { cached } from "./lib/cache.ts";
import { generateLayout } from "./lib/layout.ts";
import { allLicences } from "./lib/licences.ts";
import { registryHeader, sockNames, sockObjects } from "./lib/registry.ts";
import { run } from "./lib/run.ts";
import { runtimeWithoutNames } from "./lib/runtime.ts";
import { sdkHeaders } from "./lib/sdk-headers.ts";
import { addStartCode } from "./lib/start-code.ts";
import { type Arch, hostArch } from "./lib/targets.ts";

const ROOT = resolve(import.meta.dir, "..");
const BPF = join(ROOT, "embedded-bpf");
const LAYOUT = "cli/layout/layout.generated.ts";
const WITH_SLOTS = ["tcpx-slots", "list-slots", "live-slots"];
const SHIPPED = ["tcpx", "ack", "list", "live", "probe", "site", ...WITH_SLOTS].map(
  (name) => `${name}.bpf.o`,
);
const OBJECTS = [...SHIPPED, "layout.bpf.o"];

/** The oldest verifiers and BTF readers that we load on understand -mcpu=v3 (5.1) and this BTF. */
const CLANG = ["clang", "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-Wall", "-Wextra", "-Werror"];
/** A hook need not look at all that it is given. */
CLANG.push("-Wno-unused-parameter");

/** What C is given of the registry of extensions. */
const REGISTRY = "embedded-bpf/extensions.generated.h";

/** What TypeScript is given of it. */
const SOCK_OBJECTS = "cli/bridge/sock-objects.generated.ts";

const registryLines = () => readFile(join(BPF, "extensions.def"), "utf8");
const hasSource = (path: string) => existsSync(join(BPF, path));

/** The texts that these files should hold for the present registry. */
export async function registryTexts(): Promise<Record<string, string>> {
  const lines = await registryLines();
  return {
    [REGISTRY]: registryHeader(lines, hasSource),
    [SOCK_OBJECTS]: sockObjects(lines, hasSource),
  };
}

/** Objects of extensions: programs of other types than sock_ops. */
const sockFiles = async () => sockNames(await registryLines(), hasSource).map((name) => `${name}_sock.bpf.o`);

/** Compiles embedded-bpf/*.bpf.c; returns the folder with the objects. */
export async function buildObjects(): Promise<string> {
  const all = await readdir(BPF, { recursive: true });
  const files = all.filter((f) => /\.[ch]$/.test(f) && !f.startsWith("samples/")).sort();
  const sources = files.map((f) => `file:${join(BPF, f)}`);
  const socks = await sockFiles();
  const version = (await run(["clang", "--version"])).split("\n")[0]!;
  const include = `/usr/include/${(await run(["gcc", "-print-multiarch"])).trim()}`;
  const recipe = [version, ...CLANG, include, ...files];
  return cached("bpf", [...recipe, ...sources], async (out) => {
    for (const name of [...OBJECTS, ...socks]) {
      const [file, object] = [name.replace(/o$/, "c"), join(out, name)];
      const source = socks.includes(name) ? `ext/${file}` : file;
      const flags = [`-I${include}`, `-ffile-prefix-map=${BPF}=.`, "-c", source, "-o", object];
      await run([...CLANG, ...flags], { cwd: BPF });
      await run(["llvm-strip", "-g", object]); // keeps BTF, drops DWARF with its paths
    }
  });
}

/** The text that layout.generated.ts should hold for the present header. */
export async function layoutText(objects: string): Promise<string> {
  const header = await readFile(join(BPF, "shared/rule.h"), "utf8");
  const version = Number(header.match(/#define TCPX_LAYOUT (\d+)/)?.[1]);
  return generateLayout(join(objects, "layout.bpf.o"), version);
}

async function writeIfChanged(path: string, text: string): Promise<void> {
  if ((await readFile(path, "utf8").catch(() => "")) !== text) await writeFile(path, text);
}

/** Everything but the executable: what cli/main.ts needs to run below `root`, a checkout or a copy of one. */
export async function buildParts(root = ROOT, arch: Arch = hostArch()): Promise<void> {
  const texts = await registryTexts();
  await writeIfChanged(join(ROOT, REGISTRY), texts[REGISTRY]!);
  await writeIfChanged(join(root, SOCK_OBJECTS), texts[SOCK_OBJECTS]!);
  const [objects, bridge] = [await buildObjects(), await buildBridge(arch)];
  const parts = join(root, "build");
  await mkdir(parts, { recursive: true });
  for (const object of [...SHIPPED, ...(await sockFiles())])
    await copyFile(join(objects, object), join(parts, object));
  await copyFile(bridge.so, join(parts, "libtcpx.so"));
  const licences = await allLicences(root, await readFile(bridge.licences, "utf8"));
  await writeIfChanged(join(parts, "licences.txt"), licences);
  await writeIfChanged(join(parts, "headers.txt"), await sdkHeaders(ROOT, await libbpfSource()));
  await writeIfChanged(join(root, LAYOUT), await layoutText(objects));
  const { version } = JSON.parse(await readFile(join(ROOT, "package.json"), "utf8"));
  const info = { version, bun: Bun.version, libraries: bridge.versions };
  await writeIfChanged(join(parts, "build.json"), `${JSON.stringify(info, null, 2)}\n`);
}

/** Another Bun than the one that runs this, which the executable is made of. */
export interface Runtime {
  /** As in `bun build --target`. */
  target: string;
  path: string;
}

/** Compiles cli/main.ts below `root` to the executable `to`, whose base name goes into the binary. */
export async function compile(root: string, to: string, runtime?: Runtime): Promise<void> {
  const flags = ["--compile", "--minify", "--bytecode", "--format=esm"];
  // Without these a root tool would run code from the .env and bunfig.toml of the current directory.
  flags.push("--no-compile-autoload-dotenv", "--no-compile-autoload-bunfig");
  if (runtime) flags.push(`--target=${runtime.target}`);
  flags.push(`--compile-executable-path=${await runtimeWithoutNames(runtime?.path ?? process.execPath)}`);
  await run([process.execPath, "build", ...flags, "cli/main.ts", "--outfile", to], { cwd: root });
  await addStartCode(to);
}

/** Puts the executable at `to` in one step, so a running one is never half replaced. */
async function compileHere(to: string): Promise<void> {
  const work = await mkdtemp(join(dirname(to), ".build-"));
  const made = join(work, basename(to));
  try {
    await compile(ROOT, made);
    await run([made, "version"]); // CJS bytecode once gave a binary that builds and dies
    await rename(made, to);
  } finally {
    await rm(work, { recursive: true, force: true });
  }
}

if (import.meta.main) {
  await buildParts();
  if (!process.argv.includes("--parts")) {
    await mkdir(join(ROOT, "dist"), { recursive: true });
    await compileHere(join(ROOT, "dist/tcpx"));
    await run([process.execPath, "scripts/man.ts"], { cwd: ROOT });
    console.log("dist/tcpx");
  }
}
