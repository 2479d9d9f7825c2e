// SPDX-License-Identifier: MIT

import { globalArgs, textArg } from "../base/args.ts";
import { interruption } from "../lab/stage.ts";
import { clangArgs } from "../sdk/flags.ts";
import { requireRoot, testOnce } from "../sdk/test.ts";
import { commands } from "./index.ts";
import { leaf } from "./types.ts";

export const extTest = leaf({
  summary:
    "Build the extension of a folder and try it: two hosts of its own, the options on the wire, the sockets, its test.",
  args: {
    dir: { type: "positional", required: false, valueHint: "DIR", description: "Its folder; default: here" },
    ...clangArgs,
    ...globalArgs,
  },
  examples: [
    ["sudo tcpx ext test", "The extension of this folder"],
    ["sudo tcpx ext test tag --json", "The same for a script: exit code 0 when its test.sh says so"],
  ],
  notes: [
    "Two hosts in namespaces and cgroups of their own, with a link between them. The rules are those of [test] in " +
      "extension.toml, or the first examples of its verbs. There are connections over IPv4 and IPv6; what is on the wire is " +
      "captured, and sockets are asked from another process. Then test.sh of the folder runs, as root; what it has is " +
      "written in the one that `tcpx ext new` makes. A whole program, such as a congestion control, is loaded there, and " +
      "transfers use it.",
    "On that host /etc/tcpx, /run, bpffs and the root of cgroups are its own. Nothing is added to this host, and nothing " +
      "is left, also when the command is killed. A congestion control's name is the whole kernel's as long as the test runs, and programs of others at the root of cgroups see its connections, too.",
  ],
  async run(args, io) {
    const dir = textArg(args, "dir") ?? ".";
    requireRoot();
    using interrupted = interruption();
    return await testOnce(dir, {
      clang: textArg(args, "clang"),
      commands: Object.keys(commands),
      io,
      signal: interrupted.signal,
    });
  },
});
