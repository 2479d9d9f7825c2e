// SPDX-License-Identifier: MIT

import { type Args, changeArgs, flagArg, globalArgs, type ScopeFlags, textArg } from "../base/args.ts";
import { LONGEST_WAIT_MS, parseDuration } from "../base/duration.ts";
import { Exit, TcpxError } from "../base/errors.ts";
import { type Bridge, bridge, unwrap } from "../bridge/bridge.ts";
import { applyJson, applyLines } from "../change/apply-report.ts";
import { netnsFor } from "../change/one-scope.ts";
import type { ProgramTarget } from "../change/programs.ts";
import { changeScopes, type Target } from "../change/scopes.ts";
import { isOutdated, slotsInUse } from "../change/site-needs.ts";
import { openHost } from "../flags/host-access.ts";
import { patienceOf } from "../flags/patience.ts";
import { resolveScope } from "../loader/named-scope.ts";
import { isTemporary } from "../loader/run-scopes.ts";
import { siteIfReadable } from "../loader/site-map.ts";
import { readHeads, type ScopeHead, scopeOf } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import { Progress } from "../output/progress.ts";
import { exactRules, isWork, type RuleMap, setRules } from "../policy/change.ts";
import type { Netns, Rule } from "../policy/rule.ts";
import { type Policy, parsePolicy } from "../policy-file/parse.ts";
import { Fitting, placeScope } from "../policy-file/place.ts";
import { type PlacedScope, resolveScopes } from "../policy-file/resolve.ts";
import { settle } from "../policy-file/site-tables.ts";
import { collectAfter } from "../system/garbage.ts";
import { currentNetns, type Scope } from "../system/host.ts";
import { readText } from "../system/read-text.ts";
import { Problems } from "../toml/problem.ts";
import { type Site, sameSite } from "../wire/site.ts";
import { becauseOf, planPrograms, programTargets, requireControls } from "./apply-programs.ts";
import { leaf } from "./types.ts";

/** Room for several 100,000 rules; what is longer is no policy. */
const MOST_BYTES = 32 << 20;

const number = (n: number) => n.toLocaleString("en-US");

function readPolicy(lib: Bridge, args: Args, progress: Progress): Promise<Policy> {
  const file = textArg(args, "file")!;
  const name = file === "-" ? "stdin" : file;
  const source = { name, text: readText(file, name, MOST_BYTES) };
  const present = { site: siteIfReadable(lib), inUse: () => slotsInUse(lib) };
  return parsePolicy(
    source,
    (count) => progress.step(() => `reading ${name}: rule ${number(count)}`),
    (tables) => settle(source, tables, present, flagArg(args, "keep")),
  );
}

/** What a file of ours cannot say is none of its business: rules for another namespace than ours, or for one alone in a scope that is not our root. */
function isElsewhere(scope: Scope, { netns }: Rule, own: Netns | null): boolean {
  return netns !== null && (scope.name !== "/" || netns.cookie !== own?.cookie);
}

function tellUnseen(lib: Bridge, io: Io): void {
  for (const { name, count, visible, alive, waiting, damaged } of readHeads(lib)) {
    if (visible || damaged || !(alive || waiting)) continue;
    io.messages.info(`cgroup ${name} is not visible from here: its ${count} rule(s) are left alone`);
  }
}

interface Wanted {
  scope: Scope;
  rules: RuleMap;
}

interface Wish {
  scopes: Wanted[];
  programs: ProgramTarget[];
  site: Site;
  notices: string[];
}

/** All that can be wrong with the rules is told before anything is touched. */
function placeAll(lib: Bridge, policy: Policy, placed: PlacedScope[], fitting: Fitting, io: Io): Wanted[] {
  const host = { netns: () => currentNetns(lib) };
  const problems = new Problems();
  const wanted = placed.map(({ wanted, scope }) => {
    const here = wanted.entries.some(({ allNetns }) => !allNetns);
    const netns = here ? netnsFor(host, scope, false, io) : null;
    return { scope, rules: placeScope(policy, wanted, netns, fitting, problems) };
  });
  problems.end();
  return wanted;
}

