// SPDX-License-Identifier: MIT

import { agentPid, stopAgent } from "../agent/start.ts";
import { type Args, changeArgs, flagArg, globalArgs } from "../base/args.ts";
import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import { type Bridge, Errno } from "../bridge/bridge.ts";
import { listPins } from "../bridge/maps.ts";
import { labelOf, ruleRows, scopeJson } from "../describe/rules.ts";
import { siteJson, siteText } from "../describe/site-text.ts";
import { extensions } from "../extensions/index.ts";
import type { Live } from "../extensions/seen.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import { removeLeftovers } from "../lab/sandbox.ts";
import { restoreConnections, restoredJson, restoredLines } from "../live/restore.ts";
import { topDir } from "../loader/pins.ts";
import { endLeftWatchers, leftWatchers, watchersText } from "../loader/run-watchers.ts";
import { readRemains, type ScopeState } from "../loader/state.ts";
import { lock } from "../loader/store.ts";
import type { Io } from "../output/io.ts";
import { enumerated } from "../output/wrap.ts";
import type { Rule } from "../policy/rule.ts";
import { unloadedJson, unloadedLine } from "../programs/report.ts";
import { isLeft, type LoadedProgram, readPrograms } from "../programs/state.ts";
import { removePrograms } from "../programs/store.ts";
import { findBpffs, unmountOwnBpffs } from "../system/host.ts";
import type { Patience } from "../system/lock.ts";
import { anyHooks, syncHooks } from "../system/unit-hook.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { judge, otherJson, ownPrograms, type Proof, prove } from "./reset-proof.ts";
import { leaf } from "./types.ts";

const ruleCount = (states: readonly ScopeState[]) => states.reduce((sum, { count }) => sum + count, 0);

/** Those of a tcpx with more extensions nobody here can read, and they go as well. */
function readable(scope: ScopeState): Rule[] | undefined {
  try {
    return scope.rules;
  } catch (error) {
    if (error instanceof TcpxError) return undefined;
    throw error;
  }
}

/** Programs of others that we have loaded. */
function loadedPrograms(lib: Bridge): LoadedProgram[] {
  return readPrograms(lib).filter((program) => !isLeft(program));
}

async function dryRun(io: Io, states: ScopeState[], site: Site, loaded: LoadedProgram[]): Promise<void> {
  const read = states.map((scope) => ({ scope, rules: readable(scope) }));
  const rules = read.flatMap(({ scope, rules }) => (rules ?? []).map((rule) => ({ scope, rule })));
  const agent = await agentPid();
  const watchers = await leftWatchers();
  const nothing =
    states.length + loaded.length + watchers.length === 0 && agent === undefined && siteText(site) === "";
  io.json({
    changed: !nothing,
    dry_run: true,
    scopes: states.map(scopeJson),
    rule_count: ruleCount(states),
    site: siteJson(site),
    unloaded_programs: loaded.map(unloadedJson),
    agent_pid: agent ?? null,
    run_watchers: watchers,
  });
  if (agent !== undefined) io.print(`would end the agent, pid ${agent}`);
  if (rules.length > 0) {
    io.print("would remove:");
    await io.rows(ruleRows(rules, null, site));
  }
  for (const { scope, rules } of read)
    if (!rules)
      io.print(
        `would remove ${scope.count} rule(s) of another tcpx (${scope.version}) in cgroup ${labelOf(scope)}`,
      );
  if (loaded.length > 0) io.print(["would unload:", ...loaded.map(unloadedLine)].join("\n"));
  if (siteText(site)) io.print(`would remove ${siteText(site)}`);
  if (watchers.length > 0) io.print(`would end ${watchersText(watchers)}`);
  if (nothing) io.print("tcpx has nothing on this host");
}

/** What a reset has found, and removed. */
interface Removed {
  states: ScopeState[];
  /** There were pins of ours. */
  present: boolean;
  rules: number;
  site: Site;
  loaded: LoadedProgram[];
  agent: Awaited<ReturnType<typeof stopAgent>>;
  leftovers: string[];
  watchers: number[];
  restored: Awaited<ReturnType<typeof restoreConnections>>;
  unmounted: boolean;
  /** What could not be removed of the pins, and why. */
  stuck: string[];
}

/** Undefined, too, where the record of connections is none any more. */
async function restoredIfKnown(lib: Bridge): Promise<Removed["restored"]> {
  try {
    return await restoreConnections(lib);
  } catch (error) {
    if (error instanceof Errno) return undefined;
    throw error;
  }
}

/** Nothing is touched while another tcpx has the lock. */
async function removeLocked(lib: Bridge, patience: Patience) {
  const bpffs = findBpffs(lib);
  const present = bpffs !== undefined && listPins(topDir(bpffs)).length > 0;
  using held = present ? await lock(lib, patience) : undefined;
  const agent = await stopAgent(lib); // first: what it serves is about to go
  const leftovers = await removeLeftovers();
  const watchers = await endLeftWatchers(lib);
  const restored = held && (await restoredIfKnown(lib));
  const named = held ? await removePrograms(lib, held.bpffs) : [];
  const stuck = [
    ...named.map((name) => `congestion control ${name} (the kernel still has it)`),
    ...(held?.removeEverything() ?? []),
  ];
  return { present, agent, leftovers, watchers, restored, stuck };
}

