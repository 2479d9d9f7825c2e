// SPDX-License-Identifier: MIT
// The rules that an extension is tried with: those of [test] in its manifest, or else its first examples.

import { placeArgs } from "../base/args.ts";
import { TcpxError, usageError } from "../base/errors.ts";
import { rulesOfLine } from "../extensions/line.ts";
import type { Extension } from "../extensions/types.ts";
import type { Manifest } from "../manifest/types.ts";
import type { Rule } from "../policy/rule.ts";
import type { End } from "./network.ts";

/** By end, as they stand behind the extension's name. */
export type Lines = Partial<Record<End, string>>;

const TAKES_VALUE: ReadonlySet<string> = new Set(
  Object.entries(placeArgs).flatMap(([name, { type }]) => (type === "string" ? [`--${name}`] : [])),
);

/** An example without what says where it is for: addresses of examples are nobody's. */
export function everywhere(line: string): string {
  const words = line.split(" ").filter(Boolean);
  const isPlace = (word: string | undefined) => TAKES_VALUE.has(word?.split("=")[0] ?? "");
  return words
    .filter((word, i) => !isPlace(word) && !(isPlace(words[i - 1]) && !words[i - 1]!.includes("=")))
    .join(" ");
}

/** What is set at which end. */
export function linesOf({ test, verbs }: Pick<Manifest, "test" | "verbs">): Lines {
  if (test) return test;
  const first = (name: string) => verbs.find((verb) => verb.name === name)?.examples[0]?.[0];
  const [client, server] = [first("set"), first("accept")];
  return {
    ...(client !== undefined && { client: everywhere(client) }),
    ...(server !== undefined && { server: everywhere(server) }),
  };
}

/** The rules of a line. @throws TcpxError (usage) that says where the line stands */
export function rulesFor(extension: Extension, line: string): Rule[] {
  const [verb = ""] = line.split(" ");
  const verbs = Object.keys(extension.verbs);
  try {
    if (!verbs.includes(verb))
      throw usageError(`there is no verb '${verb}'`, verb, `accepted are ${verbs.join(", ")}`);
    return rulesOfLine(extension, line);
  } catch (error) {
    if (!(error instanceof TcpxError)) throw error;
    const hint = error.hint ?? "it stands in [test] of extension.toml, or is a verb's first example";
    throw usageError(`the test's rule \`tcpx ${extension.name} ${line}\`: ${error.message}`, line, hint);
  }
}
