// SPDX-License-Identifier: MIT
// The end of a change of rules: sockets that exist already hear of it.

import { Errno } from "../bridge/bridge.ts";
import type { Io } from "../output/io.ts";
import type { Change } from "../policy/change.ts";
import { type Rule, ruleId } from "../policy/rule.ts";
import { armListeners, askAgain, askLive, changedAsks, type Job, setLive, undoLive } from "./effects.ts";
import { armedJson, armedLines, type Outcome, outcomeJson, outcomeLines } from "./report.ts";

/** What --live is to do beside the change of rules. */
export interface LiveWish {
  /** Name of the extension. */
  ext: string;
  live: boolean;
  /** All that there is to do is to make a request. */
  asks?: boolean;
  /** Of `unset`: gives back what the rules at these places have set. */
  undo?: (change: Change) => Rule[];
}

export interface LiveReport {
  /** For the JSON document. */
  json: Record<string, unknown>;
  lines: string[];
  /** Sockets have something that they had not before. */
  changed: boolean;
  /** It has been said that some namespaces could not be entered. */
  refused?: boolean;
}

/** Rules by which listeners of this side have something to read or to say. */
function concernsListeners(change: Change): boolean {
  return [...change.added, ...change.unchanged].some(
    ({ selector, none }) => selector.direction !== "to" && !none,
  );
}

/** Once, however many steps have met it. */
function tellRefused(refused: number, report: LiveReport, io: Io): void {
  if (refused === 0 || report.refused) return;
  report.refused = true;
  io.messages.warn(
    "some network namespaces could not be entered: CAP_SYS_ADMIN is needed for that, and CAP_SYS_PTRACE to find them",
  );
}

function say(report: LiveReport, io: Io, done: string, outcome: Outcome): void {
  report.json.live = outcomeJson(outcome);
  report.changed ||= outcome.changed + outcome.said > 0;
  report.lines.push(...outcomeLines(done, outcome));
  tellRefused(outcome.refused, report, io);
  if (outcome.mute) {
    io.messages.warn("this kernel announces nothing on connections that exist (Linux 6.12 does)");
  }
  if (outcome.ssh) io.messages.warn("your own SSH session is among the connections that were changed");
}

async function arm(job: Job, report: LiveReport, io: Io): Promise<void> {
  const armed = await armListeners(job);
  report.json.listeners = armedJson(armed);
  report.changed ||= armed.armed > 0;
  report.lines.push(...armedLines(armed));
  tellRefused(armed.refused, report, io);
  if (!armed.supported) {
    io.messages.info(
      "this kernel cannot arm listeners that exist (Linux 5.15 can): they learn from the third ACK",
    );
  }
}

/** Connections that ask already hear of a changed request, without being asked for. */
async function tellAgain(job: Job, change: Change, report: LiveReport, io: Io): Promise<void> {
  if (changedAsks(change).length === 0) return;
  try {
    const outcome = await askAgain(job, change);
    const { changed, unsaid, skipped } = outcome;
    if (changed + unsaid + skipped.size > 0) say(report, io, "asked again on", outcome);
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    io.messages.info("this kernel announces nothing on connections that exist (Linux 6.12 does)");
  }
}

/** Call it after the rules are in force; undoing only needs the state from before. */
export async function tellSockets(job: Job, change: Change, wish: LiveWish, io: Io): Promise<LiveReport> {
  const report: LiveReport = { json: {}, lines: [], changed: false };
  if (wish.undo) {
    if (!wish.live) return report;
    const ids = new Set(wish.undo(change).map((rule) => ruleId(job.scope.id, rule)));
    say(report, io, "restored", await undoLive(job, wish.ext, ids));
    return report;
  }
  if (concernsListeners(change)) await arm(job, report, io);
  if (!wish.live) await tellAgain(job, change, report, io);
  else if (wish.asks) say(report, io, "asked on", await askLive(job, change));
  else say(report, io, "changed", await setLive(job, change, wish.ext));
  return report;
}
