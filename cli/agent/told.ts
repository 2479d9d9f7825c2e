// SPDX-License-Identifier: MIT
// The end of every change of rules: the agent hears of it.

import { TcpxError } from "../errors.ts";
import type { Bridge } from "../loader/bridge.ts";
import type { Scope } from "../loader/host.ts";
import type { Io } from "../output/io.ts";
import { type Change, isChange } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import { namespaceOf, pidsBelow } from "../system/netns.ts";
import { healthJson } from "./health.ts";
import { notifyAgent, ownNetns } from "./notify.ts";
import type { AgentRequest } from "./socket.ts";
import { fulfils } from "./sync.ts";
import { needsAgent, wishOf } from "./wish.ts";

export interface AgentReport {
  /** For `agent` in the JSON document. */
  json: Record<string, unknown>;
  /** A rule of this very command does not work for want of it. */
  failed: boolean;
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
  return scope.name === "/" || livesHere(scope.path, netns.inode) ? netns : undefined;
}

/**
 * Tells the agent about a change that was made. The rules stay when that fails: a warning says what to do.
 * @returns undefined when the change has nothing to do with it and none runs
 */
export async function toldAgent(
  lib: Bridge,
  scope: Scope,
  change: Change,
  io: Io,
): Promise<AgentReport | undefined> {
  const rules = [...change.added, ...change.unchanged];
  const wanted = rules.some(needsAgent);
  const concerned = wanted || [...change.removed, ...change.replaced].some(needsAgent);
  if (!isChange(change) && !wanted) return undefined;
  try {
    const answer = await notifyAgent(lib, netnsToServe(scope, rules));
    for (const problem of answer?.problems ?? []) io.messages.warn(`the agent: ${problem}`);
    const failed =
      answer !== undefined &&
      !fulfils(
        answer,
        scope.name,
        rules.flatMap((rule) => wishOf(rule) ?? []),
      );
    return answer || concerned ? { json: healthJson(answer), failed } : undefined;
  } catch (error) {
    const { message } = error as Error;
    const hint = error instanceof TcpxError && error.hint ? `; ${error.hint}` : "";
    io.messages.warn(`${message}${hint}${wanted ? "; until it runs the rule is not in effect" : ""}`);
    return { json: { ...healthJson(undefined), error: message }, failed: wanted };
  }
}
