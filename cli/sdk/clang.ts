// SPDX-License-Identifier: MIT
// clang: which one, and one run of it. Whoever builds may be root, so it is a program that nobody else can replace,
// and it gets nothing of the caller's environment: CPATH and the like would change what is built.

import { chmodSync, mkdirSync, rmSync, statSync, writeFileSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { meant } from "../base/did-you-mean.ts";
import { Exit, TcpxError, usageError } from "../base/errors.ts";
import { asset } from "../bridge/assets.ts";
import { childEnvironment, othersMayReplace, programOf } from "../system/child.ts";
import type { Folder } from "./folder.ts";
import type { User } from "./own.ts";
import { workFolder } from "./work.ts";

/** Distributions may have one by its version only. */
const VERSIONS = Array.from({ length: 16 }, (_, i) => `clang-${27 - i}`);
const WARNINGS = ["-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror=implicit-function-declaration"];
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
/** Bytes of an object: more than a package may have. */
const MOST_OBJECT = 16 << 20;

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
    hint?: string,
  ) {
    super(Exit.FAILED, `${source} does not compile${why}`, {
      value: source,
      ...(hint !== undefined && { hint }),
    });
  }
}

const linesOf = (text: string, work: string) =>
  text
    .replaceAll(`${work}/`, "")
    .split("\n")
    .filter((line) => line.trim() !== "");

/** What runs a command as somebody else, who gains nothing by it. */
function as({ uid, gid }: User): string[] {
  const program = programOf("setpriv");
  if (program) return [program, `--reuid=${uid}`, `--regid=${gid}`, "--clear-groups", "--no-new-privs", "--"];
  throw new TcpxError(Exit.UNSUPPORTED, "the program 'setpriv' is missing", {
    value: "setpriv",
    hint: "install the package util-linux, or build as yourself: `tcpx ext build` needs no root",
  });
}

/** The bytes of a stream; what is behind `most` is dropped. */
async function atMost(stream: ReadableStream<Uint8Array>, most: number): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of stream) {
    if (size < most) chunks.push(chunk);
    size += chunk.length;
  }
  return new Uint8Array(Buffer.concat(chunks).subarray(0, most));
}

interface Ran {
  object: Uint8Array;
  text: string;
  code: number;
}

/** Runs it in the folder, as its owner: it quotes lines of what it reads, and so reads what that one may. */
async function runIn({ path, owner }: Pick<Folder, "path" | "owner">, argv: string[]): Promise<Ran> {
  const child = Bun.spawn([...(owner ? as(owner) : []), ...argv], {
    cwd: path,
    env: childEnvironment(),
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout: PATIENCE_MS,
    killSignal: "SIGKILL",
  });
  const [object, words] = await Promise.all([
    atMost(child.stdout, MOST_OBJECT),
    atMost(child.stderr, MOST_WORDS),
  ]);
  return { object, text: new TextDecoder().decode(words), code: await child.exited };
}

const MISSING = /fatal error: '([^']{1,200})' file not found/;

/** What there is instead of a header that is missing. */
async function headerHint(said: readonly string[]): Promise<string | undefined> {
  const [missing] = said.flatMap((line) => MISSING.exec(line)?.[1] ?? []);
  if (missing === undefined) return undefined;
  const inside = Object.keys(await sdkHeaders()).sort();
  return meant(missing, inside, `inside are ${inside.join(", ")}; others go into the folder`);
}

/**
 * Compiles a source of a folder; the folder is only read.
 * @param source its name in there
 * @throws CompileError
 */
export async function compile(
  clang: string,
  folder: Pick<Folder, "path" | "owner">,
  source: string,
): Promise<Compiled> {
  const work = workFolder("tcpx-build-");
  try {
    const include = join(work, "include");
    await writeHeaders(include);
    chmodSync(work, 0o755); // for whoever clang runs as
    // the same bytes, wherever the folder is and whatever ours is called
    const maps = [`-ffile-prefix-map=${include}=include`, `-ffile-prefix-map=${folder.path}=.`];
    const where = [`-fdebug-compilation-dir=.`, "-I.", `-isystem${include}`];
    const argv = [clang, ...FLAGS, ...WARNINGS, ...LINES, ...maps, ...where, "-c", source, "-o", "-"];
    const { object, text, code } = await runIn(folder, argv);
    const said = linesOf(text, include);
    if (code === 0 && object.length > 0) return { object, said };
    if (code === 0) throw new CompileError(source, `: ${clang} made no object`, said, "is it clang?");
    const why = code > 128 || said.length === 0 ? `: clang ended with ${code}` : "";
    throw new CompileError(source, why, said, await headerHint(said));
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
}
