// SPDX-License-Identifier: MIT
// The help of commands: `tcpx help uto set` is `tcpx uto set --help`.

import { globalArgs, rootArgs, textArg } from "../base/args.ts";
import { Exit, usageError } from "../base/errors.ts";
import { PROGRAM } from "../completion/program.ts";
import type { Io } from "../output/io.ts";
import { commands, extensionCommands } from "./index.ts";
import { requireCommand, requireVerb } from "./named.ts";
import { type Command, leaf } from "./types.ts";

/**
 * Prints the page of a command.
 * @param path words that lead to it, "tcpx" first
 * @param command undefined: tcpx itself
 */
export async function printHelp(path: string[], command: Command | undefined, io: Io): Promise<void> {
  const { renderHelp } = await import("../output/help.ts");
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
    summary: command?.summary ?? PROGRAM.summary,
    args: command?.kind === "leaf" ? command.args : rootArgs,
    groups,
    examples: command?.examples ?? PROGRAM.examples,
    notes: command?.kind === "leaf" ? (command.notes ?? []) : command ? [] : PROGRAM.notes,
  });
  io.page(page);
}

export const help = leaf({
  summary: "Print the help of a command, as its --help does; without a word, that of tcpx.",
  args: {
    command: {
      type: "positional",
      required: false,
      valueHint: "COMMAND",
      description: "A command, or an extension",
    },
    verb: { type: "positional", required: false, valueHint: "VERB", description: "Its verb, such as set" },
    ...globalArgs,
  },
  examples: [
    ["tcpx help uto set", "What `tcpx uto set --help` prints"],
    ["tcpx help", "All commands"],
  ],
  async run(args, io) {
    const [name, verb] = [textArg(args, "command"), textArg(args, "verb")];
    if (name === undefined) {
      await printHelp(["tcpx"], undefined, io);
      return Exit.DONE;
    }
    const command = await requireCommand(name);
    const path = ["tcpx", name];
    if (verb === undefined) await printHelp(path, command, io);
    else if (command.kind === "group")
      await printHelp([...path, verb], await requireVerb(path, command, verb), io);
    else throw usageError(`stray argument '${verb}'`, verb, `tcpx ${name} has no verbs`);
    return Exit.DONE;
  },
});