/** Scopes in force that the file does not name: those that it is about all the same, and the others. */
function unnamed(lib: Bridge, wanted: Wanted[], keep: boolean) {
  const named = new Set(wanted.map(({ scope }) => scope.id));
  const left = readHeads(lib).filter(({ id, alive, waiting }) => (alive || waiting) && !named.has(id));
  // what cannot be seen from here is for a file of the view that it belongs to
  const mine = ({ name, visible }: ScopeHead) => !keep && visible && !isTemporary(name);
  return { emptied: left.filter(mine), others: left.filter((head) => !mine(head)) };
}

function targetsOf(lib: Bridge, { scopes: wanted, site }: Wish, keep: boolean): Target[] {
  const own = currentNetns(lib);
  const target = (scope: Scope, rules: RuleMap): Target => ({
    scope,
    plan: (present) => exactRules(present, rules, (rule) => keep || isElsewhere(scope, rule, own)),
  });
  const named = wanted.map(({ scope, rules }) => target(scope, rules));
  const { emptied, others } = unnamed(lib, wanted, keep);
  // the site's table is for every scope
  const reloaded = others
    .filter((state) => isOutdated(state, site))
    .map((state): Target => ({ scope: scopeOf(state), plan: (present) => setRules(present, present) }));
  return [...named, ...emptied.map((state) => target(scopeOf(state), new Map())), ...reloaded];
}

function cgroupPatience(args: Args): number {
  const text = textArg(args, "wait-cgroup");
  return text === undefined ? 0 : parseDuration(text, "--wait-cgroup", 1, LONGEST_WAIT_MS);
}

/** While the system starts, services that do not run yet are made ready, and what is not there stops nothing. */
function resolver(lib: Bridge, args: Args, io: Io, missed: ScopeFlags[]) {
  if (!flagArg(args, "prepare-units")) return (flags: ScopeFlags) => resolveScope(lib, flags);
  const prepare = !flagArg(args, "dry-run");
  return (flags: ScopeFlags) => {
    try {
      return resolveScope(lib, flags, { prepare });
    } catch (error) {
      if (!(error instanceof TcpxError) || !error.absent) throw error;
      io.messages.warn(`${error.message}: its rules are left out`);
      missed.push(flags);
      return undefined;
    }
  };
}

/** The file's rules on this host. What was read for it is garbage afterwards, and may be much. */
async function wantedRules(
  lib: Bridge,
  fitting: Fitting,
  args: Args,
  progress: Progress,
  io: Io,
  missed: ScopeFlags[],
): Promise<Wish> {
  const patience = cgroupPatience(args);
  const policy = await readPolicy(lib, args, progress);
  const waiting = (what: string) => {
    progress.clear();
    io.messages.info(`waiting: ${what}`);
  };
  collectAfter(policy.scopes.reduce((sum, { entries }) => sum + entries.length, 0));
  const placed = await resolveScopes(policy, resolver(lib, args, io, missed), patience, waiting);
  const scopes = placeAll(lib, policy, placed, fitting, io);
  return { scopes, programs: programTargets(policy, placed), site: policy.site, notices: policy.notices };
}

