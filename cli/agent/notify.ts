// SPDX-License-Identifier: MIT
// What a command that has changed rules does about the agent: starts it, tells it, or lets it end.

import { readlinkSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { readScopes } from "../loader/state.ts";
import { type AgentAnswer, isCurrent } from "./health.ts";
import { refusedHere } from "./rights.ts";
import { type AgentRequest, askAgent, Refusal } from "./socket.ts";
import { awaitEnd, startAgent, stopAgent } from "./start.ts";
import { planAgent, seesMore } from "./sync.ts";
import { isUnit } from "./transient-unit.ts";
import { anyNeedsAgent, wishOf } from "./wish.ts";

const PATIENCE_MS = 15_000;

/** The caller's network namespace, for an agent elsewhere. */
export function ownNetns(): AgentRequest["netns"] {
  const path = `/proc/${process.pid}/ns/net`;
  try {
    return { path, inode: Number(/\d+/.exec(readlinkSync(path))?.[0]) };
  } catch {
    return undefined;
  }
}

/** An older agent cannot read rules that we have just taken over; it is to be replaced all the same. */
async function otherBuild(error: unknown): Promise<AgentAnswer> {
  const answer = error instanceof Refusal ? await askAgent<AgentAnswer>({ op: "status" }) : undefined;
  if (answer && !isCurrent(answer)) return answer;
  throw error;
}

const isShortSighted = (lib: Bridge, answer: AgentAnswer): boolean =>
  answer.unseen.length > 0 && seesMore(planAgent(readScopes(lib), wishOf), answer);

/** Cannot it send what it holds back, where the next one could? A unit would be as this one is. */
const isPowerless = (lib: Bridge, answer: AgentAnswer): boolean =>
  answer.refused != null && !isUnit(answer.pid) && !refusedHere(lib);

/**
 * Brings the agent to the rules in force. Call it after the change and without the lock, which the agent's
 * start would have to wait for otherwise.
 * @param netns a network namespace that is to be served at once, and not only with its first connection
 * @returns the agent's state afterwards; undefined when none is needed and none runs
 * @throws TcpxError when it is needed and does not start
 */
export async function notifyAgent(
  lib: Bridge,
  netns?: AgentRequest["netns"],
): Promise<AgentAnswer | undefined> {
  let replaced = false;
  for (const end = performance.now() + PATIENCE_MS; ; await Bun.sleep(10)) {
    const answer = await askAgent<AgentAnswer>({ op: "sync", netns }, PATIENCE_MS).catch(otherBuild);
    // another build's programs and maps may differ; one that a container has started may see less than we do
    const weak: boolean = answer !== undefined && !replaced && isPowerless(lib, answer);
    const other = answer !== undefined && (weak || !isCurrent(answer) || isShortSighted(lib, answer));
    if (answer && !answer.ending && !other) return answer;
    replaced ||= weak;
    if (other) await stopAgent(lib);
    // one that is ending is as good as none; whoever takes its place waits until it is gone
    if (!anyNeedsAgent(readScopes(lib))) {
      if (answer?.ending) await awaitEnd(lib); // who has taken back the last rule finds nothing left of it
      return undefined;
    }
    if (performance.now() > end) {
      throw new TcpxError(Exit.BUSY, "the agent ends as often as it is started", {
        hint: "try again",
      });
    }
    await startAgent(lib);
  }
}
