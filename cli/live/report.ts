// SPDX-License-Identifier: MIT
// What has become of connections, for people and for scripts.

import { extensions } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import { LiveResult, LiveSaid } from "../loader/layout.generated.ts";
import type { Struct } from "../loader/struct.ts";
import type { Armed } from "./effects.ts";
import type { Socket } from "./sockets.ts";
import { isSession, sshSession } from "./ssh.ts";

/** Why a connection was left alone, by its name in JSON. An extension may have better words. */
const SKIPPED: Partial<Record<number, readonly [name: string, why: string]>> = {
  [LiveResult.UNTOUCHED]: ["gone", "ended meanwhile"],
  [LiveResult.KEPT]: ["application", "chosen by the application"],
  [LiveResult.PEERS]: ["granted", "granted to the peer"],
  [LiveResult.UNKNOWN_RTT]: ["rtt", "RTT not known yet"],
  [LiveResult.SILENCED]: ["silenced", "silent since a loss, or for their path"],
  [LiveResult.INCAPABLE]: ["incapable", "the peer does not understand it"],
  [LiveResult.SIGNED]: ["signed", "TCP-AO signs the options"],
  [LiveResult.FAILED]: ["failed", "refused by the kernel"],
};
const EINVAL = 22;

/** What has become of one connection, and by which extension. */
export interface Result {
  cookie: bigint;
  target: Struct<"tcpx_live_target">;
  extension: Extension;
}

/** @param targets by socket cookie */
export const resultsOf = (
  extension: Extension,
  targets: ReadonlyMap<bigint, Struct<"tcpx_live_target">>,
): Result[] => [...targets].map(([cookie, target]) => ({ cookie, target, extension }));

interface Skipped {
  /** enum tcpx_live_result */
  result: number;
  count: number;
}

export interface Outcome {
  /** Namespaces that were looked into, and those in which something was changed. */
  seen: number;
  namespaces: number;
  /** Namespaces that we were not let into. */
  refused: number;
  changed: number;
  same: number;
  said: number;
  unsaid: number;
  /** The kernel lets iterators set no callback flags (before 6.12). */
  mute: boolean;
  /** What extensions note of results, by its member in JSON. */
  notes: Map<string, number>;
  /** How many were left alone, by the reason in words. */
  skipped: Map<string, Skipped>;
  /** The caller's own SSH connection is among the changed. */
  ssh: boolean;
}

const NOTHING: Outcome = {
  seen: 0,
  namespaces: 0,
  refused: 0,
  changed: 0,
  same: 0,
  said: 0,
  unsaid: 0,
  mute: false,
  notes: new Map(),
  skipped: new Map(),
  ssh: false,
};

function skip(skipped: Outcome["skipped"], why: string, { result, count }: Skipped): void {
  skipped.set(why, { result, count: (skipped.get(why)?.count ?? 0) + count });
}

const wordsOf = ({ target: { result }, extension }: Result) =>
  extension.live?.skipped?.[result] ?? SKIPPED[result]?.[1];

/** What the iterator says about the targets in one namespace. */
export function outcomeOf(sockets: Socket[], results: readonly Result[]): Outcome {
  const outcome: Outcome = { ...NOTHING, seen: 1, notes: new Map(), skipped: new Map() };
  const session = sshSession();
  const bySocket = new Map(sockets.map((socket) => [socket.cookie, socket]));
  for (const one of results) {
    const { result, said, error, keepalive: bits } = one.target; // its name is of whose bits there are so far
    for (const { bit, member } of one.extension.live?.notes ?? []) {
      if (bits & bit) outcome.notes.set(member, (outcome.notes.get(member) ?? 0) + 1);
    }
    if (result === LiveResult.CHANGED) outcome.changed++;
    else if (result === LiveResult.SAME) outcome.same++;
    const muted = said === LiveSaid.UNSAID && error === -EINVAL;
    if (said === LiveSaid.SAID) outcome.said++;
    if (said === LiveSaid.UNSAID) outcome.unsaid++;
    if (muted) outcome.mute = true;
    const why = wordsOf(one);
    if (why !== undefined && !muted) skip(outcome.skipped, why, { result, count: 1 });
    const socket = bySocket.get(one.cookie);
    if (result === LiveResult.CHANGED && socket && isSession(socket, session)) outcome.ssh = true;
  }
  if (outcome.changed > 0) outcome.namespaces = 1;
  return outcome;
}

outcomeOf.sum = (parts: Outcome[]): Outcome =>
  parts.reduce((a, b) => {
    const [notes, skipped] = [new Map(a.notes), new Map(a.skipped)];
    for (const [member, n] of b.notes) notes.set(member, (notes.get(member) ?? 0) + n);
    for (const [why, those] of b.skipped) skip(skipped, why, those);
    return {
      seen: a.seen + b.seen,
      namespaces: a.namespaces + b.namespaces,
      refused: a.refused + b.refused,
      changed: a.changed + b.changed,
      same: a.same + b.same,
      said: a.said + b.said,
      unsaid: a.unsaid + b.unsaid,
      mute: a.mute || b.mute,
      notes,
      skipped,
      ssh: a.ssh || b.ssh,
    };
  }, NOTHING);

const NOTES = extensions.flatMap(({ live }) => live?.notes ?? []);

/** A line that names only what there is. @param done "changed" or "gave back to" */
export function outcomeLines(done: string, outcome: Outcome): string[] {
  const { changed, same, said, unsaid, namespaces, notes, skipped } = outcome;
  const lines = [`${done} ${changed} connection(s) in ${namespaces} network namespace(s)`];
  if (same > 0) lines.push(`${same} connection(s) had it already`);
  for (const [why, { count }] of skipped) lines.push(`skipped ${count} connection(s): ${why}`);
  for (const { member, text } of NOTES) {
    const count = notes.get(member) ?? 0;
    if (count > 0) lines.push(`${count} connection(s) ${text}`);
  }
  if (said > 0) lines.push(`announced to ${said} peer(s) with the next segments`);
  if (unsaid > 0) lines.push(`not announced to ${unsaid} peer(s)`);
  return lines;
}

export function outcomeJson(outcome: Outcome): Record<string, unknown> {
  const { seen, namespaces, changed, same, said, unsaid, ssh } = outcome;
  const counts = [...outcome.skipped.values()];
  const skipped = Object.entries(SKIPPED).map(([result, entry]) => {
    const those = counts.filter((one) => one.result === Number(result));
    return [entry![0], those.reduce((sum, { count }) => sum + count, 0)];
  });
  return {
    namespaces_checked: seen,
    namespaces,
    changed_connections: changed,
    same,
    skipped: Object.fromEntries(skipped),
    announced: said,
    not_announced: unsaid,
    ...Object.fromEntries(NOTES.map(({ member }) => [member, outcome.notes.get(member) ?? 0])),
    own_ssh_session: ssh,
  };
}

/** "armed 3 listeners in 2 network namespaces"; nothing when there were none. */
export function armedLines({ armed, namespaces }: Armed): string[] {
  return armed > 0 ? [`armed ${armed} listener(s) in ${namespaces} network namespace(s)`] : [];
}

export function armedJson({ supported, armed, synAck, namespaces }: Armed): Record<string, unknown> {
  return { supported, armed, answer_in_syn_ack: synAck, namespaces };
}
