// SPDX-License-Identifier: MIT

import { agentSection } from "../agent/section.ts";
import { type Args, globalArgs, scopeArgs, scopeFlags } from "../base/args.ts";
import { Exit } from "../base/errors.ts";
import { isOutdated } from "../change/site-needs.ts";
import { ruleJson, ruleRows, unitNameOf } from "../describe/rules.ts";
import { siteJson, siteText } from "../describe/site-text.ts";
import { helpOf, isOnSyn } from "../extensions/index.ts";
import { type Host, openHost } from "../flags/host-access.ts";
import { LAYOUT_VERSION } from "../layout/layout.generated.ts";
import { type Counters, readCounters } from "../loader/counters.ts";
import { holdsResets } from "../loader/reset-link.ts";
import { leftWatchers, watchersText } from "../loader/run-watchers.ts";
import { type SockReport, sockReports } from "../loader/sock-links.ts";
import type { ScopeState } from "../loader/state.ts";
import { countersJson, countersText, ownCounters } from "../observe/counted.ts";
import { isWatched } from "../observe/watching.ts";
import { each, listOf } from "../output/document.ts";
import { wrapped } from "../output/wrap.ts";
import type { Netns } from "../policy/rule.ts";
import { programJson, programRows } from "../programs/report.ts";
import { isLeft, type LoadedProgram, readPrograms } from "../programs/state.ts";
import { unitText } from "../system/unit-name.ts";
import type { Site } from "../wire/site.ts";
import { leaf } from "./types.ts";

interface ScopeReport {
  state: ScopeState;
  counters: Counters | undefined;
  holdsResets: boolean;
  programs: SockReport[];
}

function scopeJson(
  { state, counters, holdsResets, programs }: ScopeReport,
  site: Site,
): Record<string, unknown> {
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
    holds_resets: holdsResets,
    programs: programs.map(({ ext, type, program }) => ({
      extension: ext,
      type,
      program_id: program ?? null,
    })),
    rules: listOf(state.rules, (rule) => ruleJson(rule, site)),
    counters: countersJson(counters),
    last_error: counters?.error ?? null,
  };
}

/** Some rule asks, and the program that goes with it is missing: refused by the kernel, or kept out by another's. */
function resetNotice({ state, holdsResets }: ScopeReport): string {
  const { alive, layout } = state;
  if (holdsResets || !alive || layout < LAYOUT_VERSION || !state.rules.some(isOnSyn)) return "";
  const text =
    "notice: resets are not held back here, since the program for it could not be attached: over a path that answers " +
    "a SYN with an option by a reset the first connection is lost";
  return `\n${wrapped(text).join("\n")}\n`;
}

/** A program of another type, or that somebody has detached it. */
function programText({ ext, type, program }: SockReport): string {
  if (program !== undefined) return `${type} program ${program}, for ${ext}\n`;
  const text =
    `problem: the ${type} program of ${ext} is missing, its link was removed: the next change of rules here, or ` +
    "apply, attaches it again";
  return `${wrapped(text).join("\n")}\n`;
}

const programsText = ({ state, programs }: ScopeReport) =>
  state.alive ? programs.map(programText).join("") : "";

/** What is unusual about a scope. */
function standing({ alive, visible, waiting, id }: ScopeState): string {
  if (!alive && !waiting) return " (removed: its rules have no effect)";
  const notes = [
    ...(alive ? [] : ["does not run: its rules wait for its next start"]),
    ...(visible ? [] : [`id ${id}, not visible from here; that is its name where its rules were set`]),
  ];
  return notes.length > 0 ? ` (${notes.join("; ")})` : "";
}

function attachedText(state: ScopeState, site: Site): string {
  const older = state.layout < LAYOUT_VERSION ? ", to be taken over by the next change" : "";
  const outdated = isOutdated(state, site)
    ? "; with another table of the site: its next change, or apply, loads it anew"
    : "";
  return `sock_ops program ${state.progId}, link ${state.linkId}, by tcpx ${state.version}${older}${outdated}`;
}

