// SPDX-License-Identifier: MIT
// What the agent keeps going: one loaded thinner, its attachments, and the thread in the bridge. Follows a
// plan from step to step; where it comes from is sync.ts, what the parts are is parts.ts.

import type { Denied } from "./denied.ts";
import type { AgentPlan, AgentScope } from "./sync.ts";

/** cli/agent/thinner.ts */
export interface Thinner extends Disposable {
  /** Ring buffer with the ACKs whose time has come. */
  readonly heldFd: number;
  /** Map of the connections that hold ACKs back. */
  readonly holdsFd: number;
  attach(cgroupId: bigint, cgroupFd: number): void;
  detach(cgroupId: bigint): void;
  /** By rule id, in the order of enum tcpx_thin_counter. */
  counters(): Map<number, number[]>;
}

/** struct tcpx_agent_stats, in its order. */
export const THREAD_STATS = [
  "flushed",
  "failed",
  "notices",
  "namespaces",
  "cpuNs",
  "routeChanges",
  "routeErrors",
  "most",
  "foreign",
  "turnedAway",
  "outdated",
  "troubled",
  "troubleWith",
  "troubleErrno",
  "unfound",
] as const;

/**
 * Counted since the thread began, but for `namespaces` (served now), `most` (that can be served at once) and
 * `cpuNs` (nanoseconds). Of the last minute: `foreign` (namespaces of other user namespaces), `troubled` (where
 * something failed, with one example of what: rights.ts) and `unfound`.
 */
export type ThreadStats = Record<(typeof THREAD_STATS)[number], number>;

export const NO_STATS = Object.fromEntries(THREAD_STATS.map((name) => [name, 0])) as ThreadStats;

/** The thread in the bridge. */
export interface Thread {
  /** Bits of SO_MARK; 0 removes rules and tables. */
  atOnce(markBits: number): void;
  /** @throws when the namespace's routing cannot carry at-once */
  serve(netnsPath: string): void;
  stats(): ThreadStats;
  /** What network namespaces do not get. */
  denied(): Denied[];
  /** Ends it and removes rules and tables. */
  stop(): void;
}

/** The pinned maps that the agent works with, open. */
export interface Maps extends Disposable {
  /** Differs when any of them is pinned anew. */
  identity: string;
  conns: number;
  served: number;
  notices: number;
}

export interface Parts {
  /** Undefined while they are not pinned. */
  maps(): Maps | undefined;
  /** @throws where the kernel cannot thin */
  thinner(maps: Maps): Promise<Thinner>;
  /** The descriptors are the thinner's, or -1. */
  thread(heldFd: number, maps: Maps, holdsFd: number): Thread;
  /** @throws when the cgroup has gone */
  attach(thinner: Thinner, scope: AgentScope): Disposable;
  /** As long as an ACK can be held back, milliseconds. */
  readonly lingerMs: number;
}

interface Running {
  maps: Maps;
  thread: Thread;
  thinner: Thinner | undefined;
  attached: Map<bigint, { scope: AgentScope; handle: Disposable }>;
  markBits: number;
  /** The bits that every namespace has; undefined: some refused. */
  carried: number | undefined;
}

const message = (error: unknown) => (error instanceof Error ? error.message : String(error));

export class Engine implements AsyncDisposable {
  private running: Running | undefined;
  /** What the last plan wanted and did not get. */
  problems: string[] = [];
  /** The namespace that the last plan came with cannot carry ACKs at once. */
  unserved = false;

  constructor(private readonly parts: Parts) {}

  get thinning(): boolean {
    return this.running?.thinner !== undefined;
  }

  get scopes(): AgentScope[] {
    return [...(this.running?.attached.values() ?? [])].map(({ scope }) => scope);
  }

  get markBits(): number {
    return this.running?.markBits ?? 0;
  }

  stats(): ThreadStats | undefined {
    return this.running?.thread.stats();
  }

  denied(): Denied[] {
    return this.running?.thread.denied() ?? [];
  }

  counters(): Map<number, number[]> {
    return this.running?.thinner?.counters() ?? new Map();
  }

  /**
   * Brings the state to the plan. What fails is told by `problems`; the rest is done all the same.
   * @param netnsPath a namespace to be served at once
   */
  async follow(plan: AgentPlan, netnsPath?: string): Promise<void> {
    this.problems = [];
    this.unserved = false;
    const running = plan.needed ? await this.ready(plan.thin.length > 0) : undefined;
    if (!running) {
      await this.end();
      if (plan.needed) this.problems.push("the maps of the rules are not pinned");
      return;
    }
    this.attachTo(running, plan.thin);
    this.attempt(() => {
      if (running.carried === plan.markBits) return;
      running.markBits = plan.markBits;
      running.carried = undefined; // when a namespace refuses, the others have the bits all the same
      running.thread.atOnce(plan.markBits);
      running.carried = plan.markBits;
    });
    if (netnsPath !== undefined && plan.markBits !== 0) {
      this.unserved = !this.attempt(() => running.thread.serve(netnsPath));
    }
  }

  private attempt(action: () => void): boolean {
    try {
      action();
      return true;
    } catch (error) {
      this.problems.push(message(error));
      return false;
    }
  }

  /** Loads and starts what is missing; anew when the maps are others than before. */
  private async ready(thin: boolean): Promise<Running | undefined> {
    const maps = this.parts.maps();
    const { running } = this;
    const same = maps !== undefined && running?.maps.identity === maps.identity;
    if (same && (running.thinner || !thin)) {
      maps[Symbol.dispose]();
      return running;
    }
    if (!same) await this.end();
    if (!maps) return undefined;
    let thinner: Thinner | undefined;
    try {
      thinner = thin ? await this.parts.thinner(maps) : undefined;
    } catch (error) {
      this.problems.push(message(error)); // acknowledging at once needs no thinner
    }
    if (same && !thinner) {
      maps[Symbol.dispose](); // as before, so that what stands is not made anew each time
      return running;
    }
    try {
      await this.end();
      const thread = this.parts.thread(thinner?.heldFd ?? -1, maps, thinner?.holdsFd ?? -1);
      this.running = { maps, thread, thinner, attached: new Map(), markBits: 0, carried: 0 };
      return this.running;
    } catch (error) {
      thinner?.[Symbol.dispose]();
      maps[Symbol.dispose]();
      throw error;
    }
  }

  /** Off before on: two thinners over one connection would both count. In between TCP is as it is. */
  private attachTo({ thinner, attached }: Running, wanted: AgentScope[]): void {
    const ids = new Set(wanted.map(({ id }) => id));
    for (const [id, { handle }] of attached) {
      if (ids.has(id)) continue;
      attached.delete(id);
      handle[Symbol.dispose]();
    }
    if (!thinner) return;
    for (const scope of wanted) {
      if (attached.has(scope.id)) continue;
      this.attempt(() => {
        attached.set(scope.id, { scope, handle: this.parts.attach(thinner, scope) });
      });
    }
  }

  /** Stock TCP again. ACKs that are held back at this moment are still sent. */
  private async end(): Promise<void> {
    const { running } = this;
    if (!running) return;
    this.running = undefined;
    const hadScopes = running.attached.size > 0;
    for (const { handle } of running.attached.values()) handle[Symbol.dispose]();
    if (hadScopes) await Bun.sleep(this.parts.lingerMs);
    running.thread.stop();
    running.thinner?.[Symbol.dispose]();
    running.maps[Symbol.dispose]();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}
