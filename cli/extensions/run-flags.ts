// SPDX-License-Identifier: MIT
// The rules of `tcpx run`: one flag for every extension, whose value becomes arguments of its `set`.

import type { BooleanArgDef } from "citty";
import { type Args, textArg, type ValueDef, type ValuesDef } from "../base/args.ts";
import { meant } from "../base/did-you-mean.ts";
import { TcpxError, usageError } from "../base/errors.ts";
import { DEFAULT_SITE, type Site } from "../wire/site.ts";
import { extensions } from "./index.ts";
import type { Drafted, Extension, RuleVerb, RunFlag } from "./types.ts";

interface Runnable {
  extension: Extension;
  name: string;
  run: RunFlag;
  set: RuleVerb;
}

const runnable = (): Runnable[] =>
  extensions.flatMap((extension) => {
    const { name, run, verbs } = extension;
    return run && verbs.set ? { extension, name, run, set: verbs.set } : [];
  });

/** "every=8,delay=rtt/4" as flags of the verb. */
function keyed(text: string, keys: readonly string[]): Args {
  const found: Record<string, string> = {};
  for (const member of text.split(",")) {
    const [, key = "", value = ""] = /^([a-z][a-z0-9-]*)=(.+)$/.exec(member.trim()) ?? [];
    if (!keys.includes(key) || found[key] !== undefined) {
      const why = found[key] === undefined ? "is not KEY=VALUE of a known key" : "is there twice";
      const hint = `accepted is ${keys.map((k) => `${k}=...`).join(", ")}, or none`;
      const [typed = ""] = member.split("=");
      const near = found[key] === undefined ? meant(typed.trim(), keys, hint) : hint;
      throw usageError(`'${member}' ${why}`, member, near);
    }
    found[key] = value;
  }
  return found;
}

const wordOf = ({ set }: Runnable) => Object.entries(set.args).find(([, { type }]) => type === "positional");

/** The arguments of `set` that a flag's value stands for. */
function argumentsOf(one: Runnable, value: string, args: Args): Args {
  const { set, run } = one;
  const switches = Object.fromEntries((run.switches ?? []).map((name) => [name, args[name]]));
  const [word, def] = wordOf(one) ?? [];
  if (word !== undefined && (def?.required !== false || value === "none"))
    return { [word]: value, ...switches };
  const keys = Object.entries(set.args)
    .filter(([, { type }]) => type === "string")
    .map(([name]) => name);
  return { ...keyed(value, keys), ...switches };
}

/** A switch of `set`, which says here to which flag it belongs. */
function switchOf({ name, set }: Runnable, key: string): BooleanArgDef {
  const def = set.args[key] as BooleanArgDef;
  const told = (text?: string) => text && `With --${name}: ${text[0]!.toLowerCase()}${text.slice(1)}`;
  const { description, negativeDescription } = def;
  return {
    ...def,
    ...(description && { description: told(description)! }),
    ...(negativeDescription && { negativeDescription: told(negativeDescription)! }),
  };
}

function flagOf(one: Runnable): ValueDef {
  const { valueHint, description } = one.run;
  const words = wordOf(one)?.[1].words;
  return { type: "string", valueHint, description, ...(words && { words }) };
}

/** The flags of `run`. */
export function runArgs(): ValuesDef {
  const all = runnable();
  return Object.fromEntries([
    ...all.map((one) => [one.name, flagOf(one)]),
    ...all.flatMap((one) => (one.run.switches ?? []).map((key) => [key, switchOf(one, key)])),
  ]);
}

/** A switch that was given without the flag to which it belongs. */
function strayError(args: Args): TcpxError | undefined {
  for (const { name, run, set } of runnable().filter((one) => textArg(args, one.name) === undefined)) {
    const isGiven = (key: string) =>
      (args[key] ?? set.args[key]!.default ?? false) !== (set.args[key]!.default ?? false);
    const stray = run.switches?.find(isGiven);
    if (stray === undefined) continue;
    const flag = args[stray] === false ? `--no-${stray}` : `--${stray}`;
    return usageError(`${flag} is only for --${name}`, flag, "leave it out");
  }
  return undefined;
}

export interface RunDraft extends Drafted {
  extension: Extension;
}

/**
 * What the flags ask for.
 * @throws TcpxError (usage) for values out of range, and when there is nothing to do
 */
export function draftRun(args: Args, site: Site = DEFAULT_SITE): RunDraft[] {
  const stray = strayError(args);
  if (stray) throw stray;
  const drafts = runnable().flatMap((one): RunDraft[] => {
    const value = textArg(args, one.name);
    if (value === undefined) return [];
    try {
      return [{ extension: one.extension, ...one.set.draft(argumentsOf(one, value, args), site) }];
    } catch (error) {
      if (!(error instanceof TcpxError)) throw error;
      throw usageError(`--${one.name} '${value}': ${error.message}`, value, error.hint);
    }
  });
  if (drafts.length > 0) return drafts;
  const names = runnable().map(({ name }) => `--${name}`);
  throw usageError("there is nothing to set", undefined, `give at least one of ${names.join(", ")}`);
}