function* scopeRows(report: ScopeReport, netns: Netns | null, site: Site): Generator<string> {
  const { state, counters } = report;
  if (state.damaged) {
    yield `cgroup ${state.name}: attached, but its pins were removed by hand; \`tcpx reset\` detaches it\n`;
    return;
  }
  const unit = state.visible ? unitText(state.name) : null;
  yield `${unit ? `${unit}, ` : ""}cgroup ${state.name}${standing(state)}:\n${attachedText(state, site)}\n${programsText(report)}\n`;
  const rows = each(state.rules, (rule) => ({ scope: state, rule }));
  yield* ruleRows(rows, netns, site, false);
  yield resetNotice(report);
  yield countersText(counters);
  if (counters?.error) {
    yield `\nlast error: errno ${-counters.error.code} at line ${counters.error.line} of the BPF program\n`;
  }
}

/** Everything, a blank line between its parts. */
function* allRows(
  reports: ScopeReport[],
  netns: Netns | null,
  site: Site,
  more: string[],
): Generator<string> {
  let separator = "";
  for (const report of reports) {
    yield separator;
    yield* scopeRows(report, netns, site);
    separator = "\n";
  }
  for (const text of more.filter(Boolean)) {
    yield `${separator}${text}\n`;
    separator = "\n";
  }
}

/** Programs of others: those of the scope that was named, or all of them, but what a killed command has left. */
function loadedPrograms(host: Host, args: Args): LoadedProgram[] {
  const isNamed = Object.values(scopeFlags(args)).some((value) => value !== undefined);
  const id = isNamed ? host.scope().id : undefined;
  return readPrograms(host.lib).filter(
    (one) => (one.isGone || !isLeft(one)) && (id === undefined || one.where === id),
  );
}

const OWN = ownCounters();

export const status = leaf({
  summary: "Scopes, rules, what is attached, counters, programs of others, and the ACK agent.",
  args: { ...scopeArgs, ...globalArgs },
  examples: [
    ["tcpx status", "All scopes"],
    ["tcpx status --json | jq '.scopes[].counters'", "Counters for a script"],
  ],
  notes: [
    "Counters: sent = segments with our option; received = values learned from peers; applied = socket " +
      "settings made; clamped = moved to our limits; granted, unanswered = requests of ours; " +
      "refused = by the peer, or by us; kept = the application's own value left alone; " +
      "malformed = ignored; no room = option space full; fallback = went without options after a loss, or because of " +
      "the path; path = of these, because of the path: a reset, an ICMP error or silence was the answer to a SYN with " +
      "options; withheld = left out because TCP-AO signs the options; errors = refused by the kernel" +
      `${OWN.map(({ title, meaning }) => `; ${title} = ${meaning}`).join("")}.`,
    "Runs of programs of others are counted while kernel.bpf_stats_enabled is 1. That costs every program of the host " +
      "a little, so it is yours to set.",
    ...helpOf("status").notes,
  ],
  async run(args, io) {
    const host = await openHost(scopeFlags(args), "read");
    const reports = host.states().map((state) => ({
      state,
      counters: readCounters(host.lib, state.id, state.layout),
      holdsResets: holdsResets(host.lib, state.id, state.layout),
      programs: sockReports(host.lib, state),
    }));
    const states = reports.map(({ state }) => state);
    const agent = await agentSection(states, io, true);
    const watched = isWatched(host.lib);
    const left = await leftWatchers();
    const site = host.site();
    const loaded = loadedPrograms(host, args);
    await io.document({
      active: reports.length > 0,
      watched,
      site: siteJson(site),
      scopes: listOf(reports, (report) => scopeJson(report, site)),
      loaded_programs: loaded.map((program) => programJson(host.lib, program, site)),
      run_watchers: left,
      ...agent.json,
    });
    const nothing =
      agent.text || left.length > 0 || loaded.length > 0
        ? "there are no rules"
        : "tcpx has nothing on this host";
    const watch = watched ? "a `tcpx watch` is open" : "";
    const unended = left.length > 0 ? `${watchersText(left)}: \`tcpx reset\` ends them` : "";
    const others = programRows(host.lib, loaded, site);
    const more = [reports.length === 0 ? nothing : "", siteText(site), others, watch, agent.text, unended];
    await io.rows(allRows(reports, host.netns(), site, more));
    return Exit.DONE;
  },
});
