// SPDX-License-Identifier: MIT

import { existsSync } from "node:fs";
import { type RouteSurvey, removeRoutesLeft } from "../agent/routes-left.ts";
import { checkRunDir, RUN_DIR } from "../agent/run-dir.ts";
import { agentPid, stopAgent } from "../agent/start.ts";
import { type Args, changeArgs, flagArg, globalArgs } from "../args.ts";
import { Exit, type ExitCode } from "../errors.ts";
import { removeLeftovers } from "../lab/sandbox.ts";
import { restoreConnections, restoredJson, restoredLines } from "../live/restore.ts";
import type { Bridge } from "../loader/bridge.ts";
import { findBpffs, unmountOwnBpffs } from "../loader/host.ts";
import type { Patience } from "../loader/lock.ts";
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
import { patienceOf } from "./patience.ts";
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

async function prove(lib: Bridge): Promise<Proof> {
  const bpffs = findBpffs(lib);
  const pins = bpffs === undefined ? [] : listPins(topDir(bpffs));
  const { cgroups, programs } = attachedPrograms(lib);
  const routes = removeRoutesLeft(lib);
  const agent = (await agentPid()) !== undefined || checkRunDir();
  const left = [...programs, ...pins];
  if (agent) left.push(RUN_DIR);
  if (anyHooks()) left.push(`/run/systemd/system/${TEMPLATE}`);
  if (routes.failed > 0) left.push(`routes for ACKs at once in ${routes.failed} network namespace(s)`);
  return { cgroups, programs, pins, agent, routes, left };
}

/** What a reset has found, and removed. */
interface Removed {
  states: ScopeState[];
  /** There were pins of ours. */
  present: boolean;
  rules: number;
  site: Site;
  agent: Awaited<ReturnType<typeof stopAgent>>;
  leftovers: string[];
  restored: Awaited<ReturnType<typeof restoreConnections>>;
  unmounted: boolean;
}

/** Nothing is touched while another tcpx has the lock. */
async function removeLocked(lib: Bridge, patience: Patience) {
  const bpffs = findBpffs(lib);
  const present = bpffs !== undefined && listPins(topDir(bpffs)).length > 0;
  using held = present ? await lock(lib, patience) : undefined;
  const agent = await stopAgent(lib); // first: what it serves is about to go
  const leftovers = await removeLeftovers();
  const restored = held && (await restoreConnections(lib));
  held?.removeEverything();
  return { present, agent, leftovers, restored };
}

async function removeAll(
  lib: Bridge,
  states: ScopeState[],
  site: Site,
  patience: Patience,
): Promise<Removed> {
  const rules = states.reduce((sum, { count }) => sum + count, 0);
  const removed = await removeLocked(lib, patience);
  if (anyHooks()) syncHooks([]); // somebody has removed the pins by hand
  return { ...removed, states, rules, site, unmounted: unmountOwnBpffs(lib) };
}

function resetJson(removed: Removed, proof: Proof): Record<string, unknown> {
  const { states, present, rules, site, agent, leftovers, restored, unmounted } = removed;
  const { routes } = proof;
  return {
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
  };
}

function* resetLines({ states, ...removed }: Removed, { routes }: Proof, newer?: string): Generator<string> {
  const { present, rules, site, agent, leftovers, restored, unmounted } = removed;
  if (agent) yield `ended the agent, pid ${agent.pid}${agent.killed ? ", which had to be killed" : ""}`;
  const what = newer === undefined ? `${rules} rule(s)` : `what tcpx ${newer} had`;
  yield present ? `removed ${what} in ${states.length} scope(s)` : "there were no rules";
  if (siteText(site)) yield "removed the site's table: experiment identifiers, algorithms";
  if (restored) yield* restoredLines(restored);
  for (const name of leftovers) yield `removed ${name}, left by a killed command`;
  if (routes.removed > 0) yield `removed ${routes.removed} rules and routes that an agent had left`;
  if (unmounted) yield "unmounted /sys/fs/bpf, which tcpx had mounted";
}

/** The end of the report, and the exit code. */
function judge({ left, cgroups, routes }: Proof, io: Io): ExitCode {
  if (existsSync(UNIT_FILE))
    io.messages.warn(`${UNIT_FILE} brings rules back with a reboot; see \`tcpx persist\``);
  if (left.length > 0) {
    io.messages.error(`still there: ${left.join(", ")}`);
    return Exit.FAILED;
  }
  io.print(`checked: no tcpx program in any of ${cgroups} cgroups, nothing pinned, no agent,`);
  io.print(`no routes of ours in any of ${routes.namespaces} network namespaces`);
  return Exit.DONE;
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  const patience = patienceOf(args, io);
  const host = await openHost();
  const { lib } = host;
  const newer = newerScopes(lib);
  const states = newer.length > 0 ? newer : readScopes(lib);
  const site = newer.length > 0 ? DEFAULT_SITE : host.site();
  if (flagArg(args, "dry-run")) {
    await dryRun(io, states, site);
    return Exit.DONE;
  }
  const removed = await removeAll(lib, states, site, patience);
  const proof = await prove(lib);
  io.json(resetJson(removed, proof));
  for (const line of resetLines(removed, proof, newer[0]?.version)) io.print(line);
  return judge(proof, io);
}

export const reset = leaf({
  summary:
    "Remove everything that tcpx has put into the running system, and prove it: rules of all scopes and network " +
    "namespaces, attached programs, pins, leftovers of a killed demo, and the bpffs mount if tcpx made it.",
  args: { ...changeArgs, ...globalArgs },
  examples: [
    ["tcpx reset", "Undo everything but tcpx persist"],
    ["tcpx reset --dry-run", "What it would remove"],
  ],
  notes: [
    "Connections that exist get back the user timeout, congestion control and way to acknowledge that they had, where the " +
      "value is still ours (Linux >= 5.15). Initial windows and what was told to peers cannot be taken back.",
    "The unit and the policy of `tcpx persist on` stay, and bring rules back with the next start of the system: " +
      "`tcpx persist off` ends that.",
  ],
  run,
});
