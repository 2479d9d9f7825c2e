// SPDX-License-Identifier: MIT
// clang: which one, and one run of it. Whoever builds may be root, so it is a program that nobody else can replace,
// and it gets nothing of the caller's environment: CPATH and the like would change what is built.

import { mkdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { asset } from "../bridge/assets.ts";
import { childEnvironment, othersMayReplace, programOf } from "../system/child.ts";
import { workFolder } from "./work.ts";

/** Distributions may have one by its version only. */
const VERSIONS = Array.from({ length: 16 }, (_, i) => `clang-${27 - i}`);
const WARNINGS = ["-Wall", "-Wextra", "-Wno-unused-parameter"];
/**
 * -mcpu=v3: what the oldest kernels that we load on know. No headers of the host but the compiler's own: what is built
 * here is built the same elsewhere.
 */
const FLAGS = ["-target", "bpf", "-mcpu=v3", "-g", "-O2", "-ffreestanding", "-nostdlibinc"];
const LINES = ["-fno-color-diagnostics"];
/** An object that takes longer to compile is none that a verifier would look at. */
const PATIENCE_MS = 60_000;
/** Bytes of what clang says. */
const MOST_WORDS = 64 << 10;

/** The program. @param wanted as --clang names it @throws TcpxError */
export function findClang(wanted?: string): string {
  if (wanted === undefined) {
    const found = ["clang", ...VERSIONS].map(programOf).find((path) => path !== null);
    if (found) return found;
    throw new TcpxError(Exit.UNSUPPORTED, "the program 'clang' is missing", {
      value: "clang",
      hint: "install the package clang, or name one with --clang PATH",
    });
  }
  const path = resolve(wanted);
  const info = statSync(path, { throwIfNoEntry: false });
  if (!info?.isFile() || (info.mode & 0o111) === 0)
    throw usageError(`--clang ${wanted} is no program`, wanted, "give the path of an executable file");
  if (process.geteuid?.() === 0 && othersMayReplace(path)) {
    throw new TcpxError(Exit.FAILED, `others than root may replace ${wanted}, so root does not run it`, {
      value: wanted,
      hint: "`tcpx ext build` needs no root: run it as yourself",
    });
  }
  return path;
}

let headers: Promise<Record<string, string>> | undefined;

/** By the path that `#include` names. */
const sdkHeaders = (): Promise<Record<string, string>> => {
  headers ??= asset("headers").then((bytes) => JSON.parse(new TextDecoder().decode(bytes)));
  return headers;
};

async function writeHeaders(to: string): Promise<void> {
  for (const [path, text] of Object.entries(await sdkHeaders())) {
    const file = join(to, path);
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, text);
  }
}

export interface Compiled {
  object: Uint8Array;
  /** What clang has said, as lines: warnings. */
  said: string[];
}

/** What clang could not compile. Its own lines are not part of the message. */
export class CompileError extends TcpxError {
  constructor(
    source: string,
    why: string,
    readonly said: readonly string[],
  ) {
    super(Exit.FAILED, `${source} does not compile${why}`, { value: source });
  }
}

const linesOf = (text: string, work: string) =>
  text
    .replaceAll(`${work}/`, "")
    .split("\n")
    .filter((line) => line.trim() !== "");

/** Runs it in `dir`; its words and its exit code. */
async function runIn(dir: string, argv: string[]): Promise<{ text: string; code: number }> {
  const child = Bun.spawn(argv, {
    cwd: dir,
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "ignore",
    stderr: "pipe",
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  let text = "";
  const decoder = new TextDecoder();
  for await (const chunk of child.stderr)
    if (text.length < MOST_WORDS) text += decoder.decode(chunk, { stream: true });
  return { text: text.slice(0, MOST_WORDS), code: await child.exited };
}

/**
 * Compiles a source of a folder; the folder is only read.
 * @param source its name in there
 * @throws CompileError
 */
export async function compile(clang: string, dir: string, source: string): Promise<Compiled> {
  const work = workFolder("tcpx-build-");
  try {
    const [include, object] = [join(work, "include"), join(work, "object.o")];
    await writeHeaders(include);
    // the same bytes, wherever the folder is and whatever ours is called
    const maps = [`-ffile-prefix-map=${include}=include`, `-ffile-prefix-map=${resolve(dir)}=.`];
    const where = [`-fdebug-compilation-dir=.`, "-I.", `-isystem${include}`];
    const argv = [clang, ...FLAGS, ...WARNINGS, ...LINES, ...maps, ...where, "-c", source, "-o", object];
    const { text, code } = await runIn(dir, argv);
    const said = linesOf(text, include);
    if (code === 0) return { object: new Uint8Array(readFileSync(object)), said };
    const why = code > 128 || said.length === 0 ? `: clang ended with ${code}` : "";
    throw new CompileError(source, why, said);
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