async function removeAll(
  lib: Bridge,
  states: ScopeState[],
  site: Site,
  patience: Patience,
): Promise<Removed> {
  const rules = ruleCount(states);
  const loaded = loadedPrograms(lib);
  const removed = await removeLocked(lib, patience);
  if (anyHooks()) syncHooks([]); // somebody has removed the pins by hand
  return { ...removed, states, rules, site, loaded, unmounted: unmountOwnBpffs(lib) };
}

function resetJson(removed: Removed, proof: Proof): Record<string, unknown> {
  const { states, present, rules, site, loaded, agent, leftovers, watchers, restored, unmounted } = removed;
  const { routes } = proof;
  const ended = watchers.length > 0 || agent !== undefined;
  return {
    changed: present || leftovers.length > 0 || unmounted || ended || routes.removed > 0,
    dry_run: false,
    scopes: states.map(scopeJson),
    rule_count: rules,
    site: siteJson(site),
    unloaded_programs: loaded.map(unloadedJson),
    agent_pid: agent?.pid ?? null,
    routes_removed: routes.removed,
    run_watchers: watchers,
    leftovers,
    given_back: restored ? restoredJson(restored) : null,
    unmounted,
    proof: {
      cgroups_checked: proof.cgroups,
      programs_left: proof.own.map(({ program, cgroup }) => `program ${program} at ${cgroup}`),
      programs_of_others: proof.others.map(otherJson),
      agents_of_others: routes.others ?? [],
      pins_left: proof.pins,
      agent_left: proof.agent,
      namespaces_checked: routes.namespaces,
      namespaces_with_routes_left: routes.failed,
    },
  };
}

function* resetLines({ states, ...removed }: Removed, { routes }: Proof, newer?: string): Generator<string> {
  const { present, rules, site, loaded, agent, leftovers, watchers, restored, unmounted } = removed;
  if (agent) yield `ended the agent, pid ${agent.pid}${agent.killed ? ", which had to be killed" : ""}`;
  const what = newer === undefined ? `${rules} rule(s)` : `what tcpx ${newer} had`;
  const unseen = states.filter(({ alive, visible }) => alive && !visible).length;
  const also = unseen > 0 ? `, ${unseen} of them not visible from here` : "";
  yield present ? `removed ${what} in ${states.length} scope(s)${also}` : "there were no rules";
  for (const program of loaded) yield unloadedLine(program);
  if (siteText(site)) yield "removed the site's table: experiment identifiers, algorithms";
  if (restored) yield* restoredLines(restored);
  for (const name of leftovers) yield `removed ${name}, left by a killed command`;
  if (watchers.length > 0) yield `ended ${watchersText(watchers)}`;
  if (routes.removed > 0) yield `removed ${routes.removed} rules and routes that an agent had left`;
  if (unmounted) yield "unmounted /sys/fs/bpf, which tcpx had mounted";
}

/** The table, unless somebody has made something else of its pin. */
function siteIfAny(host: Host, newer: string | undefined): Site {
  try {
    return newer === undefined ? host.site() : DEFAULT_SITE;
  } catch (error) {
    if (error instanceof Errno) return DEFAULT_SITE;
    throw error;
  }
}

async function run(args: Args, io: Io): Promise<ExitCode> {
  const patience = patienceOf(args, io);
  const host = await openHost();
  const { lib } = host;
  const { states, newer } = readRemains(lib);
  const site = siteIfAny(host, newer);
  if (flagArg(args, "dry-run")) {
    await dryRun(io, states, site, loadedPrograms(lib));
    return Exit.DONE;
  }
  const own = ownPrograms(lib);
  const removed = await removeAll(lib, states, site, patience);
  const proof = await prove(lib, own, removed.stuck);
  io.json(resetJson(removed, proof));
  for (const line of resetLines(removed, proof, newer)) io.print(line);
  return judge(proof, io);
}

const lives = (part: (live: Live) => string | undefined) =>
  extensions.flatMap(({ live }) => (live && part(live)) ?? []);
const capitalized = (text: string) => text.charAt(0).toUpperCase() + text.slice(1);

export const reset = leaf({
  summary:
    "Remove everything that tcpx has put into the running system, and prove it: rules of all scopes and network " +
    "namespaces, attached programs, programs of others that it has loaded, pins, leftovers of killed commands, and the bpffs mount if tcpx made it.",
  args: { ...changeArgs, ...globalArgs },
  examples: [
    ["tcpx reset", "Undo everything but tcpx persist"],
    ["tcpx reset --dry-run", "What it would remove"],
  ],
  notes: [
    `Connections that exist get back the ${enumerated(
      "and",
      lives(({ gives }) => gives),
    )} that they had, where the value ` +
      `is still ours (Linux >= 5.15). ${capitalized(enumerated("and", [...lives(({ keeps }) => keeps), "what was told to peers"]))} ` +
      "cannot be taken back.",
    "Programs of another tcpx, whose bpffs is not this one (a container's, say), are left alone: it says whose they " +
      "are, as far as that can be seen from here, and ends with 0.",
    "The unit and the policy of `tcpx persist on` stay, and bring rules back with the next start of the system: " +
      "`tcpx persist off` ends that.",
    "Extensions that `tcpx ext add` has added stay, without rules, as other installed software does: `tcpx ext remove`.",
  ],
  run,
});
