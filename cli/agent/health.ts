// SPDX-License-Identifier: MIT
// How the agent is, for people and for scripts.

import { statSync } from "node:fs";
import type { ExitCode } from "../base/errors.ts";
import { version } from "../base/version.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { type Denied, deniedLines } from "./denied.ts";
import { type InTheWay, LOOPBACK } from "./effect.ts";
import { NO_STATS, type ThreadStats } from "./engine.ts";

/** Which tcpx an agent is of: another one's programs and maps may differ. */
export interface Identity {
  version: string;
  layout: number;
  /** Bytes of the executable: builds of one version differ in it, copies do not. */
  size: number;
}

export function identity(): Identity {
  // not the path: another build may stand there by now
  const { size } = statSync("/proc/self/exe");
  return { version, layout: LAYOUT_VERSION, size };
}

/** The agent's answer to every request. */
export interface AgentAnswer extends Identity {
  pid: number;
  /** Milliseconds since the epoch. */
  since: number;
  ending: boolean;
  /** The thinner is loaded. */
  thinning: boolean;
  /** Scopes that it is attached to. */
  scopes: string[];
  /** Ids of all scopes whose connections are thinned by that. */
  covers: string[];
  /** Ids of scopes with a thinning rule that it cannot see: they are of another view of cgroups. */
  unseen: string[];
  mark_bits: number;
  /** The namespace of the last request cannot carry ACKs at once. */
  unserved: boolean;
  /** CPU time of the whole process. */
  cpu_ms: number;
  thread: ThreadStats | null;
  /** Rule id and its counters, in the order of enum tcpx_thin_counter. */
  counters: [number, number[]][];
  problems: string[];
  /** Of those that an agent needs, with their prefix. */
  capabilities_missing: string[];
  /** What is held back could be sent. */
  can_send: boolean;
  /** Exit code for rules that thin, when it could not. */
  refused: ExitCode | null;
  /** What network namespaces do not get, because of their routing; an older agent does not say. */
  denied?: Denied[];
  /** Where it was asked for. */
  ways?: InTheWay[];
}

/** Is it this very tcpx? */
export function isCurrent(answer: Identity, own = identity()): boolean {
  return answer.version === own.version && answer.layout === own.layout && answer.size === own.size;
}

/** For `agent` in JSON documents. */
export function healthJson(answer: AgentAnswer | undefined): Record<string, unknown> {
  if (!answer) return { running: false, pid: null };
  const { thread } = answer;
  return {
    running: !answer.ending,
    pid: answer.pid,
    version: answer.version,
    layout: answer.layout,
    since: new Date(answer.since).toISOString(),
    thinning: answer.thinning,
    cgroups: answer.scopes,
    mark_bits: answer.mark_bits,
    cpu_ms: answer.cpu_ms,
    flushed: thread?.flushed ?? 0,
    failed: thread?.failed ?? 0,
    notices: thread?.notices ?? 0,
    namespaces: thread?.namespaces ?? 0,
    namespaces_most: thread?.most ?? 0,
    namespaces_foreign: thread?.foreign ?? 0,
    namespaces_turned_away: thread?.turnedAway ?? 0,
    thread_cpu_ms: Math.round((thread?.cpuNs ?? 0) / 1e6),
    route_changes: thread?.routeChanges ?? 0,
    route_errors: thread?.routeErrors ?? 0,
    capabilities_missing: answer.capabilities_missing ?? [], // an older agent does not say
    namespaces_failed: thread?.troubled ?? 0,
    problems: answer.problems,
    denied: (answer.denied ?? []).map(({ netns, what, why }) => ({ netns, what, why })),
    ...(answer.ways && {
      in_the_way: answer.ways.map(({ netns, rule }) => ({ netns, routing_rule: rule })),
    }),
  };
}

function bits(mask: number): string {
  const set = Array.from({ length: 32 }, (_, i) => i).filter((i) => (mask >>> i) & 1);
  return set.length === 0 ? "" : `, at once by mark bit ${set.join(", ")}`;
}

/** What is said of namespaces that are not served. */
function notServed({ most, foreign, turnedAway }: ThreadStats): string[] {
  return [
    ...(foreign > 0 ? [`${foreign} namespace(s) of other user namespaces are not served (last minute)`] : []),
    ...(turnedAway > 0 ? [`${turnedAway} requests turned away: ${most} namespaces are served at most`] : []),
  ];
}

/** Lines that are told; --json has them all. */
const WAYS_MOST = 20;

/** What is not acknowledged at once though there are rules for it. */
function withoutEffect({ mark_bits, ways = [] }: AgentAnswer): string[] {
  if (mark_bits === 0) return [];
  const more = ways.length - WAYS_MOST;
  return [
    `not at once: ${LOOPBACK}`,
    ...ways.slice(0, WAYS_MOST).map(({ netns, rule }) => `not at once: what ${rule} routes, netns ${netns}`),
    ...(more > 0 ? [`not at once: what ${more} more rules of routing have`] : []),
  ];
}

/** One line, and one more for every problem. */
export function healthText(answer: AgentAnswer | undefined): string {
  if (!answer) return "agent: not running";
  const thread = answer.thread ?? NO_STATS;
  const since = new Date(answer.since).toISOString().replace(/\.\d+Z$/, "Z");
  const old = isCurrent(answer) ? "" : ` (tcpx ${answer.version}, another build)`;
  const routes = answer.mark_bits === 0 ? "" : `, ${thread.routeChanges} route changes`;
  const wrong = thread.routeErrors === 0 ? "" : ` (${thread.routeErrors} failed)`;
  return [
    `agent: pid ${answer.pid}${old}, since ${since}, CPU ${(answer.cpu_ms / 1000).toFixed(2)} s`,
    `  thinning in ${answer.scopes.length} scope(s)${bits(answer.mark_bits)}, ${thread.namespaces} namespace(s)`,
    `  ${thread.flushed} ACKs sent late (${thread.failed} failed)${routes}${wrong}`,
    ...[...withoutEffect(answer), ...notServed(thread)].map((line) => `  ${line}`),
    ...answer.problems.map((problem) => `  problem: ${problem}`),
    ...deniedLines(answer.denied ?? []).map((line) => `  ${line}`),
  ].join("\n");
}
