// SPDX-License-Identifier: MIT

import { globalArgs } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { buildInfo, version } from "../base/version.ts";
import { asset } from "../bridge/assets.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { leaf } from "./types.ts";

export const versionCommand = leaf({
  summary: "Version, and what is inside this executable.",
  args: {
    licences: { type: "boolean", description: "Print the licences of all that is inside" },
    ...globalArgs,
  },
  examples: [
    ["tcpx version", "Version and parts"],
    ["tcpx version --licences | less", "Notices and licences of libraries, npm packages and Bun"],
  ],
  async run(args, io) {
    if (args.licences) {
      const text = new TextDecoder().decode(await asset("licences"));
      io.json({ version, licences: text });
      if (!io.flags.json) await io.parts([`${text.trimEnd()}\n`]);
      return Exit.DONE;
    }
    const parts = Object.entries({ bun: buildInfo.bun, ...buildInfo.libraries });
    io.json({ version, layout: LAYOUT_VERSION, bun: buildInfo.bun, libraries: buildInfo.libraries });
    io.print(`tcpx ${version}\n${parts.map(([name, text]) => `${name} ${text}`).join(", ")}`);
    return Exit.DONE;
  },
});
