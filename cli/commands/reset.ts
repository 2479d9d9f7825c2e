// SPDX-License-Identifier: MIT

import { existsSync } from "node:fs";
import { type RouteSurvey, removeRoutesLeft } from "../agent/routes-left.ts";
import { checkRunDir, RUN_DIR } from "../agent/run-dir.ts";
import { agentPid, stopAgent } from "../agent/start.ts";
import { changeArgs, flagArg, globalArgs } from "../args.ts";
import { Exit } from "../errors.ts";
import { removeLeftovers } from "../lab/sandbox.ts";
import { restoreConnections, restoredJson, restoredLines } from "../live/restore.ts";
import type { Bridge } from "../loader/bridge.ts";
import { findBpffs, unmountOwnBpffs } from "../loader/host.ts";
import { listPins } from "../loader/maps.ts";
import { topDir } from "../loader/pins.ts";
import { newerScopes, readScopes, type ScopeState } from "../loader/state.ts";
import { lock } from "../loader/store.ts";
import { attachedPrograms } from "../loader/survey.ts";
import type { Io } from "../output/io.ts";
import { ruleTable } from "../output/rules.ts";
import { siteJson, siteText } from "../output/site.ts";
import { UNIT_FILE } from "../persist/unit.ts";
import { anyHooks, syncHooks, TEMPLATE } from "../system/unit-hook.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { openHost } from "./host-access.ts";
import { leaf } from "./types.ts";

async function dryRun(io: Io, states: ScopeState[], site: Site): Promise<void> {
  const rules = states.flatMap(({ name, alive, waiting, rules }) =>
    rules.map((rule) => ({ scope: name, alive, waiting, rule })),
  );
  const agent = await agentPid();
  io.json({
    changed: states.length > 0 || agent !== undefined || siteText(site) !== "",
    dry_run: true,
    scopes: states.map(({ name }) => name),
    rules: rules.length,
    site: siteJson(site),
    agent: agent ?? null,
  });
  if (agent !== undefined) io.print(`would end the agent, pid ${agent}`);
  if (rules.length > 0) io.print(`would remove:\n${ruleTable(rules, null, site)}`);
  if (siteText(site)) io.print(`would remove ${siteText(site)}`);
  else if (rules.length === 0 && agent === undefined) io.print("tcpx has nothing on this host");
}

/** What a reset must not find any more. */
interface Proof {
  cgroups: number;
  left: string[];
  programs: string[];
  pins: string[];
  agent: boolean;
  routes: RouteSurvey;
}

async function prove(lib: Bridge, pins: string[]): Promise<Proof> {
  const { cgroups, programs } = attachedPrograms(lib);
  const routes = removeRoutesLeft(lib);
  const agent = (await agentPid()) !== undefined || checkRunDir();
  const left = [...programs, ...pins];
  if (agent) left.push(RUN_DIR);
  if (anyHooks()) left.push(`/run/systemd/system/${TEMPLATE}`);
  if (routes.failed > 0) left.push(`routes for ACKs at once in ${routes.failed} network namespace(s)`);
  return { cgroups, programs, pins, agent, routes, left };
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
  notes: [
    "Connections that exist get back the user timeout, congestion control and way to acknowledge that they had, where the " +
      "value is still ours (Linux >= 5.15). Initial windows and what was told to peers cannot be taken back.",
  ],
  async run(args, io) {
    const host = await openHost();
    const { lib } = host;
    const newer = newerScopes(lib);
    const states = newer.length > 0 ? newer : readScopes(lib);
    const site = newer.length > 0 ? DEFAULT_SITE : host.site();
    if (flagArg(args, "dry-run")) {
      await dryRun(io, states, site);
      return Exit.DONE;
    }
    const agent = await stopAgent(lib); // first: what it serves is about to go
    const leftovers = await removeLeftovers();
    const bpffs = findBpffs(lib);
    let restored: Awaited<ReturnType<typeof restoreConnections>>;
    const present = bpffs !== undefined && listPins(topDir(bpffs)).length > 0;
    if (bpffs !== undefined && present) {
      using held = lock(lib, flagArg(args, "wait"));
      restored = await restoreConnections(lib);
      held.removeEverything();
    }
    if (anyHooks()) syncHooks([]); // somebody has removed the pins by hand
    const unmounted = unmountOwnBpffs(lib);
    const pins = bpffs === undefined || unmounted ? [] : listPins(topDir(bpffs));
    const proof = await prove(lib, pins);
    const { routes } = proof;
    const rules = states.reduce((sum, state) => sum + state.rules.length, 0);
    io.json({
      changed: present || leftovers.length > 0 || unmounted || agent !== undefined || routes.removed > 0,
      removed: {
        scopes: states.map(({ name }) => name),
        rules,
        site: siteJson(site),
        leftovers,
        agent: agent?.pid ?? null,
        routes: routes.removed,
      },
      connections: restored ? restoredJson(restored) : null,
      unmounted,
      proof: {
        cgroups_checked: proof.cgroups,
        programs_left: proof.programs,
        pins_left: proof.pins,
        agent_left: proof.agent,
        namespaces_checked: routes.namespaces,
        namespaces_with_routes_left: routes.failed,
      },
    });
    if (agent) io.print(`ended the agent, pid ${agent.pid}${agent.killed ? ", which had to be killed" : ""}`);
    const what = newer[0] ? `what tcpx ${newer[0].version} had` : `${rules} rule(s)`;
    io.print(present ? `removed ${what} in ${states.length} scope(s)` : "there were no rules");
    if (siteText(site)) io.print("removed the site's table: experiment identifiers, algorithms");
    for (const line of restored ? restoredLines(restored) : []) io.print(line);
    for (const name of leftovers) io.print(`removed ${name}, left by a killed command`);
    if (routes.removed > 0) io.print(`removed ${routes.removed} rules and routes that an agent had left`);
    if (unmounted) io.print("unmounted /sys/fs/bpf, which tcpx had mounted");
    if (existsSync(UNIT_FILE))
      io.messages.warn(`${UNIT_FILE} brings rules back with a reboot; see \`tcpx persist\``);
    if (proof.left.length > 0) {
      io.messages.error(`still there: ${proof.left.join(", ")}`);
      return Exit.FAILED;
    }
    io.print(`checked: no tcpx program in any of ${proof.cgroups} cgroups, nothing pinned, no agent,`);
    io.print(`no routes of ours in any of ${routes.namespaces} network namespaces`);
    return Exit.DONE;
  },
});
