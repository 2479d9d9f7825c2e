// SPDX-License-Identifier: MIT

import { agentSection } from "../agent/section.ts";
import { globalArgs, scopeArgs, scopeFlags } from "../args.ts";
import { Exit } from "../errors.ts";
import { extensions } from "../extensions/index.ts";
import { COUNTER_NAMES, type Counters, readCounters } from "../loader/counters.ts";
import { LAYOUT_VERSION } from "../loader/layout.generated.ts";
import type { ScopeState } from "../loader/state.ts";
import { isWatched } from "../observe/watching.ts";
import { ruleJson, ruleTable, unitNameOf } from "../output/rules.ts";
import { siteJson, siteText } from "../output/site.ts";
import { table } from "../output/table.ts";
import type { Netns } from "../policy/rule.ts";
import { unitText } from "../system/unit-name.ts";
import type { Site } from "../wire/site.ts";
import { isOutdated } from "./change-site.ts";
import { openHost } from "./host-access.ts";
import { leaf } from "./types.ts";

interface ScopeReport {
  state: ScopeState;
  counters: Counters | undefined;
}

function scopeJson({ state, counters }: ScopeReport, site: Site): Record<string, unknown> {
  const named = extensions.map(({ name, id }) => {
    const row = counters?.count[id] ?? [];
    return [name, Object.fromEntries(COUNTER_NAMES.map((counter, i) => [counter, row[i] ?? 0]))];
  });
  return {
    cgroup: state.name,
    id: state.id,
    unit: unitNameOf(state),
    alive: state.alive,
    visible: state.visible,
    waiting: state.waiting,
    damaged: state.damaged,
    link_id: state.linkId,
    program_id: state.progId,
    version: state.version,
    layout: state.layout,
    outdated: isOutdated(state, site),
    rules: state.rules.map((rule) => ruleJson(rule, site)),
    counters: Object.fromEntries(named),
    last_error: counters?.error ?? null,
  };
}

/** What is unusual about a scope. */
function standing({ alive, visible, waiting, id }: ScopeState): string {
  if (!alive && !waiting) return " (removed: its rules have no effect)";
  const notes = [
    ...(alive ? [] : ["does not run: its rules wait for its next start"]),
    ...(visible ? [] : [`id ${id}, not visible from here; that is its name where its rules were set`]),
  ];
  return notes.length > 0 ? ` (${notes.join("; ")})` : "";
}

function scopeText({ state, counters }: ScopeReport, netns: Netns | null, site: Site): string {
  if (state.damaged) {
    return `cgroup ${state.name}: attached, but its pins were removed by hand; \`tcpx reset\` detaches it`;
  }
  const older = state.layout < LAYOUT_VERSION ? ", to be taken over by the next change" : "";
  const outdated = isOutdated(state, site)
    ? "; with another table of the site: its next change, or apply, loads it anew"
    : "";
  const attached = `sock_ops program ${state.progId}, link ${state.linkId}, by tcpx ${state.version}${older}${outdated}`;
  const rows = state.rules.map((rule) => ({ scope: state, rule }));
  const unit = state.visible ? unitText(state.name) : null;
  const sections = [
    `${unit ? `${unit}, ` : ""}cgroup ${state.name}${standing(state)}:\n${attached}`,
    ruleTable(rows, netns, site, false),
  ];
  const used = extensions.filter(({ id }) => counters?.count[id]?.some((n) => n > 0));
  if (used.length > 0) {
    const rows = COUNTER_NAMES.map((counter, i) => [
      counter.replace("_", " "),
      ...used.map(({ id }) => counters!.count[id]![i]!),
    ]);
    sections.push(
      table(
        ["COUNTER", ...used.map(({ name }) => name)],
        rows,
        [...used.keys()].map((i) => i + 1),
      ),
    );
  }
  if (counters?.error) {
    sections.push(
      `last error: errno ${-counters.error.code} at line ${counters.error.line} of the BPF program`,
    );
  }
  return sections.join("\n\n");
}

export const status = leaf({
  summary: "Scopes, rules, what is attached, counters, and the ACK agent.",
  args: { ...scopeArgs, ...globalArgs },
  examples: [
    ["tcpx status", "All scopes"],
    ["tcpx status --json | jq '.scopes[].counters'", "Counters for a script"],
  ],
  notes: [
    "Counters: sent = segments with our option; received = values learned from peers; applied = socket " +
      "settings made; clamped = moved to our limits; granted, unanswered = requests of ours; " +
      "refused = by the peer, or by us; kept = the application's own value left alone; " +
      "malformed = ignored; no room = option space full; fallback = went on without options after a loss; " +
      "errors = refused by the kernel.",
    "ACKs of ack rules: passed, with the reasons; dropped = held back for a later one; flushed = of these, sent " +
      "by the agent when their time came.",
  ],
  async run(args, io) {
    const host = await openHost(scopeFlags(args), "read");
    const reports = host
      .states()
      .map((state) => ({ state, counters: readCounters(host.lib, state.id, state.layout) }));
    const states = reports.map(({ state }) => state);
    const agent = await agentSection(states, io, true);
    const watched = isWatched(host.lib);
    const site = host.site();
    const scopes = reports.map((report) => scopeJson(report, site));
    io.json({ active: reports.length > 0, watched, site: siteJson(site), scopes, ...agent.json });
    const netns = host.netns();
    const text = reports.map((report) => scopeText(report, netns, site));
    if (reports.length === 0) text.push(agent.text ? "there are no rules" : "tcpx has nothing on this host");
    const watch = watched ? "a `tcpx watch` is open" : "";
    io.print([...text, siteText(site), watch, agent.text].filter(Boolean).join("\n\n"));
    return Exit.DONE;
  },
});
