// SPDX-License-Identifier: MIT
// A tcpx that has one command more, for completion only: `completing.ts internal-complete -- ...`.
import { scopeArgs } from "../../cli/base/args.ts";
import { allCommands } from "../../cli/commands/index.ts";
import { leaf } from "../../cli/commands/types.ts";
import { answer } from "../../cli/completion/answer.ts";
import type { Asked } from "../../cli/completion/asked.ts";

/** A command as others may add it: its hints alone say what completes. */
const launch = leaf({
  summary: "Run a command.",
  args: {
    command: { type: "positional", required: false, valueHint: "COMMAND...", description: "What to run" },
    near: { type: "string", valueHint: "UNIT", description: "It's a [systemd] unit: one" },
    cc: {
      type: "string",
      valueHint: "ALGORITHM",
      words: ["bbr", "cubic"],
      description: '100% $HOME `id` \\ "q"',
    },
    mode: { type: "enum", options: ["fast", "slow"], description: "How" },
    file: { type: "string", valueHint: "FILE", description: "A file" },
    ...scopeArgs,
  },
  examples: [["tcpx launch --cc bbr -- ls", "Runs ls"]],
  run: async () => 0,
});

export const asked: Asked = {
  table: { ...(await allCommands()), launch: { summary: "Run a command", load: async () => launch } },
  rules: async () => [],
};

if (import.meta.main) {
  const { argv } = process;
  for (const line of await answer(argv.slice(argv.indexOf("--") + 1), asked)) console.log(line);
}
