// SPDX-License-Identifier: MIT
// `tcpx ext`: extensions that tcpx does not ship.

import { extAdd } from "./ext-add.ts";
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
    ["tcpx ext new tag --kind option", "Begin one of your own"],
    ["sudo tcpx ext test tag", "Try it between two hosts of its own"],
    ["tcpx ext add tag.tcpx", "Add one: it is a command from now on"],
    ["tcpx ext list", "Those of this host"],
    ["tcpx ext load mycc.bpf.o", "A whole program of somebody else: here a congestion control"],
  ],
  commands: {
    new: extNew,
    build: extBuild,
    test: extTest,
    dev: extDev,
    add: extAdd,
    list: extList,
    show: extShow,
    remove: extRemove,
    verify: extVerify,
    load: extLoad,
    unload: extUnload,
  },
};
