// SPDX-License-Identifier: MIT
// The command that words name, or the error that says which ones there are.

import { type TcpxError, usageError } from "../base/errors.ts";
import { allCommands, findCommand } from "./index.ts";
import type { Command, Group, Leaf } from "./types.ts";

const HELP = "see `tcpx --help`";

/** `tcpx set uto` has the words in the other order. */
async function unknown(name: string): Promise<TcpxError> {
  const { extensions } = await import("../extensions/index.ts");
  const { meant } = await import("../base/did-you-mean.ts");
  const owners = extensions.filter(({ verbs }) => Object.hasOwn(verbs, name) || name === "unset");
  const hint = owners.map((extension) => `tcpx ${extension.name} ${name}`).join(", ");
  const near =
    hint === ""
      ? meant(name, Object.keys(await allCommands()), HELP)
      : `did you mean one of ${hint}? ${HELP}`;
  return usageError(`unknown command '${name}'`, name, near);
}

/** @throws TcpxError (usage) that says which one may have been meant */
export async function requireCommand(name: string): Promise<Command> {
  const command = await findCommand(name);
  if (!command) throw await unknown(name);
  return command;
}

/**
 * The verb of a group.
 * @param path words that lead to the group
 * @throws TcpxError (usage) that says which ones there are
 */
export async function requireVerb(
  path: readonly string[],
  group: Group,
  verb: string | undefined,
): Promise<Leaf> {
  const verbs = Object.keys(group.commands);
  const name = path.join(" ");
  if (verb === undefined)
    throw usageError(`${name} needs one of: ${verbs.join(", ")}`, undefined, `see \`${name} --help\``);
  const found = Object.hasOwn(group.commands, verb) ? group.commands[verb] : undefined;
  if (found) return found;
  const { meant } = await import("../base/did-you-mean.ts");
  const help = verb === "help" ? `did you mean \`${name} --help\`? ` : "";
  throw usageError(
    `${name} has no '${verb}'`,
    verb,
    help + meant(verb, verbs, `accepted is ${verbs.join(", ")}`),
  );
}
