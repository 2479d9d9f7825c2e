// SPDX-License-Identifier: MIT
// What has become of connections, for people and for scripts.

import { extensions } from "../extensions/index.ts";
import type { LiveNote, Skipped } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { LiveResult, LiveSaid } from "../layout/layout.generated.ts";
import type { Struct } from "../layout/struct.ts";
import type { Armed } from "./effects.ts";
import type { Socket } from "./sockets.ts";
import { isSession, sshSession } from "./ssh.ts";

/** Why a connection was left alone; an extension may have better words. */
const SKIPPED: Readonly<Record<number, Skipped>> = {
  [LiveResult.UNTOUCHED]: ["gone", "ended meanwhile"],
  [LiveResult.KEPT]: ["application", "chosen by the application"],
  [LiveResult.PEERS]: ["granted", "granted to the peer"],
  [LiveResult.SILENCED]: ["silenced", "silent since a loss, or for their path"],
  [LiveResult.SIGNED]: ["signed", "TCP-AO signs the options"],
  [LiveResult.FAILED]: ["failed", "refused by the kernel"],
};
/** A result that the extension has no words for. */
const OTHER: Skipped = ["other", "the extension does not say why"];
const EINVAL = 22;

/** What has become of one connection, and by which extension. */
export interface Result {
  cookie: bigint;
  target: Struct<"tcpx_live_target">;
  extension: Extension;
}

/** @param targets by socket cookie */
export const resultsOf = (extension: Extension, targets: ReadonlyMap<bigint, Result["target"]>): Result[] =>
  [...targets].map(([cookie, target]) => ({ cookie, target, extension }));

const nothing = () => ({
  /** Namespaces that were looked into, and those in which something was changed. */
  seen: 0,
  namespaces: 0,
  /** Namespaces that we were not let into. */
  refused: 0,
  changed: 0,
  same: 0,
  said: 0,
  unsaid: 0,
  /** The kernel lets iterators set no callback flags (before 6.12). */
  mute: false,
  /** What extensions note of changed connections. */
  notes: new Map<LiveNote, number>(),
  skipped: new Map<Skipped, number>(),
  /** The caller's own SSH connection is among the changed. */
  ssh: false,
});
export type Outcome = ReturnType<typeof nothing>;

const add = <K>(counts: Map<K, number>, key: K, n = 1) => counts.set(key, (counts.get(key) ?? 0) + n);

/** What the iterator says about the targets in one namespace. */
export function outcomeOf(sockets: Socket[], results: readonly Result[]): Outcome {
  const outcome = { ...nothing(), seen: 1 };
  const session = sshSession();
  const bySocket = new Map(sockets.map((socket) => [socket.cookie, socket]));
  for (const { cookie, target, extension } of results) {
    const { live } = extension;
    const { result, said, error, note: bits } = target;
    for (const note of live?.notes ?? []) if (bits & note.bit) add(outcome.notes, note);
    if (result === LiveResult.CHANGED) outcome.changed++;
    else if (result === LiveResult.SAME) outcome.same++;
    const muted = said === LiveSaid.UNSAID && error === -EINVAL;
    if (said === LiveSaid.SAID) outcome.said++;
    if (said === LiveSaid.UNSAID) outcome.unsaid++;
    if (muted) outcome.mute = true;
    const skipped =
      live?.skipped?.[result] ?? SKIPPED[result] ?? (result >= LiveResult.OWN ? OTHER : undefined);
    if (skipped && !muted) add(outcome.skipped, skipped);
    const socket = bySocket.get(cookie);
    if (result === LiveResult.CHANGED && socket && isSession(socket, session)) outcome.ssh = true;
  }
  if (outcome.changed > 0) outcome.namespaces = 1;
  return outcome;
}

const COUNTS = ["seen", "namespaces", "refused", "changed", "same", "said", "unsaid"] as const;

outcomeOf.sum = (parts: Outcome[]): Outcome => {
  const sum = nothing();
  for (const part of parts) {
    for (const count of COUNTS) sum[count] += part[count];
    for (const [note, n] of part.notes) add(sum.notes, note, n);
    for (const [why, n] of part.skipped) add(sum.skipped, why, n);
    sum.mute ||= part.mute;
    sum.ssh ||= part.ssh;
  }
  return sum;
};

const allNotes = () => extensions.flatMap(({ live }) => live?.notes ?? []);

/** A line that names only what there is. @param done "changed" or "gave back to" */
export function outcomeLines(done: string, outcome: Outcome): string[] {
  const { changed, same, said, unsaid, namespaces, notes, skipped } = outcome;
  const lines = [`${done} ${changed} connection(s) in ${namespaces} network namespace(s)`];
  if (same > 0) lines.push(`${same} connection(s) had it already`);
  for (const [[, why], n] of skipped) lines.push(`skipped ${n} connection(s): ${why}`);
  for (const note of allNotes()) {
    if (notes.has(note)) lines.push(`${notes.get(note)} connection(s) ${note.text}`);
  }
  if (said > 0) lines.push(`announced to ${said} peer(s) with the next segments`);
  if (unsaid > 0) lines.push(`not announced to ${unsaid} peer(s)`);
  return lines;
}

export function outcomeJson(outcome: Outcome): Record<string, unknown> {
  const { seen, namespaces, changed, same, said, unsaid, ssh } = outcome;
  const own = extensions.flatMap(({ live }) => Object.values(live?.skipped ?? {}));
  const skipped = new Map([...Object.values(SKIPPED), ...own].map(([name]) => [name, 0]));
  for (const [[name], n] of outcome.skipped) add(skipped, name, n);
  return {
    namespaces_checked: seen,
    namespaces,
    changed_connections: changed,
    same,
    skipped: Object.fromEntries(skipped),
    announced: said,
    not_announced: unsaid,
    ...Object.fromEntries(allNotes().map((note) => [note.member, outcome.notes.get(note) ?? 0])),
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
