// SPDX-License-Identifier: MIT
// What a change of rules does to sockets that exist already.

import { type Bridge, Errno } from "../bridge/bridge.ts";
import { extensionOf } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import type { SlotObject } from "../loader/slots.ts";
import { readScopes } from "../loader/state.ts";
import type { Change } from "../policy/change.ts";
import { flatten } from "../policy/flatten.ts";
import type { Rule } from "../policy/rule.ts";
import type { Scope } from "../system/host.ts";
import { LiveObject, State } from "./iterators.ts";
import { Matcher } from "./match.ts";
import { hasProcesses, namespacesOf } from "./namespaces.ts";
import { type Plan, planAsk, planSet, planUndo, type Rules } from "./plan.ts";
import { type Outcome, outcomeOf, type Result, resultsOf } from "./report.ts";
import { slotOf } from "./slot.ts";
import { decodeSockets, type Socket } from "./sockets.ts";

export { State };

export interface Job {
  lib: Bridge;
  scope: Scope;
  /** Root scope: in every namespace. */
  allNetns: boolean;
  state: State;
}

export interface Armed {
  /** False: this kernel's iterators change nothing (before 5.15). */
  supported: boolean;
  armed: number;
  /** Those of them that answer in the SYN-ACK. */
  synAck: number;
  /** Namespaces in which some were armed, and those that we were not let into. */
  namespaces: number;
  refused: number;
}

/** Prepares listeners of the scope that are older than its rules. */
export async function armListeners(job: Job): Promise<Armed> {
  const { lib, scope, state } = job;
  const result: Armed = { supported: true, armed: 0, synAck: 0, namespaces: 0, refused: 0 };
  if (!hasProcesses(scope)) return result; // as of `tcpx run`, where nothing has begun yet
  try {
    using object = await LiveObject.load(lib, { program: "arm", scope: scope.id, state });
    const { found, hidden } = namespacesOf(scope, job.allNetns);
    for (const netns of found) {
      object.run(netns);
      const { armed, syn_ack } = object.tally();
      if (armed > result.armed) result.namespaces++;
      [result.armed, result.synAck] = [armed, syn_ack];
    }
    return { ...result, refused: object.refused + hidden };
  } catch (error) {
    if (!(error instanceof Errno)) throw error;
    return { ...result, supported: false };
  }
}

/** Rules of every scope; those of the job's own are given, as they are about to be or already are. */
function rulesAround(job: Job, own: Rule[]): Rules {
  const states = readScopes(job.lib).filter(({ id, alive }) => alive && id !== job.scope.id);
  const matcher = (rules: Rule[]) => new Matcher(flatten(rules));
  const scopes = new Map(states.map(({ id, rules }) => [id, matcher(rules)]));
  scopes.set(job.scope.id, matcher(own));
  return { scope: job.scope.id, scopes };
}

/** What is to be done with connections, of one extension. */
interface Work {
  extension: Extension;
  plan(sockets: Socket[]): Plan;
}

/** Of several extensions: those in slots each with programs of its own. */
async function perform(job: Job, scopes: bigint[], work: Work[]): Promise<Outcome> {
  const inSlots = work.filter(({ extension }) => slotOf(extension));
  const others = work.filter((one) => !inSlots.includes(one));
  const parts: Outcome[] = [];
  if (others.length > 0 || inSlots.length === 0) parts.push(await performOne(job, scopes, others));
  for (const one of inSlots) parts.push(await performOne(job, scopes, [one], slotOf(one.extension)));
  const [first = outcomeOf.sum([])] = parts;
  return { ...outcomeOf.sum(parts), seen: first.seen, refused: first.refused };
}

/** Lists, plans and does it, namespace by namespace. */
async function performOne(job: Job, scopes: bigint[], work: Work[], slot?: SlotObject): Promise<Outcome> {
  const { lib, scope, state } = job;
  const common = { scope: scope.id, state, scopes, slot };
  using list = await LiveObject.load(lib, { program: "list", ...common });
  const parts: Outcome[] = [];
  const { found, hidden } = namespacesOf(scope, job.allNetns);
  for (const netns of found) {
    const bytes = list.run(netns);
    if (!bytes) continue;
    const sockets = decodeSockets(bytes);
    const ours = sockets.filter((socket) => socket.state === 10 || socket.scopes.includes(scope.id));
    const results: Result[] = [];
    for (const { extension, plan } of work) {
      const planned = plan(ours);
      if (planned.targets.size === 0) continue;
      using change = await LiveObject.load(lib, { program: "change", ...common, ...planned });
      change.run(netns);
      results.push(...resultsOf(extension, change.results()));
    }
    parts.push(outcomeOf(sockets, results));
  }
  return { ...outcomeOf.sum(parts), refused: list.refused + hidden };
}

/** --live: connections whose rule is one of these have it now. */
export function setLive(job: Job, change: Change, ext: string): Promise<Outcome> {
  const rules = rulesAround(job, change.rules);
  const wanted = [...change.added, ...change.unchanged].filter((rule) => rule.ext === ext);
  const extension = extensionOf({ ext });
  const plan = (sockets: Socket[]) => planSet(sockets, rules, extension, wanted);
  return perform(job, [...rules.scopes.keys()], [{ extension, plan }]);
}

/** Requests that connections which exist can make, too. */
const isAsk = (rule: Rule) => rule.kind === "ask" && !rule.none && extensionOf(rule).live?.asks === true;

/** Those that this command has changed. */
export const changedAsks = ({ added }: Change): Rule[] => added.filter(isAsk);

/** request --live: connections whose request is one of these make it, unless they have. */
export function askLive(job: Job, change: Change): Promise<Outcome> {
  return ask(job, change, [...change.added, ...change.unchanged].filter(isAsk), true);
}

/** A changed request is announced again where one was made before. */
export function askAgain(job: Job, change: Change): Promise<Outcome> {
  return ask(job, change, changedAsks(change), false);
}

function ask(job: Job, change: Change, wanted: Rule[], silent: boolean): Promise<Outcome> {
  const rules = rulesAround(job, change.rules);
  const asking = new Set(wanted.map(extensionOf));
  const work = [...asking].map((extension): Work => {
    const own = wanted.filter(({ ext }) => ext === extension.name);
    return { extension, plan: (sockets) => planAsk(sockets, rules, extension, own, silent) };
  });
  return perform(job, [...rules.scopes.keys()], work);
}

/** unset --live: connections with a rule of these ids get back what they had. */
export function undoLive(job: Job, ext: string, ids: Set<number>): Promise<Outcome> {
  const extension = extensionOf({ ext });
  const plan = (sockets: Socket[]) => planUndo(sockets, job.scope.id, extension.id, ids);
  return perform(job, [job.scope.id], [{ extension, plan }]);
}
