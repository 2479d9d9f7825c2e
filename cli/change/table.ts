// SPDX-License-Identifier: MIT
// A change of the site's table alone: scopes are loaded anew with it, and their rules stay.

import type { Host } from "../flags/host-access.ts";
import { readHeads, scopeOf } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import { setRules } from "../policy/change.ts";
import type { Patience } from "../system/lock.ts";
import type { Site } from "../wire/site.ts";
import { changeScopes, type Outcome } from "./scopes.ts";
import { isOutdated } from "./site-needs.ts";

/** @throws TcpxError (usage) where rules need what is to go, (busy) where another tcpx has changed it meanwhile */
export const changeTable = (
  io: Io,
  host: Host,
  table: Site,
  { dryRun, patience }: { dryRun: boolean; patience: Patience },
): Promise<Outcome> =>
  changeScopes(io, host, {
    dryRun,
    patience,
    site: { table, isMerged: true },
    targets: () =>
      readHeads(host.lib)
        .filter((head) => isOutdated(head, table))
        .map((head) => ({ scope: scopeOf(head), plan: (present) => setRules(present, present) })),
    everywhere: ({ rules }) => rules.some(({ netns }) => netns === null),
  });
