// SPDX-License-Identifier: MIT
// Answers the completion scripts of shells.

import { type Args, flagArg, globalArgs, scopeFlags } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { answer } from "../completion/answer.ts";
import { openHost } from "../flags/host-access.ts";
import type { Rule } from "../policy/rule.ts";
import { allCommands } from "./index.ts";
import { leaf } from "./types.ts";

/** The rules that `unset` finds with these arguments, whatever their selectors are. */
async function rules(args: Args): Promise<Rule[]> {
  const host = await openHost(scopeFlags(args));
  const scope = host.scope();
  const own = flagArg(args, "all-netns") ? undefined : host.netns()?.cookie;
  const found = host.states().find(({ id }) => id === scope.id)?.rules ?? [];
  return found.filter(({ netns }) => scope.name !== "/" || netns?.cookie === own);
}

export const internalComplete = leaf({
  summary: "Print what may stand at the cursor; not for people.",
  args: {
    words: {
      type: "positional",
      required: false,
      valueHint: "-- FORM WORD...",
      description: "What the script of a shell asks: cli/completion/answer.ts",
    },
    ...globalArgs,
  },
  async run(_, io) {
    const { argv } = process;
    const request = argv.slice(argv.indexOf("--") + 1);
    const asked = { table: await allCommands(), rules };
    // whoever presses TAB wants no message, and may not be root
    const lines = await answer(request, asked).catch(() => []);
    io.print(lines.join("\n"));
    return Exit.DONE;
  },
});
