// SPDX-License-Identifier: MIT

import { globalArgs, textArg } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { Exit, usageError } from "../base/errors.ts";
import bash from "../completion/tcpx.bash" with { type: "text" };
import fish from "../completion/tcpx.fish" with { type: "text" };
import zsh from "../completion/tcpx.zsh" with { type: "text" };
import { leaf } from "./types.ts";

const SCRIPTS: Record<string, string> = { bash, zsh, fish };
const SHELLS = Object.keys(SCRIPTS);

export const completion = leaf({
  summary: "Print what lets a shell complete the commands, flags and known values of tcpx.",
  args: {
    shell: {
      type: "positional",
      valueHint: SHELLS.join("|"),
      description: "The shell that is to read it",
    },
    ...globalArgs,
  },
  examples: [
    [
      "tcpx completion bash > /usr/share/bash-completion/completions/tcpx",
      "For all users of bash-completion",
    ],
    ["tcpx completion zsh > /usr/local/share/zsh/site-functions/_tcpx", "For all users of zsh"],
    ["tcpx completion fish > ~/.config/fish/completions/tcpx.fish", "For yourself"],
  ],
  notes: [
    "install.sh installs all three. Otherwise, for one user: in ~/.bashrc `source <(tcpx completion bash)`, in " +
      "~/.zshrc, after compinit, `source <(tcpx completion zsh)`, in ~/.config/fish/config.fish " +
      "`tcpx completion fish | source`.",
    "TAB starts tcpx, which says what may stand there: what is known of cgroups, units and processes, too, and for " +
      "root of rules. It only reads, and is silent where it may not.",
  ],
  async run(args, io) {
    const shell = textArg(args, "shell") ?? "";
    if (!Object.hasOwn(SCRIPTS, shell)) {
      const hint = meant(shell, SHELLS, `accepted is ${SHELLS.join(", ")}`);
      throw usageError(`SHELL '${shell}' is not known`, shell, hint);
    }
    const script = SCRIPTS[shell]!;
    io.json({ shell, script });
    io.print(script.trimEnd());
    return Exit.DONE;
  },
});
