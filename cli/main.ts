// SPDX-License-Identifier: MIT
// Entry: finds the command, runs it, owns errors and exit codes.

import { runCommand } from "citty";
import { checkArguments, globalArgs } from "./args.ts";
import { commands, extensionCommands, findCommand } from "./commands/index.ts";
import type { Command, Group, Leaf } from "./commands/types.ts";
import { Exit, type ExitCode, TcpxError, usageError } from "./errors.ts";
import type { Example } from "./extensions/types.ts";
import { Io } from "./output/io.ts";

const EXAMPLES: Example[] = [
  ["tcpx demo", "See it work, in namespaces of its own"],
  ["tcpx uto set 30s --to 10.0.0.0/8", "Connections to 10.0.0.0/8 give up after 30 s, and say so"],
  ["tcpx status", "What is in force"],
  ["tcpx reset", "Undo everything"],
];

const EXIT_CODES =
  "Exit codes: 0 done; 1 failed; 2 usage; 3 this kernel or host cannot do it; 4 permission; 5 busy.";

const isFlag = (word: string | undefined) => word?.startsWith("-") ?? true;

function wantsHelp(args: string[]): boolean {
  const end = args.indexOf("--");
  return args.slice(0, end < 0 ? undefined : end).some((arg) => arg === "--help" || arg === "-h");
}

async function printHelp(path: string[], command: Command | undefined): Promise<void> {
  const { renderHelp } = await import("./output/help.ts");
  const summaries = (entries: Record<string, { summary: string }>) =>
    Object.entries(entries).map(([name, { summary }]): [string, string] => [name, summary]);
  const groups = command
    ? command.kind === "group"
      ? [{ title: "Commands", commands: summaries(command.commands) }]
      : []
    : [
        { title: "Extensions", commands: summaries(await extensionCommands()) },
        { title: "Commands", commands: summaries(commands) },
      ];
  const page = renderHelp({
    command: path.join(" "),
    summary: command?.summary ?? "tcpx extends the Linux TCP stack from the command line, on stock kernels.",
    args: command?.kind === "leaf" ? command.args : { help: globalArgs.help },
    groups,
    examples: command?.examples ?? EXAMPLES,
    notes: command?.kind === "leaf" ? (command.notes ?? []) : command ? [] : [EXIT_CODES],
  });
  process.stdout.write(`${page}\n`);
}

async function findLeaf(path: string[], command: Group, args: string[]): Promise<Leaf> {
  const verbs = Object.keys(command.commands).join(", ");
  const name = path.join(" ");
  if (isFlag(args[0]))
    throw usageError(`${name} needs one of: ${verbs}`, undefined, `see \`${name} --help\``);
  const found = Object.hasOwn(command.commands, args[0]!) ? command.commands[args[0]!] : undefined;
  if (!found) throw usageError(`${name} has no '${args[0]}'`, args[0], `accepted is ${verbs}`);
  return found;
}

/** Flags may stand before the command: `tcpx --json status`. */
function splitCommand(argv: string[]): { leading: string[]; rest: string[] } {
  const at = argv.findIndex((word) => !isFlag(word));
  return at < 0 ? { leading: argv, rest: [] } : { leading: argv.slice(0, at), rest: argv.slice(at) };
}

async function dispatch(argv: string[], io: Io): Promise<ExitCode> {
  const { leading, rest } = splitCommand(argv);
  const [name, ...words] = rest;
  if (leading.some((flag) => flag === "--version" || flag === "-V")) return dispatch(["version"], io);
  if (name === undefined) {
    checkArguments(leading, globalArgs, "tcpx");
    await printHelp(["tcpx"], undefined);
    return Exit.DONE;
  }
  const command = await findCommand(name);
  if (!command) throw usageError(`unknown command '${name}'`, name, "see `tcpx --help`");
  const path = ["tcpx", name];
  const help = wantsHelp([...leading, ...words]);
  if (command.kind === "group" && help && isFlag(words[0])) {
    await printHelp(path, command);
    return Exit.DONE;
  }
  const args = [...words];
  const found = command.kind === "leaf" ? command : await findLeaf(path, command, args);
  if (command.kind === "group") path.push(args.shift()!);
  if (help) {
    await printHelp(path, found);
    return Exit.DONE;
  }
  const rawArgs = checkArguments([...leading, ...args], found.args, path.join(" "));
  const { result } = await runCommand(found.citty, { rawArgs, data: io });
  return result as ExitCode;
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
  return new TcpxError(Exit.FAILED, what, { cause: error });
}

async function main(argv: string[]): Promise<ExitCode> {
  const before = argv.slice(0, argv.includes("--") ? argv.indexOf("--") : undefined);
  const has = (...spellings: string[]) => before.some((word) => spellings.includes(word));
  const io = new Io({ json: has("--json"), quiet: has("--quiet", "-q"), verbose: has("--verbose", "-v") });
  try {
    return await dispatch(argv, io);
  } catch (error) {
    const failure = toTcpxError(error);
    if (io.flags.verbose && error instanceof Error) io.messages.debug(error.stack);
    io.fail(failure);
    return failure.code;
  } finally {
    if (io.flags.verbose) {
      const { takenLog } = await import("./loader/bridge.ts");
      for (const line of await takenLog()) io.messages.debug(line);
    }
  }
}

// exitCode, because exit() would cut a long output to a pipe short
process.exitCode = await main(process.argv.slice(2));
