// SPDX-License-Identifier: MIT

import { changeArgs, flagArg, globalArgs } from "../args.ts";
import { Exit } from "../errors.ts";
import { removeLeftovers } from "../lab/sandbox.ts";
import { findBpffs, unmountOwnBpffs } from "../loader/host.ts";
import { listPins } from "../loader/maps.ts";
import { topDir } from "../loader/pins.ts";
import { lock, readScopes, type ScopeState } from "../loader/store.ts";
import { attachedPrograms } from "../loader/survey.ts";
import type { Io } from "../output/io.ts";
import { ruleTable } from "../output/rules.ts";
import { openHost } from "./host-access.ts";
import { leaf } from "./types.ts";

function dryRun(io: Io, states: ScopeState[]): void {
  const rules = states.flatMap(({ name, alive, rules }) =>
    rules.map((rule) => ({ scope: name, alive, rule })),
  );
  io.json({
    changed: states.length > 0,
    dry_run: true,
    scopes: states.map(({ name }) => name),
    rules: rules.length,
  });
  io.print(rules.length > 0 ? `would remove:\n${ruleTable(rules, null)}` : "tcpx has nothing on this host");
}

export const reset = leaf({
  summary:
    "Remove everything that tcpx has put on this host, and prove it: rules of all scopes and network " +
    "namespaces, attached programs, pins, leftovers of a killed demo, and the bpffs mount if tcpx made it.",
  args: { ...changeArgs, ...globalArgs },
  examples: [
    ["tcpx reset", "Undo everything"],
    ["tcpx reset --dry-run", "What it would remove"],
  ],
  notes: ["Connections that exist keep the settings they were given when they were set up."],
  async run(args, io) {
    const { lib } = await openHost();
    const states = readScopes(lib);
    if (flagArg(args, "dry-run")) {
      dryRun(io, states);
      return Exit.DONE;
    }
    const leftovers = await removeLeftovers();
    const bpffs = findBpffs(lib);
    const present = bpffs !== undefined && listPins(topDir(bpffs)).length > 0;
    if (bpffs !== undefined && present) {
      using held = lock(lib, flagArg(args, "wait"));
      held.removeEverything();
    }
    const unmounted = unmountOwnBpffs(lib);
    const survey = attachedPrograms(lib);
    const pins = bpffs === undefined || unmounted ? [] : listPins(topDir(bpffs));
    const rules = states.reduce((sum, state) => sum + state.rules.length, 0);
    io.json({
      changed: present || leftovers.length > 0 || unmounted,
      removed: { scopes: states.map(({ name }) => name), rules, leftovers },
      unmounted,
      proof: { cgroups_checked: survey.cgroups, programs_left: survey.programs, pins_left: pins },
    });
    io.print(present ? `removed ${rules} rule(s) in ${states.length} scope(s)` : "there were no rules");
    for (const name of leftovers) io.print(`removed ${name}, left by a killed command`);
    if (unmounted) io.print("unmounted /sys/fs/bpf, which tcpx had mounted");
    if (survey.programs.length > 0 || pins.length > 0) {
      io.messages.error(`still there: ${[...survey.programs, ...pins].join(", ")}`);
      return Exit.FAILED;
    }
    io.print(`checked: no tcpx program in any of ${survey.cgroups} cgroups, nothing pinned`);
    return Exit.DONE;
  },
});
