// SPDX-License-Identifier: MIT
// What `status` and `show` say about the agent and its rules.

import { bridge } from "../bridge/bridge.ts";
import { extensions } from "../extensions/index.ts";
import type { ScopeState } from "../loader/state.ts";
import type { Io } from "../output/io.ts";
import { deniedLines } from "./denied.ts";
import { allDenied } from "./denied-here.ts";
import { type Figures, figuresJson, figuresOf, figuresTable } from "./figures.ts";
import { type AgentAnswer, healthJson, healthText } from "./health.ts";
import { askAgent } from "./socket.ts";
import { anyNeedsAgent } from "./wish.ts";

export interface AgentSection {
  json: { agent: Record<string, unknown>; ack_rules: Record<string, unknown>[] };
  /** "" when there is no agent and no rule for it. */
  text: string;
}

async function askStatus(io: Io, ways: boolean): Promise<AgentAnswer | undefined> {
  try {
    return await askAgent<AgentAnswer>({ op: "status", ways });
  } catch (error) {
    io.messages.warn((error as Error).message);
    return undefined;
  }
}

/**
 * Asks the agent about these scopes' rules, and warns when it should run and does not.
 * @param full with reasons and health; else the bare figures
 */
export async function agentSection(
  states: readonly ScopeState[],
  io: Io,
  full: boolean,
): Promise<AgentSection> {
  const told = await askStatus(io, full);
  const needed = anyNeedsAgent(states);
  const alive = states.filter((state) => state.alive && state.visible);
  const answer = told && { ...told, denied: allDenied(await bridge(), alive, told.denied ?? []) };
  if (needed && !answer) {
    const rules = extensions.flatMap(({ agent }) => agent?.rules ?? []).join(" and ");
    io.messages.warn(`the agent does not run, so ${rules} have no effect; \`tcpx agent --start\` starts it`);
  }
  const figures: Figures[] = figuresOf(states, answer);
  const parts = [
    ...(full && (answer || needed) ? [healthText(answer)] : []),
    ...(!full && answer && answer.denied.length > 0 ? [deniedLines(answer.denied).join("\n")] : []),
    ...(answer && figures.length > 0 ? [figuresTable(figures, full)] : []),
  ];
  return { json: { agent: healthJson(answer), ack_rules: figuresJson(figures) }, text: parts.join("\n\n") };
}
