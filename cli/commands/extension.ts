// SPDX-License-Identifier: MIT
// set, accept, show and unset for any extension: what differs between extensions is in extensions/.

import {
  flagArg,
  globalArgs,
  liveArgs,
  placeArgs,
  type ScopeFlags,
  scopeArgs,
  scopeFlags,
} from "../base/args.ts";
import { Exit, type ExitCode } from "../base/errors.ts";
import { bridge, unwrap } from "../bridge/bridge.ts";
import { changeScope, placesOf } from "../change/one-scope.ts";
import { ruleJson, ruleRows, unitNameOf } from "../describe/rules.ts";
import { placeRules } from "../extensions/place.ts";
import type { Drafted, Extension, RuleVerb } from "../extensions/types.ts";
import { openHost } from "../flags/host-access.ts";
import { selectorsOf } from "../flags/selectors.ts";
import { siteIfReadable } from "../loader/site-map.ts";
import type { ScopeState } from "../loader/state.ts";
import { listOf } from "../output/document.ts";
import type { Io } from "../output/io.ts";
import { setRules } from "../policy/change.ts";
import { comparePlaces, type Netns, type Rule } from "../policy/rule.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { type Group, type Leaf, leaf } from "./types.ts";
import { unset } from "./unset.ts";

/** The drafts as this kernel can do them. */
export async function fitted(verb: RuleVerb, { drafts, notices }: Drafted): Promise<Drafted> {
  if (!verb.fit) return { drafts, notices };
  const fit = verb.fit(drafts, { tickUs: unwrap("tick", (await bridge()).tcpx_jiffy_us()) });
  return { drafts: fit.drafts, notices: [...notices, ...fit.notices] };
}

/** The table that the words of a command are looked up in; what it is then changes no meaning under the lock. */
async function siteFor(extension: Extension): Promise<Site> {
  return extension.slots ? siteIfReadable(await bridge()) : DEFAULT_SITE;
}

function ruleVerb(extension: Extension, name: string, verb: RuleVerb): Leaf {
  return leaf({
    summary: `${verb.summary}.`,
    args: { ...verb.args, ...placeArgs, ...(verb.checkLive && liveArgs), ...globalArgs },
    examples: verb.examples,
    notes: [
      `${extension.title}.`,
      "Longest prefix first, then the exact port. A rule replaces the one at the same selector; it holds for " +
        `connections set up from now on${verb.checkLive ? " (with --live for those that exist, too)" : ""}, until \`tcpx ${extension.name} unset\` takes it back.`,
      ...(verb.directionNote ? [verb.directionNote] : []),
      ...(verb.notes ?? []),
    ],
    async run(args, io) {
      const where = placesOf(args, io);
      const { selectors, notices: unclear } = selectorsOf(args, io);
      const site = await siteFor(extension);
      const drafted = verb.draft(args, site);
      if (flagArg(args, "live")) verb.checkLive?.(drafted.drafts);
      placeRules(extension, selectors, drafted.drafts, null); // a wrong direction is told before anything else
      const { drafts, notices } = await fitted(verb, drafted);
      for (const notice of notices) io.messages.warn(notice);
      const plan = (present: Rule[], netns: Netns | null) =>
        setRules(present, placeRules(extension, selectors, drafts, netns));
      const asks = drafts.every(({ kind }) => kind === "ask");
      const wish = { ext: extension.name, live: flagArg(args, "live"), asks };
      const prepare = () => verb.prepare?.(drafts, where.dryRun, site);
      return changeScope(io, `${extension.name} ${name}`, where, plan, wish, prepare, () => ({
        warnings: [...unclear, ...notices],
      }));
    },
  });
}

/** What the agent knows about an extension's rules. */
async function figuresFor(states: ScopeState[], io: Io) {
  const { agentSection } = await import("../agent/section.ts");
  return agentSection(states, io, false);
}

/** The rules of an extension, in the order of their places. */
function rowsOf(states: readonly ScopeState[], extension: Extension) {
  const rows = states.flatMap((scope) =>
    scope.rules.filter((rule) => rule.ext === extension.name).map((rule) => ({ scope, rule })),
  );
  return rows.sort((a, b) => comparePlaces(a.rule, b.rule));
}

async function showRules(extension: Extension, flags: ScopeFlags, io: Io): Promise<ExitCode> {
  const host = await openHost(flags, "read");
  const states = host.states();
  const site = host.site();
  const rows = rowsOf(states, extension);
  const figures = extension.agent ? await figuresFor(states, io) : undefined;
  await io.document({
    rules: listOf(rows, ({ scope, rule }) => ({
      cgroup: scope.name,
      scope_id: scope.id,
      unit: unitNameOf(scope),
      alive: scope.alive,
      visible: scope.visible,
      waiting: scope.waiting,
      ...ruleJson(rule, site),
    })),
    ...figures?.json,
  });
  if (rows.length > 0) await io.rows(ruleRows(rows, host.netns(), site));
  else io.print(`no ${extension.name} rules`);
  if (figures?.text) io.print(`\n${figures.text}`);
  return Exit.DONE;
}

function show(extension: Extension): Leaf {
  return leaf({
    summary: `The ${extension.name} rules in force, of all scopes or of one.`,
    args: { ...scopeArgs, ...globalArgs },
    examples: [
      [`tcpx ${extension.name} show`, "All scopes"],
      [`tcpx ${extension.name} show --json`, "For scripts"],
    ],
    run: (args, io) => showRules(extension, scopeFlags(args), io),
  });
}

/** The command group of an extension. */
export function extensionCommand(extension: Extension): Group {
  const verbs = Object.entries(extension.verbs).map(([name, verb]) => [
    name,
    ruleVerb(extension, name, verb),
  ]);
  return {
    kind: "group",
    summary: `${extension.summary}. ${extension.title}.`,
    examples: extension.examples,
    commands: { ...Object.fromEntries(verbs), show: show(extension), unset: unset(extension) },
  };
}
