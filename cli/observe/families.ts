// SPDX-License-Identifier: MIT
// What tcpx and its agent have counted, as metrics.

import { type Figures, figuresOf } from "../agent/figures.ts";
import type { AgentAnswer } from "../agent/health.ts";
import { anyNeedsAgent } from "../agent/wish.ts";
import { version } from "../base/version.ts";
import { labelOf } from "../describe/rules.ts";
import { extensions } from "../extensions/index.ts";
import { Counter } from "../layout/layout.generated.ts";
import type { Counters } from "../loader/counters.ts";
import type { ScopeState } from "../loader/state.ts";
import { KINDS, type Rule } from "../policy/rule.ts";
import { formatSelector } from "../policy/selector.ts";
import type { Family, Sample } from "./openmetrics.ts";

export interface ScopeCounts {
  state: Pick<ScopeState, "id" | "name" | "alive" | "visible" | "rules">;
  counters: Counters | undefined;
}

/** Every counter of enum tcpx_counter: [what it counts, its unit, help]. */
const COUNTERS: Record<Exclude<keyof typeof Counter, "COUNT">, [name: string, unit: string, help: string]> = {
  SENT: ["sent", "segments", "Segments that carried an option of ours."],
  RECEIVED: ["received", "options", "Values and requests learned from peers."],
  APPLIED: ["applied", "settings", "Socket settings made."],
  CLAMPED: ["clamped", "values", "Values of peers that were moved to our limits."],
  GRANTED: ["granted", "requests", "Requests of ours that peers granted."],
  REFUSED: ["refused", "requests", "Requests that peers, or we, refused."],
  UNANSWERED: ["unanswered", "requests", "Requests of ours that got no answer."],
  KEPT: ["kept", "settings", "Settings left alone because the application had chosen them."],
  MALFORMED: [
    "malformed",
    "options",
    "Options of peers that were ignored: wrong, twice, or never asked for.",
  ],
  NO_ROOM: ["no_room", "options", "Options that found no space among the 40 bytes of a header."],
  FALLBACK: [
    "fallback",
    "connections",
    "Connections that went without options after a loss, or because of their path.",
  ],
  PATH: ["path", "connections", "Of these, because of their path: a SYN with options came to nothing there."],
  WITHHELD: ["withheld", "options", "Options that were left out because TCP-AO signs the options."],
  ERRORS: ["refused_helper", "calls", "Calls of the program that the kernel refused."],
  KEEPALIVE_LOWERED: [
    "keepalive_lowered",
    "settings",
    "User timeouts set lower than the rule's, to the time in which keep-alive finds a dead peer.",
  ],
  KEEPALIVE_SHORT: [
    "keepalive_short",
    "settings",
    "User timeouts so short that the first lost probe of keep-alive ends the connection.",
  ],
};

/** Extensions that have rules there, or had. */
function usedExtensions({ state, counters }: ScopeCounts) {
  return extensions.filter(
    ({ name, id }) =>
      state.rules.some((rule) => rule.ext === name) || counters?.count[id]?.some((value) => value > 0),
  );
}

function counterFamilies(scopes: readonly ScopeCounts[]): Family[] {
  return Object.entries(COUNTERS).map(([key, [name, unit, help]]) => ({
    name: `tcpx_${name}_${unit}`,
    type: "counter",
    unit,
    help,
    samples: scopes.flatMap((scope) => {
      const { state, counters } = scope;
      return usedExtensions(scope).flatMap((extension): Sample[] => {
        const value = counters?.count[extension.id]?.[Counter[key as keyof typeof Counter]];
        return value === undefined
          ? []
          : [{ labels: { cgroup: labelOf(state), extension: extension.name }, value }];
      });
    }),
  }));
}

function ruleFamily(scopes: readonly ScopeCounts[]): Family {
  const samples = scopes.flatMap((scope) => {
    const { rules } = scope.state;
    const cgroup = labelOf(scope.state);
    return usedExtensions(scope).flatMap(({ name: extension }) =>
      KINDS.map((kind) => ({
        labels: { cgroup, extension, kind },
        value: rules.filter((rule) => rule.ext === extension && rule.kind === kind).length,
      })),
    );
  });
  return { name: "tcpx_rules", type: "gauge", help: "Rules in force.", samples };
}

