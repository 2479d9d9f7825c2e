// SPDX-License-Identifier: MIT
// The end of every change of rules: the agent hears of it.

import { readdirSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { TcpxError } from "../errors.ts";
import type { Bridge } from "../loader/bridge.ts";
import type { Scope } from "../loader/host.ts";
import type { Io } from "../output/io.ts";
import { type Change, isChange } from "../policy/change.ts";
import type { Rule } from "../policy/rule.ts";
import { healthJson } from "./health.ts";
import { notifyAgent, ownNetns } from "./notify.ts";
import type { AgentRequest } from "./socket.ts";
import { needsAgent, wishOf } from "./wish.ts";

export interface AgentReport {
  /** For `agent` in the JSON document. */
  json: Record<string, unknown>;
  /** A rule of this very command does not work for want of it. */
  failed: boolean;
}

/** Do processes of the cgroup, or of those below, live in our network namespace? */
function livesHere(cgroup: string, inode: number): boolean {
  const pids = readFileSync(join(cgroup, "cgroup.procs"), "utf8").split("\n").filter(Boolean);
  const here = (pid: string) => {
    try {
      return readlinkSync(`/proc/${pid}/ns/net`) === `net:[${inode}]`;
    } catch {
      return false; // gone meanwhile, or of another pid namespace
    }
  };
  if (pids.some(here)) return true;
  const below = readdirSync(cgroup, { withFileTypes: true }).filter((entry) => entry.isDirectory());
  return below.some(({ name }) => livesHere(join(cgroup, name), inode));
}

/**
 * Our namespace, when rules for ACKs at once hold in it: a routing that cannot carry them is then told now,
 * and not when nobody looks.
 */
export function netnsToServe(scope: Scope, rules: Rule[]): AgentRequest["netns"] {
  const netns = ownNetns();
  const holds = (rule: Rule) =>
    wishOf(rule)?.markBit != null && (!rule.netns || rule.netns.inode === netns?.inode);
  if (!netns || !rules.some(holds)) return undefined;
  try {
    return scope.name === "/" || livesHere(scope.path, netns.inode) ? netns : undefined;
  } catch {
    return undefined; // the cgroup has just gone
  }
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
    const failed = wanted && answer !== undefined && answer.problems.length > 0;
    return answer || concerned ? { json: healthJson(answer), failed } : undefined;
  } catch (error) {
    const { message } = error as Error;
    const hint = error instanceof TcpxError && error.hint ? `; ${error.hint}` : "";
    io.messages.warn(`${message}${hint}${wanted ? "; until it runs the rule is not in effect" : ""}`);
    return { json: { ...healthJson(undefined), error: message }, failed: wanted };
  }
}
