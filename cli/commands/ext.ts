// SPDX-License-Identifier: MIT
// `tcpx ext`: extensions that tcpx does not ship.

import { extLoad } from "./ext-load.ts";
import { extUnload } from "./ext-unload.ts";
import type { Group } from "./types.ts";

export const ext: Group = {
  kind: "group",
  summary: "TCP extensions of your own, and of others",
  examples: [],
  commands: {
    load: extLoad,
    unload: extUnload,
  },
};
