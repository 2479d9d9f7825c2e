// SPDX-License-Identifier: MIT
// Entry: finds the command, runs it, owns errors and exit codes.

import { runCommand } from "citty";
import { aliasesOf, checkArguments, placeArgs, rootArgs } from "./base/args.ts";
import { meantFlag } from "./base/did-you-mean.ts";
import { Exit, type ExitCode, TcpxError, usageError } from "./base/errors.ts";
import { commands } from "./commands/index.ts";
import { requireCommand, requireVerb } from "./commands/named.ts";
import type { Command, Leaf } from "./commands/types.ts";
import { Io } from "./output/io.ts";
import { ended } from "./output/streams.ts";
import { packageFiles } from "./packages/present.ts";
import { limitHint } from "./system/scarcity.ts";
import { returnToDirectory } from "./system/working-directory.ts";

function wantsHelp(args: string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? undefined : end).some((arg) => arg === "--help" || arg === "-h");
}

/** Every spelling of the flags that may stand before a command. */
const LEADING = new Set(
  Object.entries(rootArgs).flatMap(([name, def]) => [`--${name}`, ...aliasesOf(def).map((a) => `-${a}`)]),
);

const LEADING_NAMES = [...LEADING].map((flag) => flag.replace(/^--?/, ""));

/** The next command word; only flags that every command knows may stand before it. */
function splitCommand(words: string[]): { leading: string[]; name: string | undefined; rest: string[] } {
  const at = words.findIndex((word) => !LEADING.has(word));
  if (at < 0) return { leading: words, name: undefined, rest: [] };
  const name = words[at]!;
  if (name.startsWith("-")) {
    throw Object.hasOwn(placeArgs, name.replace(/^--|=.*$/g, ""))
      ? usageError(`'${name}' must stand behind the command`, name, "see `tcpx --help`")
      : usageError(`unknown flag '${name}'`, name, meantFlag(name, LEADING_NAMES, "see `tcpx --help`"));
  }
  return { leading: words.slice(0, at), name, rest: words.slice(at + 1) };
}

async function printHelp(path: string[], command: Command | undefined, io: Io): Promise<void> {
  await (await import("./commands/help.ts")).printHelp(path, command, io);
}

async function runLeaf(path: string[], found: Leaf, words: string[], io: Io): Promise<ExitCode> {
  if (wantsHelp(words)) {
    await printHelp(path, found, io);
    return Exit.DONE;
  }
  try {
    const rawArgs = checkArguments(words, found.args, path.join(" "));
    const { result } = await runCommand(found.citty, { rawArgs, data: io });
    return result as ExitCode;
  } catch (error) {
    const failure = toTcpxError(error);
    failure.exit ??= found.failure;
    throw failure;
  }
}

async function dispatch(argv: string[], io: Io): Promise<ExitCode> {
  const { leading, name, rest } = splitCommand(argv);
  if (name === undefined) {
    checkArguments(leading, rootArgs, "tcpx");
    const version = leading.some((flag) => flag === "--version" || flag === "-V");
    if (version && !wantsHelp(leading)) return dispatch(["version"], io);
    await printHelp(["tcpx"], undefined, io);
    return Exit.DONE;
  }
  const command = await requireCommand(name);
  if (command.kind === "leaf") return runLeaf(["tcpx", name], command, [...leading, ...rest], io);
  const verb = splitCommand(rest);
  const before = [...leading, ...verb.leading];
  if (verb.name === undefined && wantsHelp(before)) {
    await printHelp(["tcpx", name], command, io);
    return Exit.DONE;
  }
  const found = await requireVerb(["tcpx", name], command, verb.name);
  return runLeaf(["tcpx", name, verb.name!], found, [...before, ...verb.rest], io);
}

/** Makes the host's own extensions known, before anything asks which ones there are. */
async function addInstalled(argv: string[], io: Io): Promise<void> {
  const files = packageFiles();
  if (files?.length === 0) return;
  const { registerInstalled } = await import("./packages/installed.ts");
  const notice = registerInstalled(Object.keys(commands), files);
  // what tcpx starts itself has been preceded by a command that has said it
  if (notice !== undefined && !argv[0]?.startsWith("internal-")) io.messages.warn(notice);
}

function toTcpxError(error: unknown): TcpxError {
  if (error instanceof TcpxError) return error;
  const errno = (error as { code?: unknown }).code;
  const what = error instanceof Error ? error.message : String(error);
  if (errno === "EPERM" || errno === "EACCES") {
    return new TcpxError(Exit.PERMISSION, `not permitted: ${what}`, {
      hint: "run it as root, for example with sudo",
      cause: error,
    });
  }
  const hint = limitHint(error as { code?: unknown });
  if (hint !== undefined) return new TcpxError(Exit.UNSUPPORTED, what, { hint, cause: error });
  return new TcpxError(Exit.FAILED, what, { cause: error });
}

/** Says what went wrong. @returns the exit code */
function report(error: unknown, io: Io): ExitCode {
  const failure = toTcpxError(error);
  if (error instanceof Error) io.trace(error);
  io.fail(failure);
  return failure.exit ?? failure.code;
}

/** What a callback throws is told as everything else: the runtime would print it with its source, and as it is. */
function ownStrayErrors(io: Io): void {
  const end = (error: unknown) => process.exit(report(error, io));
  process.on("uncaughtException", end);
  process.on("unhandledRejection", end);
}

async function main(argv: string[]): Promise<ExitCode> {
  const before = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined);
  const has = (...spellings: string[]) => before.some((word) => spellings.includes(word));
  const io = new Io({
    json: has("--json", "-j"),
    quiet: has("--quiet", "-q"),
    verbose: has("--verbose", "-v"),
  });
  ownStrayErrors(io);
  try {
    await returnToDirectory();
    await addInstalled(argv, io);
    const code = await dispatch(argv, io);
    return await ended(code, (problem) => report(problem, io));
  } catch (error) {
    return report(error, io);
  } finally {
    if (io.flags.verbose) {
      const { takenLog } = await import("./bridge/bridge.ts");
      for (const line of await takenLog()) io.messages.debug(line);
    }
  }
}

// exitCode, because exit() would cut a long output to a pipe short
process.exitCode = await main(process.argv.slice(2));
