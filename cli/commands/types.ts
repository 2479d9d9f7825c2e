// SPDX-License-Identifier: MIT
// A command as the dispatcher sees it: citty's definition with examples.

import type { CommandDef } from "citty";
import { defineCommand } from "citty";
import type { Args, Example, ValuesDef } from "../base/args.ts";
import type { ExitCode } from "../base/errors.ts";
import type { Io } from "../output/io.ts";

export interface Leaf {
  kind: "leaf";
  summary: string;
  args: ValuesDef;
  examples: readonly Example[];
  notes?: string[];
  /** Exit code of every failure, where it is not the error's own. */
  failure?: ExitCode | undefined;
  /** Run by citty with `data` = Io. */
  citty: CommandDef;
}

export interface Group {
  kind: "group";
  summary: string;
  examples: readonly Example[];
  commands: Record<string, Leaf>;
}

export type Command = Leaf | Group;

interface LeafOptions {
  summary: string;
  args: ValuesDef;
  examples?: readonly Example[];
  notes?: string[];
  failure?: ExitCode;
  run(args: Args, io: Io): Promise<ExitCode>;
}

/** Defines a command that does something. */
export function leaf(options: LeafOptions): Leaf {
  const { summary, args, examples = [], notes = [], failure } = options;
  const citty = defineCommand({
    meta: { description: summary },
    args,
    run: (context) => options.run(context.args as Args, context.data as Io),
  });
  return { kind: "leaf", summary, args, examples, notes, failure, citty };
}
