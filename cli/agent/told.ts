// SPDX-License-Identifier: MIT
// The end of every change of rules: the agent hears of it.

import { TcpxError } from "../errors.ts";
import type { Bridge } from "../loader/bridge.ts";
import type { Io } from "../output/io.ts";
import { type Change, isChange } from "../policy/change.ts";
import { healthJson } from "./health.ts";
import { notifyAgent } from "./notify.ts";
import { needsAgent } from "./wish.ts";

export interface AgentReport {
  /** For `agent` in the JSON document. */
  json: Record<string, unknown>;
  /** A rule of this very command does not work for want of it. */
  failed: boolean;
}

/**
 * Tells the agent about a change that was made. The rules stay when that fails: a warning says what to do.
 * @returns undefined when the change has nothing to do with it and none runs
 */
export async function toldAgent(lib: Bridge, change: Change, io: Io): Promise<AgentReport | undefined> {
  const wanted = [...change.added, ...change.unchanged].some(needsAgent);
  const concerned = wanted || [...change.removed, ...change.replaced].some(needsAgent);
  if (!isChange(change) && !wanted) return undefined;
  try {
    const answer = await notifyAgent(lib);
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
