// SPDX-License-Identifier: MIT
// `tcpx ext`: extensions that tcpx does not ship.

import { extBuild } from "./ext-build.ts";
import { extDev } from "./ext-dev.ts";
import { extList } from "./ext-list.ts";
import { extLoad } from "./ext-load.ts";
import { extNew } from "./ext-new.ts";
import { extRemove } from "./ext-remove.ts";
import { extShow } from "./ext-show.ts";
import { extTest } from "./ext-test.ts";
import { extUnload } from "./ext-unload.ts";
import { extVerify } from "./ext-verify.ts";
import type { Group } from "./types.ts";

export const ext: Group = {
  kind: "group",
  summary: "TCP extensions of your own, and of others",
  examples: [
    ["tcpx ext new pace", "Begin one of your own"],
    ["sudo tcpx ext test pace", "Try it between two hosts of its own"],
    ["tcpx ext add pace.tcpx", "Give it to this host"],
    ["tcpx ext list", "What this host has been given"],
  ],
  commands: {
    new: extNew,
    build: extBuild,
    test: extTest,
    dev: extDev,
  },
};
