// SPDX-License-Identifier: MIT
// What tcpx and its agent have counted, as metrics.

import { type Figures, figuresOf } from "../agent/figures.ts";
import type { AgentAnswer } from "../agent/health.ts";
import { anyNeedsAgent } from "../agent/wish.ts";
import { version } from "../base/version.ts";
import { labelOf } from "../describe/rules.ts";
import { extensionOf, extensions, kindsOf, unknownSlots } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import { Counter } from "../layout/layout.generated.ts";
import type { Counters } from "../loader/counters.ts";
import type { ScopeState } from "../loader/state.ts";
import type { Rule } from "../policy/rule.ts";
import { formatSelector } from "../policy/selector.ts";
import { counting, hasCounted, ownCounters } from "./counted.ts";
import type { Family, Sample } from "./openmetrics.ts";

export interface ScopeCounts {
  state: Pick<ScopeState, "id" | "name" | "alive" | "visible" | "rules">;
  counters: Counters | undefined;
}

type CounterName = Exclude<keyof typeof Counter, "OWN" | "COUNT">;

/** Counters of all extensions: [what it counts, its unit, help]. */
const COUNTERS: Record<CounterName, [name: string, unit: string, help: string]> = {
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
};

/** Extensions that have rules there, or had. */
function usedExtensions({ state, counters }: ScopeCounts, among: readonly Extension[]) {
  const ruled = new Set(state.rules.map(({ ext }) => ext));
  const unknown = unknownSlots([...ruled].map((ext) => extensionOf({ ext }).id));
  return [...new Set([...counting(counters, among), ...unknown])].filter(
    ({ name, id }) => ruled.has(name) || hasCounted(counters, id),
  );
}

function counterFamilies(scopes: readonly ScopeCounts[], among: readonly Extension[]): Family[] {
  const common = Object.entries(COUNTERS).map(([key, [name, unit, help]]) => {
    return { number: Counter[key as CounterName], name, unit, help, ext: undefined };
  });
  return [...common, ...ownCounters(among)].map(({ number, name, unit, help, ext }) => ({
    name: `tcpx_${name}_${unit}`,
    type: "counter",
    unit,
    help,
    samples: scopes.flatMap((scope) => {
      const { state, counters } = scope;
      return usedExtensions(scope, among).flatMap((extension): Sample[] => {
        const value = counters?.count[extension.id]?.[number];
        return value === undefined || (ext !== undefined && ext !== extension.name)
          ? []
          : [{ labels: { cgroup: labelOf(state), extension: extension.name }, value }];
      });
    }),
  }));
}

function ruleFamily(scopes: readonly ScopeCounts[], among: readonly Extension[]): Family {
  const samples = scopes.flatMap((scope) => {
    const { rules } = scope.state;
    const cgroup = labelOf(scope.state);
    return usedExtensions(scope, among).flatMap((extension) =>
      kindsOf(extension).map((kind) => ({
        labels: { cgroup, extension: extension.name, kind },
        value: rules.filter((rule) => rule.ext === extension.name && rule.kind === kind).length,
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

/** Of the host, or of its only agent. */
const one = (name: string, type: Family["type"], unit: string, help: string, value: number): Family => ({
  name: `tcpx_${name}`,
  type,
  ...(unit ? { unit } : {}),
  help,
  samples: [{ labels: {}, value }],
});
const gauge = (name: string, help: string, value: number) => one(name, "gauge", "", help, value);
const counter = (name: string, unit: string, help: string, value: number) =>
  one(`agent_${name}_${unit}`, "counter", unit, help, value);

function agentFamilies({ thread, since, cpu_ms, problems, ways = [] }: AgentAnswer): Family[] {
  const start = "When the agent began, Unix time.";
  const always = [
    one("agent_start_time_seconds", "gauge", "seconds", start, since / 1000),
    counter("cpu", "seconds", "CPU time of the agent.", cpu_ms / 1000),
    gauge("agent_problems", "What the agent cannot do at the moment.", problems.length),
  ];
  if (!thread) return always;
  const foreign = "Wanted, of other user namespaces: not served.";
  return [
    ...always,
    counter("sent", "acks", "Held ACKs that the agent has sent.", thread.flushed),
    counter("failed", "acks", "Held ACKs that the kernel refused.", thread.failed),
    gauge("agent_namespaces", "Network namespaces that the agent serves.", thread.namespaces),
    gauge("agent_foreign_namespaces", foreign, thread.foreign),
    counter("turned_away", "requests", "For namespaces beyond the most.", thread.turnedAway),
    counter("route", "changes", "Routes that it followed.", thread.routeChanges),
    counter("route", "errors", "Routes that it could not follow.", thread.routeErrors),
    gauge(
      "agent_rules_in_the_way",
      "Rules of routing that connections meet before the agent's.",
      ways.length,
    ),
  ];
}

/**
 * @param answer the agent's report; its counters are gone when it does not run
 * @param among the extensions that they tell of
 */
export function familiesOf(
  scopes: readonly ScopeCounts[],
  answer: AgentAnswer | undefined,
  among: readonly Extension[] = extensions,
): Family[] {
  const alive = scopes.filter(({ state }) => state.alive);
  const states = alive.map(({ state }) => state);
  return [
    {
      name: "tcpx_build",
      type: "info",
      help: "The tcpx that speaks.",
      samples: [{ labels: { version }, value: 1 }],
    },
    gauge("scopes", "Cgroups with rules.", alive.length),
    ruleFamily(alive, among),
    ...counterFamilies(alive, among),
    gauge("agent_needed", "Whether a rule needs the agent.", anyNeedsAgent(states) ? 1 : 0),
    gauge("agent_running", "Whether the agent runs.", answer && !answer.ending ? 1 : 0),
    ...(answer ? [...agentFamilies(answer), ...thinnerFamilies(figuresOf(states, answer))] : []),
  ];
}
