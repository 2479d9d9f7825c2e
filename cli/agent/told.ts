// SPDX-License-Identifier: MIT
// The end of every change of rules: the agent hears of it.

import { Exit, type ExitCode, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { Io } from "../output/io.ts";
import { type Change, isChange } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import { namespaceOf, pidsBelow } from "../system/netns.ts";
import { deniedLines } from "./denied.ts";
import { allDenied } from "./denied-here.ts";
import { type AgentAnswer, healthJson } from "./health.ts";
import { notifyAgent, ownNetns } from "./notify.ts";
import type { AgentRequest } from "./socket.ts";
import { fulfils } from "./sync.ts";
import { needsAgent, wishOf } from "./wish.ts";

export interface AgentReport {
  /** For `agent` in the JSON document. */
  json: Record<string, unknown>;
  /** A rule of this very command does not work for want of it. */
  failed: boolean;
  /** For the command's end; Exit.DONE unless it failed. */
  code: ExitCode;
}

/** Do processes of the cgroup, or of those below, live in our network namespace? */
const livesHere = (cgroup: string, inode: number) =>
  pidsBelow(cgroup).some((pid) => namespaceOf(pid)?.inode === inode);

/**
 * Our namespace, when rules for ACKs at once hold in it: a routing that cannot carry them is then told now,
 * and not when nobody looks.
 */
export function netnsToServe(scope: Scope, rules: Rule[]): AgentRequest["netns"] {
  const netns = ownNetns();
  const holds = (rule: Rule) =>
    wishOf(rule)?.markBit != null && (!rule.netns || rule.netns.inode === netns?.inode);
  if (!netns || !rules.some(holds)) return undefined;
  if (scope.name === "/") return netns;
  return scope.path !== undefined && livesHere(scope.path, netns.inode) ? netns : undefined;
}

/** A scope and what a command makes of its rules. */
export interface ScopeChange {
  scope: Scope;
  change: Change;
  /** Its program is to be loaded anew, for the site's table, or for programs of it. */
  reload?: boolean;
}

/** The first namespace that a change is to be served in at once. */
function netnsOf(changes: readonly ScopeChange[]): AgentRequest["netns"] {
  for (const { scope, change } of changes) {
    const netns = netnsToServe(scope, [...change.added, ...change.unchanged]);
    if (netns) return netns;
  }
  return undefined;
}

/** Where the rules of a change are in force, and which. */
const placesOf = (changes: readonly ScopeChange[]) =>
  changes.map(({ scope, change }) => ({ ...scope, rules: [...change.added, ...change.unchanged] }));

/** Does the agent do what the rules that are now in force want? */
function isDone(answer: AgentAnswer, { scope, change }: ScopeChange): boolean {
  const rules = [...change.added, ...change.unchanged];
  return fulfils(
    answer,
    scope.id,
    rules.flatMap((rule) => wishOf(rule) ?? []),
  );
}

/** What keeps the agent from sending is told by the exit code, where these rules want it to. */
function failureOf({ refused }: AgentAnswer, changes: readonly ScopeChange[]): ExitCode {
  const thins = ({ change }: ScopeChange) =>
    [...change.added, ...change.unchanged].some((rule) => wishOf(rule)?.thins);
  return refused && changes.some(thins) ? refused : Exit.FAILED;
}

/**
 * Tells the agent about changes that were made. The rules stay when that fails: a warning says what to do.
 * @returns undefined when they have nothing to do with it and none runs
 */
export async function toldAgent(
  lib: Bridge,
  changes: readonly ScopeChange[],
  io: Io,
): Promise<AgentReport | undefined> {
  const all = changes.map(({ change }) => change);
  const wanted = all.some(({ added, unchanged }) => added.some(needsAgent) || unchanged.some(needsAgent));
  const ended = all.some(({ removed, replaced }) => removed.some(needsAgent) || replaced.some(needsAgent));
  const concerned = wanted || ended;
  if (!all.some(isChange) && !wanted) return undefined;
  try {
    const told = await notifyAgent(lib, netnsOf(changes));
    const answer = told && { ...told, denied: allDenied(lib, placesOf(changes), told.denied ?? []) };
    for (const problem of answer?.problems ?? []) io.messages.warn(`the agent: ${problem}`);
    for (const { scope } of changes) {
      if (!answer?.unseen.includes(String(scope.id))) continue;
      io.messages.warn(
        `the agent, pid ${answer.pid}, cannot see cgroup ${scope.name}: it was started in a container; end it there with \`tcpx agent --stop\``,
      );
    }
    if (wanted) for (const line of deniedLines(answer?.denied ?? [])) io.messages.warn(line);
    const failed = answer !== undefined && !changes.every((change) => isDone(answer, change));
    const code = failed ? failureOf(answer, changes) : Exit.DONE;
    return answer || concerned ? { json: healthJson(answer), failed, code } : undefined;
  } catch (error) {
    const { message } = error as Error;
    const hint = error instanceof TcpxError && error.hint ? `; ${error.hint}` : "";
    io.messages.warn(`${message}${hint}${wanted ? "; until it runs the rule is not in effect" : ""}`);
    const json = { ...healthJson(undefined), reason: message };
    return { json, failed: wanted, code: wanted ? Exit.FAILED : Exit.DONE };
  }
}
