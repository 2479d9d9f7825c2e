// SPDX-License-Identifier: MIT
// unset for any extension: takes rules back, and says where there is none, and what stands near.

import { type Args, type Example, flagArg, globalArgs, placeArgs, textArg } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { Exit, type ExitCode, TcpxError, usageError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { changeScope, placesOf } from "../change/one-scope.ts";
import { missingText, nearText } from "../describe/near-text.ts";
import { labelOf } from "../describe/rules.ts";
import { kindsOf } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import { selectorsOf } from "../flags/selectors.ts";
import { readScopes, type ScopeState } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import { enumerated } from "../output/wrap.ts";
import { type Change, missingPlaces, unsetRules } from "../policy/change.ts";
import { nearRules, type Wanted } from "../policy/near.ts";
import type { Kind, Netns, Rule, Selector } from "../policy/rule.ts";
import { formatCidr, formatSelector } from "../policy/selector.ts";
import type { Scope } from "../system/host.ts";
import { type Leaf, leaf } from "./types.ts";

const undoArgs = {
  live: {
    type: "boolean",
    description: "Give connections that exist back what they had, where the value is still ours",
  },
} as const;

/** So many places without a rule are told, and so many listed for scripts. */
const MOST_MISSING = 3;
const MOST_LISTED = 20;
/** So many other scopes that have one are told. */
const MOST_SCOPES = 3;

/** Kinds of rules that its verbs make. */
const madeKinds = (extension: Extension): Kind[] =>
  kindsOf(extension).filter((kind) =>
    Object.values(extension.verbs).some(({ kinds }) => kinds.includes(kind)),
  );

/** "all three" */
const all = (kinds: Kind[]) => ["", "all", "both", "all three"][kinds.length] ?? `all ${kinds.length}`;

function parseKind(value: string | undefined, verb: string, kinds: Kind[]): Kind | undefined {
  const kind = kinds.find((one) => one === value);
  if (value === undefined || kind) return kind;
  const hint = `${verb} accepts ${kinds.join(", ")}, or nothing for ${all(kinds)}`;
  throw usageError(`stray argument '${value}'`, value, meant(value, kinds, hint));
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

interface Unset {
  extension: Extension;
  kind: Kind | undefined;
  /** undefined: all. */
  selectors: Selector[] | undefined;
}

/** A place without a rule, what is to be said about it, and the same for scripts. */
interface Missing {
  what: string;
  near: string;
  value: string;
  json: Record<string, unknown>;
}

const placeJson = (selector: Selector, netns: Netns | null) => ({
  direction: selector.direction,
  address: selector.family === 0 ? null : formatCidr(selector),
  port: selector.port || null,
  netns: netns?.inode ?? null,
  netns_cookie: netns?.cookie ?? null,
});

/** Scopes but this one, read when they are asked for. */
function othersThan(scope: Scope, lib: Bridge): () => ScopeState[] {
  let read: ScopeState[] | undefined;
  return () => {
    read ??= readScopes(lib).filter(({ id, alive, waiting }) => id !== scope.id && (alive || waiting));
    return read;
  };
}

/** Other scopes in which the same words would take something back. */
function elsewhere(
  others: ScopeState[],
  { extension, kind }: Unset,
  selector: Selector | undefined,
): string[] {
  const has = (rule: Rule) => {
    const unset = { ext: extension.name, kind, selectors: selector && [selector], netns: rule.netns };
    return rule.ext === extension.name && unsetRules([rule], unset).removed.length > 0;
  };
  return others.filter(({ rules }) => rules.some(has)).map(labelOf);
}

const scopeName = (name: string) => (name === "/" ? "the root scope" : `cgroup ${name}`);

function otherScopes(names: string[]): string {
  if (names.length === 0) return "";
  const more = names.length > MOST_SCOPES ? [`${names.length - MOST_SCOPES} more`] : [];
  const shown = [...names.slice(0, MOST_SCOPES).map(scopeName), ...more].join(", ");
  return `such a rule stands in ${shown}`;
}

/** --all where there is nothing. */
function missingAll({ extension, kind }: Unset, scope: Scope, names: string[]): Missing {
  const ext = extension.name;
  const what = `there is no ${[ext, kind].filter(Boolean).join(" ")} rule in ${scopeName(scope.name)}`;
  const json = { extension: ext, kind: kind ?? null, near: [], cgroups: names };
  return { what, near: otherScopes(names), value: "--all", json };
}

/** Of the places that were asked for, the first ones without a rule, and how many there are. */
function missingOf(
  unset: Unset,
  present: Rule[],
  netns: Netns | null,
  scope: Scope,
  lib: Bridge,
): { missing: Missing[]; count: number } {
  const { extension, kind, selectors } = unset;
  const ext = extension.name;
  const others = othersThan(scope, lib);
  if (!selectors) {
    const isThere = present.some((rule) => rule.ext === ext && (kind === undefined || rule.kind === kind));
    const missing = isThere ? [] : [missingAll(unset, scope, elsewhere(others(), unset, undefined))];
    return { missing, count: missing.length };
  }
  const places = missingPlaces(present, { ext, kind, selectors, netns });
  const left = present.filter((rule) => rule.ext === ext).length;
  const show = left > 0 ? `${left} other ${ext} rule(s) stand in this scope; see \`tcpx ${ext} show\`` : "";
  const missing = places.slice(0, MOST_LISTED).map((selector): Missing => {
    const wanted: Wanted = { ext, kind, selector, netns };
    const close = nearRules(present, wanted);
    const names = close.near.length > 0 ? [] : elsewhere(others(), unset, selector);
    return {
      what: missingText(wanted, scope.name),
      near: nearText(close, wanted) || otherScopes(names) || show,
      value: formatSelector(selector),
      json: {
        extension: ext,
        kind: kind ?? null,
        ...placeJson(selector, netns),
        near: close.near.map((one) => ({ kinds: one.kinds, ...placeJson(one.selector, one.netns) })),
        cgroups: names,
      },
    };
  });
  return { missing, count: places.length };
}

/** @throws TcpxError (usage): --strict */
function refuse({ missing: [first], count }: ReturnType<typeof missingOf>, show: string): void {
  if (!first) return;
  const others = count > 1 ? `, and none at ${count - 1} more place(s) that were named` : "";
  throw new TcpxError(Exit.USAGE, `${first.what}${others}`, {
    value: first.value,
    hint: `${first.near || `see \`${show}\``}; nothing was changed (--strict)`,
  });
}

function unsetArgs(extension: Extension, hasLive: boolean) {
  const kinds = madeKinds(extension);
  return {
    kind: {
      type: "positional",
      required: false,
      valueHint: kinds.join("|"),
      description: `Only this kind: ${enumerated("or", kinds)}; default: ${all(kinds)}`,
    },
    all: {
      type: "boolean",
      description: `All ${extension.name} rules of the scope, in every network namespace`,
    },
    strict: {
      type: "boolean",
      description: "Fail with 2, and change nothing, where there is no such rule",
    },
    ...placeArgs,
    ...(hasLive && undoArgs),
    ...globalArgs,
  } as const;
}

async function run(extension: Extension, command: string, args: Args, io: Io): Promise<ExitCode> {
  const where = placesOf(args, io);
  const kind = parseKind(textArg(args, "kind"), command, madeKinds(extension));
  const selective = ["to", "from", "port"].find((flag) => args[flag] !== undefined);
  if (args.all && selective) {
    throw usageError(`--all and --${selective} exclude each other`, "--all", "give one of them");
  }
  const { selectors, notices } = args.all ? { notices: [] } : selectorsOf(args, io);
  let own: Netns | null = null;
  let found: ReturnType<typeof missingOf> = { missing: [], count: 0 };
  const wish = {
    ext: extension.name,
    live: flagArg(args, "live"),
    undo: (change: Change) => (kind && kind !== "local" ? [] : undone(extension, selectors, change, own)),
  };
  const plan = (present: Rule[], netns: Netns | null, scope: Scope, lib: Bridge) => {
    own = netns;
    found = missingOf({ extension, kind, selectors }, present, netns, scope, lib);
    if (flagArg(args, "strict")) refuse(found, `tcpx ${extension.name} show`);
    return unsetRules(present, { ext: extension.name, kind, selectors, netns });
  };
  const tell = () => {
    const { missing, count } = found;
    for (const { what, near } of missing.slice(0, MOST_MISSING))
      io.messages.info(near === "" ? what : `${what}; ${near}`);
    if (count > MOST_MISSING)
      io.messages.info(`nor at ${count - MOST_MISSING} more place(s) that were named`);
    return { warnings: notices, missing: missing.map(({ json }) => json), missing_count: count };
  };
  return changeScope(io, `${extension.name} unset`, where, plan, wish, undefined, tell);
}

/** The verb of an extension. */
export function unset(extension: Extension): Leaf {
  const hasLive = Object.values(extension.verbs).some(({ checkLive }) => checkLive);
  const command = `tcpx ${extension.name} unset`;
  const verbs = enumerated("or", Object.keys(extension.verbs));
  const undo: Example[] = hasLive
    ? [[`${command} --all --live`, "Also give connections back what they had"]]
    : [];
  return leaf({
    summary: `Remove rules: those at exactly this selector, as it was given to ${verbs}.`,
    args: unsetArgs(extension, hasLive),
    examples: [
      ...undo,
      [`${command} --to 10.0.0.0/8`, "Take back the rule for 10.0.0.0/8"],
      [command, "Take back the rule that was set without a selector"],
      [`${command} --all`, `Take back every ${extension.name} rule of the root scope`],
    ],
    notes: [
      "Where there is no such rule the command says so, names rules that stand near, and ends with 0; with " +
        "--strict it ends with 2.",
    ],
    run: (args, io) => run(extension, command, args, io),
  });
}
