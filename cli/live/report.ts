// SPDX-License-Identifier: MIT
// What has become of connections, for people and for scripts.

import { Keepalive, LiveResult, LiveSaid } from "../layout/layout.generated.ts";
import type { Struct } from "../layout/struct.ts";
import type { Armed } from "./effects.ts";
import type { Socket } from "./sockets.ts";
import { isSession, sshSession } from "./ssh.ts";

/** Why a connection was left alone, by its name in JSON. */
const SKIPPED: Partial<Record<number, readonly [name: string, why: string]>> = {
  [LiveResult.UNTOUCHED]: ["gone", "ended meanwhile"],
  [LiveResult.KEPT]: ["application", "chosen by the application"],
  [LiveResult.PEERS]: ["granted", "granted to the peer"],
  [LiveResult.UNKNOWN_RTT]: ["rtt", "RTT not known yet"],
  [LiveResult.SILENCED]: ["silenced", "silent since a loss, or for their path"],
  [LiveResult.INCAPABLE]: ["incapable", "the peer does not speak TARR"],
  [LiveResult.SIGNED]: ["signed", "TCP-AO signs the options"],
  [LiveResult.FAILED]: ["failed", "refused by the kernel"],
};
const EINVAL = 22;

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
  /** User timeouts that keep-alive has lowered, and that end a connection at the first lost probe. */
  lowered: number;
  short: number;
  /** By enum tcpx_live_result. */
  skipped: Map<number, number>;
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
  lowered: 0,
  short: 0,
  skipped: new Map(),
  ssh: false,
};

/** What the iterator says about the targets in one namespace. */
export function outcomeOf(sockets: Socket[], results: Map<bigint, Struct<"tcpx_live_target">>): Outcome {
  const outcome: Outcome = { ...NOTHING, seen: 1, skipped: new Map() };
  const session = sshSession();
  const bySocket = new Map(sockets.map((socket) => [socket.cookie, socket]));
  for (const [cookie, { result, said, error, keepalive }] of results) {
    if (keepalive & Keepalive.LOWERED) outcome.lowered++;
    if (keepalive & Keepalive.SHORT) outcome.short++;
    if (result === LiveResult.CHANGED) outcome.changed++;
    else if (result === LiveResult.SAME) outcome.same++;
    const muted = said === LiveSaid.UNSAID && error === -EINVAL;
    if (said === LiveSaid.SAID) outcome.said++;
    if (said === LiveSaid.UNSAID) outcome.unsaid++;
    if (muted) outcome.mute = true;
    if (SKIPPED[result] && !muted) outcome.skipped.set(result, (outcome.skipped.get(result) ?? 0) + 1);
    const socket = bySocket.get(cookie);
    if (result === LiveResult.CHANGED && socket && isSession(socket, session)) outcome.ssh = true;
  }
  if (outcome.changed > 0) outcome.namespaces = 1;
  return outcome;
}

outcomeOf.sum = (parts: Outcome[]): Outcome =>
  parts.reduce((a, b) => {
    const skipped = new Map(a.skipped);
    for (const [why, n] of b.skipped) skipped.set(why, (skipped.get(why) ?? 0) + n);
    return {
      seen: a.seen + b.seen,
      namespaces: a.namespaces + b.namespaces,
      refused: a.refused + b.refused,
      changed: a.changed + b.changed,
      same: a.same + b.same,
      said: a.said + b.said,
      unsaid: a.unsaid + b.unsaid,
      mute: a.mute || b.mute,
      lowered: a.lowered + b.lowered,
      short: a.short + b.short,
      skipped,
      ssh: a.ssh || b.ssh,
    };
  }, NOTHING);

/** A line that names only what there is. @param done "changed" or "gave back to" */
export function outcomeLines(done: string, outcome: Outcome): string[] {
  const { changed, same, said, unsaid, namespaces, skipped, lowered, short } = outcome;
  const lines = [`${done} ${changed} connection(s) in ${namespaces} network namespace(s)`];
  if (same > 0) lines.push(`${same} connection(s) had it already`);
  for (const [why, n] of skipped) lines.push(`skipped ${n} connection(s): ${SKIPPED[why]![1]}`);
  if (lowered > 0) lines.push(`${lowered} connection(s) end earlier than the rule says: by keep-alive`);
  if (short > 0) lines.push(`${short} connection(s) end at the first lost probe of keep-alive`);
  if (said > 0) lines.push(`announced to ${said} peer(s) with the next segments`);
  if (unsaid > 0) lines.push(`not announced to ${unsaid} peer(s)`);
  return lines;
}

export function outcomeJson(outcome: Outcome): Record<string, unknown> {
  const { seen, namespaces, changed, same, said, unsaid, ssh } = outcome;
  const skipped = Object.entries(SKIPPED).map(([why, entry]) => [
    entry![0],
    outcome.skipped.get(Number(why)) ?? 0,
  ]);
  return {
    namespaces_checked: seen,
    namespaces,
    changed_connections: changed,
    same,
    skipped: Object.fromEntries(skipped),
    announced: said,
    not_announced: unsaid,
    keepalive_lowered: outcome.lowered,
    keepalive_short: outcome.short,
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
