// SPDX-License-Identifier: MIT
// The agent itself: takes the lock, listens, follows the rules, and ends when no rule needs it.

import { statSync } from "node:fs";
import { Exit, TcpxError } from "../base/errors.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { readScopes } from "../loader/state.ts";
import { lockHolder, nameOf } from "../system/lock-holder.ts";
import { Engine } from "./engine.ts";
import { openParts } from "./engine-parts.ts";
import { type AgentAnswer, identity } from "./health.ts";
import { END_MS, waitLock } from "./lock.ts";
import { Rest } from "./rest.ts";
import { missingHere, refusedHere, troubles } from "./rights.ts";
import { clearRunDir, RUN_DIR } from "./run-dir.ts";
import { AgentServer } from "./server.ts";
import { type AgentRequest, askAgent } from "./socket.ts";
import { type AgentSurvey, coveredBy, planAgent } from "./sync.ts";
import { wishOf } from "./wish.ts";

const SIGNALS = ["SIGTERM", "SIGINT", "SIGHUP"] as const;

export type Outcome =
  | { end: "already"; pid: number }
  /** No rule needed it: from the beginning, or any more. */
  | { end: "unneeded" }
  | { end: "stopped"; by: string };

/** One run of the agent. */
class Agent {
  private readonly engine: Engine;
  private readonly server = new AgentServer((request) => this.inTurn(request));
  private readonly since = Date.now();
  private readonly rest: Rest;
  private turn: Promise<unknown> = Promise.resolve();
  /** Of the last plan. */
  private last: Pick<AgentSurvey, "thinning" | "unseen"> = { thinning: [], unseen: [] };
  private ending: Promise<void> | undefined;
  private finish: (outcome: Outcome) => void = () => {};
  readonly finished = new Promise<Outcome>((resolve) => {
    this.finish = resolve;
  });

  constructor(private readonly lib: Bridge) {
    this.engine = new Engine(openParts(lib));
    this.rest = new Rest(lib);
  }

  async start(): Promise<AgentAnswer> {
    await this.server.listen();
    const first = await this.inTurn({ op: "sync" });
    for (const signal of SIGNALS) process.on(signal, () => void this.inTurn({ op: "stop" }, signal));
    return first;
  }

  /** One request after the other: a sync must see the state that the one before it has left. */
  private inTurn(request: AgentRequest, by = "tcpx agent --stop"): Promise<AgentAnswer> {
    const answer = this.turn.then(() => this.answer(request, by));
    this.turn = answer.catch(() => {});
    this.rest.soon();
    return answer;
  }

  private async answer({ op, netns }: AgentRequest, by: string): Promise<AgentAnswer> {
    if (this.ending) return this.report();
    if (op === "stop") await this.end({ end: "stopped", by });
    if (op === "sync") await this.sync(netns);
    return this.report();
  }

  private async sync(netns: AgentRequest["netns"]): Promise<void> {
    const plan = planAgent(readScopes(this.lib), wishOf);
    this.last = plan;
    if (!plan.needed) return this.end({ end: "unneeded" });
    // a pid may be somebody else's by now, or of another pid namespace
    const there = netns && statSync(netns.path, { throwIfNoEntry: false })?.ino === netns.inode;
    await this.engine.follow(plan, there ? netns.path : undefined);
  }

  /** Whoever comes from now on finds no socket, and starts the next agent, which waits for our lock. */
  private end(outcome: Outcome): Promise<void> {
    this.ending ??= (async () => {
      this.rest.end();
      this.server.close();
      await this.engine[Symbol.asyncDispose]();
      this.finish(outcome);
    })();
    return this.ending;
  }

  private report(): AgentAnswer {
    const { engine } = this;
    const missing = missingHere(this.lib);
    const thread = engine.stats();
    const wantsThinner = this.last.thinning.length > 0;
    const refused = wantsThinner && engine.thinning ? undefined : refusedHere(this.lib);
    return {
      ...identity(),
      pid: process.pid,
      since: this.since,
      ending: this.ending !== undefined,
      thinning: engine.thinning,
      scopes: engine.scopes.map(({ name }) => name),
      covers: coveredBy(this.last.thinning, engine.scopes).map(String),
      unseen: this.last.unseen.map(String),
      mark_bits: engine.markBits,
      unserved: engine.unserved,
      cpu_ms: Math.round((process.cpuUsage().user + process.cpuUsage().system) / 1000),
      thread: thread ?? null,
      counters: [...engine.counters()],
      problems: [...engine.problems, ...troubles(thread, missing)],
      denied: engine.denied(),
      capabilities_missing: missing.map((name) => `CAP_${name}`),
      can_send: refused === undefined,
      refused: (wantsThinner && refused?.code) || null,
    };
  }

  /** Answers under way go out, everybody else is let down. */
  async leave(): Promise<void> {
    await this.turn;
    await this.end({ end: "unneeded" }); // after a failed start; else it has ended already
    this.server.drop();
    for (const signal of SIGNALS) process.removeAllListeners(signal);
  }
}

/**
 * Runs until no rule needs it or somebody ends it.
 * @param ready called when it serves, with its first report
 * @throws TcpxError when it cannot begin
 */
export async function runAgent(lib: Bridge, ready: (answer: AgentAnswer) => void): Promise<Outcome> {
  let other: AgentAnswer | undefined;
  const held = await waitLock(lib, END_MS, async () => {
    other = await askAgent<AgentAnswer>({ op: "status" });
    return other !== undefined && !other.ending;
  });
  if (!held) {
    if (other) return { end: "already", pid: other.pid };
    const holder = lockHolder(RUN_DIR);
    const what = `another agent is ending, and takes its time: ${nameOf(holder)}`;
    throw new TcpxError(Exit.BUSY, what, {
      holder: holder ?? null,
      hint: "`tcpx agent --stop` ends it the hard way",
    });
  }
  using _ = held;
  process.umask(0o077);
  const agent = new Agent(lib);
  try {
    const first = await agent.start();
    if (!first.ending) ready(first);
    return await agent.finished;
  } finally {
    await agent.leave();
    clearRunDir();
  }
}