/** The place of a rule: a new value goes on counting where the one before it stopped. */
function ruleLabel({ kind, selector, netns }: Rule): string {
  const direction = selector.direction === "both" || selector.family !== 0 ? "" : ` ${selector.direction}`;
  const where = netns ? `, netns ${netns.inode}` : "";
  return `${kind}${direction} ${formatSelector(selector)}${where}`;
}

function thinnerFamilies(figures: readonly Figures[]): Family[] {
  const labels = ({ scope, rule }: Figures) => ({
    cgroup: scope,
    extension: rule.ext,
    rule: ruleLabel(rule),
  });
  const acks = (name: string, help: string, samples: Sample[]): Family => ({
    name: `tcpx_${name}_acks`,
    type: "counter",
    unit: "acks",
    help,
    samples,
  });
  const reasons = figures.flatMap((f) =>
    Object.entries(f.reasons).map(([reason, value]) => ({ labels: { ...labels(f), reason }, value })),
  );
  return [
    acks("passed", "Pure ACKs that went out, by the reason why.", reasons),
    acks(
      "dropped",
      "Pure ACKs that were held back.",
      figures.map((f) => ({ labels: labels(f), value: f.dropped })),
    ),
    acks(
      "flushed",
      "ACKs held back and handed to the agent when their time came.",
      figures.map((f) => ({ labels: labels(f), value: f.flushed })),
    ),
  ];
}

function agentFamilies(answer: AgentAnswer): Family[] {
  const { thread } = answer;
  const one = (value: number): Sample[] => [{ labels: {}, value }];
  const family = (name: string, type: Family["type"], unit: string, help: string, value: number): Family => ({
    name: `tcpx_agent_${name}`,
    type,
    ...(unit ? { unit } : {}),
    help,
    samples: one(value),
  });
  const always = [
    family("start_time_seconds", "gauge", "seconds", "When the agent began, Unix time.", answer.since / 1000),
    family("cpu_seconds", "counter", "seconds", "CPU time of the agent.", answer.cpu_ms / 1000),
    family("problems", "gauge", "", "What the agent cannot do at the moment.", answer.problems.length),
  ];
  if (!thread) return always;
  return [
    ...always,
    family("sent_acks", "counter", "acks", "Held ACKs that the agent has sent.", thread.flushed),
    family("failed_acks", "counter", "acks", "Held ACKs that the kernel refused.", thread.failed),
    family("namespaces", "gauge", "", "Network namespaces that the agent serves.", thread.namespaces),
    family(
      "foreign_namespaces",
      "gauge",
      "",
      "Wanted, of other user namespaces: not served.",
      thread.foreign,
    ),
    family(
      "turned_away_requests",
      "counter",
      "requests",
      "For namespaces beyond the most.",
      thread.turnedAway,
    ),
    family("route_changes", "counter", "changes", "Routes that it followed.", thread.routeChanges),
    family("route_errors", "counter", "errors", "Routes that it could not follow.", thread.routeErrors),
  ];
}

/** @param answer the agent's report; its counters are gone when it does not run */
export function familiesOf(scopes: readonly ScopeCounts[], answer: AgentAnswer | undefined): Family[] {
  const alive = scopes.filter(({ state }) => state.alive);
  const states = alive.map(({ state }) => state);
  const gauge = (name: string, help: string, value: number): Family => ({
    name,
    type: "gauge",
    help,
    samples: [{ labels: {}, value }],
  });
  return [
    {
      name: "tcpx_build",
      type: "info",
      help: "The tcpx that speaks.",
      samples: [{ labels: { version }, value: 1 }],
    },
    gauge("tcpx_scopes", "Cgroups with rules.", alive.length),
    ruleFamily(alive),
    ...counterFamilies(alive),
    gauge("tcpx_agent_needed", "Whether a rule needs the agent.", anyNeedsAgent(states) ? 1 : 0),
    gauge("tcpx_agent_running", "Whether the agent runs.", answer && !answer.ending ? 1 : 0),
    ...(answer ? [...agentFamilies(answer), ...thinnerFamilies(figuresOf(states, answer))] : []),
  ];
}
