// SPDX-License-Identifier: MIT
// `tcpx ext`: extensions that tcpx does not ship.

import type { Group } from "./types.ts";

export const ext: Group = {
  kind: "group",
  summary: "TCP extensions of your own, and of others",
  examples: [],
  commands: {},
};
