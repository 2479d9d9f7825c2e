// SPDX-License-Identifier: MIT
// set, accept, show and unset for any extension: what differs between extensions is in extensions/.

import {
  type Args,
  flagArg,
  globalArgs,
  liveArgs,
  placeArgs,
  type ScopeFlags,
  scopeArgs,
  scopeFlags,
  selectorWords,
  textArg,
} from "../args.ts";
import { Exit, type ExitCode, usageError } from "../errors.ts";
import { placeRules } from "../extensions/place.ts";
import type { Drafted, Example, Extension, RuleVerb } from "../extensions/types.ts";
import { bridge, unwrap } from "../loader/bridge.ts";
import { siteIfReadable } from "../loader/site.ts";
import type { ScopeState } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import { ruleJson, ruleTable, unitNameOf } from "../output/rules.ts";
import { type Change, isChange, setRules, unsetRules } from "../policy/change.ts";
import { KINDS, type Kind, type Netns, type Rule, ruleKey, type Selector } from "../policy/rule.ts";
import { parseSelectors } from "../policy/selector.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { changeScope, type Places } from "./change-scope.ts";
import { openHost } from "./host-access.ts";
import { patienceOf } from "./patience.ts";
import { type Group, type Leaf, leaf } from "./types.ts";

const undoArgs = {
  live: {
    type: "boolean",
    description: "Give connections that exist back what they had, where the value is still ours",
  },
} as const;

const places = (args: Args, io: Io): Places => ({
  scope: scopeFlags(args),
  allNetns: flagArg(args, "all-netns"),
  dryRun: flagArg(args, "dry-run"),
  patience: patienceOf(args, io),
});

/** The drafts as this kernel can do them. */
export async function fitted(verb: RuleVerb, { drafts, notices }: Drafted): Promise<Drafted> {
  if (!verb.fit) return { drafts, notices };
  const fit = verb.fit(drafts, { tickUs: unwrap("tick", (await bridge()).tcpx_jiffy_us()) });
  return { drafts: fit.drafts, notices: [...notices, ...fit.notices] };
}

/** The table that the words of a command are looked up in; what it is then changes no meaning under the lock. */
export async function siteFor(extension: Extension): Promise<Site> {
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
    ],
    async run(args, io) {
      const where = places(args, io);
      const selectors = parseSelectors(selectorWords(args));
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
      return changeScope(io, `${extension.name} ${name}`, where, plan, wish, () =>
        verb.prepare?.(drafts, where.dryRun, site),
      );
    },
  });
}

function parseKind(value: string | undefined, verb: string): Kind | undefined {
  if (value === undefined || KINDS.includes(value as Kind)) return value as Kind | undefined;
  throw usageError(
    `stray argument '${value}'`,
    value,
    `${verb} accepts ${KINDS.join(", ")}, or nothing for all three`,
  );
}

/** What connections may still have of rules that are to go: the present ones, or those at these places. */
function undone(
  extension: Extension,
  selectors: Selector[] | undefined,
  change: Change,
  netns: Netns | null,
) {
  const draft = { kind: "local", none: false, force: false, value: [0, 0] } as const;
  const there = selectors?.map((selector) => ({ ext: extension.name, selector, netns, ...draft }));
  return [...change.removed.filter(({ kind }) => kind === "local"), ...(there ?? [])];
}

function unset(extension: Extension): Leaf {
  const hasLive = Object.values(extension.verbs).some(({ checkLive }) => checkLive);
  const command = `tcpx ${extension.name} unset`;
  return leaf({
    summary: "Remove rules: those at exactly this selector, as it was given to set or accept.",
    args: {
      kind: {
        type: "positional",
        required: false,
        valueHint: "ask|local|accept",
        description: "Only this kind: ask, local or accept; default: all three",
      },
      all: {
        type: "boolean",
        description: `All ${extension.name} rules of the scope, in every network namespace`,
      },
      ...placeArgs,
      ...(hasLive && undoArgs),
      ...globalArgs,
    },
    examples: [
      ...(hasLive
        ? ([[`${command} --all --live`, "Also give connections back what they had"]] as Example[])
        : []),
      [`${command} --to 10.0.0.0/8`, "Take back the rule for 10.0.0.0/8"],
      [command, "Take back the rule that was set without a selector"],
      [`${command} --all`, `Take back every ${extension.name} rule of the root scope`],
    ],
    async run(args, io) {
      const where = places(args, io);
      const kind = parseKind(textArg(args, "kind"), command);
      const selective = ["to", "from", "port"].find((flag) => args[flag] !== undefined);
      if (args.all && selective) {
        throw usageError(`--all and --${selective} exclude each other`, "--all", "give one of them");
      }
      const selectors = args.all ? undefined : parseSelectors(selectorWords(args));
      let own: Netns | null = null;
      const wish = {
        ext: extension.name,
        live: flagArg(args, "live"),
        undo: (change: Change) => (kind && kind !== "local" ? [] : undone(extension, selectors, change, own)),
      };
      const plan = (present: Rule[], netns: Netns | null) => {
        own = netns;
        const change = unsetRules(present, { ext: extension.name, kind, selectors, netns });
        const left = change.rules.filter((rule) => rule.ext === extension.name).length;
        if (!isChange(change) && left > 0) {
          io.messages.info(
            `${left} other ${extension.name} rule(s) stand in this scope; see \`tcpx ${extension.name} show\``,
          );
        }
        return change;
      };
      return changeScope(io, `${extension.name} unset`, where, plan, wish);
    },
  });
}

/** What the agent knows about an extension's rules. */
async function figuresFor(states: ScopeState[], io: Io) {
  const { agentSection } = await import("../agent/section.ts");
  return agentSection(states, io, false);
}

async function showRules(extension: Extension, flags: ScopeFlags, io: Io): Promise<ExitCode> {
  const host = await openHost(flags, "read");
  const states = host.states();
  const rows = states.flatMap((scope) =>
    scope.rules.filter((rule) => rule.ext === extension.name).map((rule) => ({ scope, rule })),
  );
  rows.sort((a, b) => (ruleKey(a.rule) < ruleKey(b.rule) ? -1 : 1));
  const figures = extension.needsAgent ? await figuresFor(states, io) : undefined;
  io.json({
    rules: rows.map(({ scope, rule }) => ({
      scope: scope.name,
      scope_id: scope.id,
      unit: unitNameOf(scope),
      alive: scope.alive,
      visible: scope.visible,
      waiting: scope.waiting,
      ...ruleJson(rule, host.site()),
    })),
    ...figures?.json,
  });
  io.print(rows.length > 0 ? ruleTable(rows, host.netns(), host.site()) : `no ${extension.name} rules`);
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
