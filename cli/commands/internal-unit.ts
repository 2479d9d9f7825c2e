// SPDX-License-Identifier: MIT
// Run by systemd before a service's own program (cli/system/unit-hook.ts). Not for people.

import { needsAgent } from "../agent/wish.ts";
import { globalArgs, textArg } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { openHost } from "../flags/host-access.ts";
import { endless } from "../flags/patience.ts";
import { lock } from "../loader/store.ts";
import { adopt } from "../loader/waiting.ts";
import { adoptPrograms } from "../programs/adopt.ts";
import { leaf } from "./types.ts";

export const internalUnitStart = leaf({
  summary: "Gives a service's new cgroup its rules; not for people.",
  args: { unit: { type: "positional", description: "Name of the service" }, ...globalArgs },
  async run(args, io) {
    const host = await openHost({ unit: textArg(args, "unit") });
    const { lib } = host;
    const scope = host.scope();
    const [programs, adopted] = await (async () => {
      using held = await lock(lib, endless(io));
      return [adoptPrograms(lib, held, scope), await adopt(lib, held, scope)];
    })();
    io.print(`${adopted.length} rule(s), ${programs.length} program(s) of others for cgroup ${scope.name}`);
    if (adopted.some(needsAgent)) {
      const { notifyAgent } = await import("../agent/notify.ts");
      await notifyAgent(lib);
    }
    return Exit.DONE;
  },
});