async function run(args: Args, io: Io) {
  using progress = new Progress(io);
  const dryRun = flagArg(args, "dry-run");
  const patience = patienceOf(args, io);
  const lib = await bridge();
  const fitting = new Fitting({ tickUs: unwrap("tick", lib.tcpx_jiffy_us()) });
  const missed: ScopeFlags[] = [];
  const leftOut: string[] = [];
  const wanted = await wantedRules(lib, fitting, args, progress, io, missed);
  const host = await openHost();
  lib.tcpx_log_level(io.flags.verbose ? 2 : 0);
  progress.clear();
  const notices = [...wanted.notices, ...fitting.notices()];
  for (const notice of notices) io.messages.warn(notice);
  tellUnseen(lib, io);
  collectAfter(wanted.scopes.reduce((sum, { rules }) => sum + rules.size, 0));
  using programs = await planPrograms(lib, wanted.programs, args, io, leftOut);
  requireControls(programs, wanted);
  await programs.loadControls(dryRun, patience);
  const { changes, site, agent, warnings, live } = await changeScopes(io, host, {
    dryRun,
    patience,
    site: { table: wanted.site, isMerged: flagArg(args, "keep") },
    targets: () => targetsOf(lib, wanted, flagArg(args, "keep")),
    prepare: () => fitting.prepare(dryRun, wanted.site),
    everywhere: ({ rules }) => rules.some(({ netns }) => netns === null),
    tick: (done, total) => progress.step(() => `changing scope ${done + 1} of ${total}`),
  }).catch(becauseOf(leftOut));
  if (!dryRun) await programs.finish(patience);
  progress.clear();
  const changed = changes.some(isWork) || !sameSite(site.present, site.wanted) || programs.changes;
  await io.document({
    ...applyJson(changes, { dryRun, changed, site, agent, live, warnings: [...notices, ...warnings] }),
    ...programs.json(),
  });
  const full = dryRun || io.flags.verbose;
  await io.rows(applyLines(changes, site, host.netns(), full));
  for (const line of programs.lines()) io.print(line);
  for (const line of live.flatMap(({ lines }) => lines)) io.print(line);
  if (!changed) io.print("no change");
  else if (dryRun) io.print("nothing was changed (--dry-run)");
  if (agent?.failed) return agent.code;
  return missed.length + leftOut.length > 0 ? Exit.FAILED : Exit.DONE;
}

export const apply = leaf({
  summary:
    "Make a policy file true: its scopes get its rules and no others, each scope in one step. Scopes that the " +
    "file does not name lose theirs.",
  args: {
    file: { type: "positional", valueHint: "FILE", description: "The policy, in TOML; - reads stdin" },
    keep: { type: "boolean", description: "Only add and replace; rules that the file does not have stay" },
    "wait-cgroup": {
      type: "string",
      valueHint: "DURATION",
      description: "Wait so long for cgroups and units that are not there yet, instead of failing",
    },
    "prepare-units": {
      type: "boolean",
      description: "Make the cgroups of services that do not run yet, so that they start with their rules",
    },
    ...changeArgs,
    ...globalArgs,
  },
  examples: [
    ["tcpx apply --dry-run policy.toml", "What it would add (+), remove (-) and leave (~)"],
    ["tcpx apply policy.toml", "Do it; a second time there is nothing to do"],
    ["tcpx apply --keep more.toml", "Add to what is there"],
    ["tcpx apply --wait-cgroup 30s policy.toml", "While the system starts"],
    ["tcpx export | ssh host tcpx apply -", "The same rules elsewhere"],
  ],
  notes: [
    "The file mirrors the commands: `tcpx uto set 30s --to 192.0.2.0/24 --unit nginx` is [[scope]] with " +
      'unit = "nginx", and below it [[scope.uto]] with set = "30s" and to = "192.0.2.0/24". A scope without a ' +
      "name is the root. `tcpx export` prints a policy, `tcpx export --schema` its JSON schema.",
    "[exid] and [algorithms] set experiment identifiers and give numbers to other congestion controls, for the " +
      "whole host; what is not in the file is as documented.",
    "[[congestion]] and [[scope.program]] load whole programs of others, as `tcpx ext load` does; those that the file " +
      "does not name are unloaded.",
    "Left alone are rules of the root scope that are for other network namespaces than the caller's, those of " +
      "cgroups that are not visible from here (a container's host's, say), and what `tcpx run` has set for the " +
      "commands that it runs.",
  ],
  run,
});
