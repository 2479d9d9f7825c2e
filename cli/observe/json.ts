// SPDX-License-Identifier: MIT
// Connections for scripts.

import { Direction, ListFlag } from "../layout/layout.generated.ts";
import { addressText } from "./address.ts";
import { type Listed, STATES } from "./listed.ts";
import { type Local, type LocalValue, NO_LOCAL, type Strategy } from "./local.ts";
import { keepaliveNote, type Negotiated, perNegotiation, type Said, type Side } from "./said.ts";
import { sideJson, valueJson } from "./value-json.ts";

const NOTHING: Side = { status: "none", asked: null, granted: null };
const SILENT: Said = { ours: NOTHING, peers: NOTHING, local: NO_LOCAL };

function strategyJson(strategy: Strategy | null | undefined) {
  if (!strategy) return null;
  const { every, divisor, delayUs } = strategy;
  return { every: every || null, divisor: divisor || null, delay_us: delayUs || null };
}

const localValueJson = (extension: string, value: LocalValue | null) =>
  typeof value === "object" ? strategyJson(value) : valueJson(extension, value);

const localJson = (extension: string, { status, rule, applied, reason }: Local) => ({
  status,
  rule: localValueJson(extension, rule),
  applied: localValueJson(extension, applied),
  reason,
});

function saidJson(extension: string, { ours, peers, local }: Said = SILENT) {
  return {
    ours: sideJson(extension, ours),
    peers: sideJson(extension, peers),
    local: localJson(extension, local),
  };
}

function extensionsJson(said: Negotiated | undefined) {
  return {
    uto: saidJson("uto", said?.uto),
    "cc-request": saidJson("cc-request", said?.["cc-request"]),
    iw: saidJson("iw", said?.iw),
    ack: { ...saidJson("ack", said?.ack), strategy: strategyJson(said?.strategy) },
  };
}

function keepaliveJson(list: Listed, at: number): string {
  const keepalive = list.keepalive(at);
  if (!keepalive) return "null";
  const { idleMs, intervalMs, probes } = keepalive;
  const note = JSON.stringify(keepaliveNote(list, at));
  return `{"idle_ms":${idleMs},"interval_ms":${intervalMs},"probes":${probes},"user_timeout":${note}}`;
}

const endpoint = (list: Listed, at: number, family: number, port: number) =>
  `{"address":"${addressText(list.bytes, at, family)}","port":${port}}`;

/**
 * What writes one connection as JSON; null stands for what is not set, not measured or not known. Put together
 * by hand, because building objects for 100,000 of them takes seconds.
 */
function connectionWriter(list: Listed): (at: number) => string {
  const said = perNegotiation(
    list,
    (made) =>
      `"fallback":${Boolean(made?.fallback)},"fallback_reason":${JSON.stringify(made?.fallback ?? null)},` +
      `"extensions":${JSON.stringify(extensionsJson(made))}`,
  );
  return (at) => {
    const [family, flags] = [list.family(at), list.flags(at)];
    const known = (flags & ListFlag.KNOWN) !== 0;
    const opened = list.direction(at) === Direction.TO;
    return (
      `{"state":"${STATES[list.state(at)] ?? "unknown"}","direction":"${opened ? "opened" : "accepted"}",` +
      `"family":${family},"mapped":${(flags & ListFlag.MAPPED) !== 0},` +
      `"local":${endpoint(list, list.localAt(at), family, list.localPort(at))},` +
      `"peer":${endpoint(list, list.remoteAt(at), family, list.remotePort(at))},` +
      `"netns":${list.netns(at)},"cgroup_id":"${list.cgroup(at)}","scope_id":${known ? `"${list.scope(at)}"` : null},` +
      `"user_timeout_ms":${list.timeoutMs(at) || null},"congestion_control":${JSON.stringify(list.congestion(at))},` +
      `"keepalive":${keepaliveJson(list, at)},` +
      `"cwnd":${list.cwnd(at)},"rtt_us":${list.rttUs(at) || null},` +
      `"delayed_ack_max_us":${list.delackUs(at) || null},"mark":${list.mark(at)},` +
      `"ack_at_once":${known && list.ack(at).marked !== 0},${said(at)}}`
    );
  };
}

const PART = 65_536;

/** The document in parts; `head` are its other members. */
export function* connectionDocument(
  list: Listed,
  picked: readonly number[],
  head: Record<string, unknown>,
): Generator<string> {
  const write = connectionWriter(list);
  let part = `${JSON.stringify(head).slice(0, -1)},"connections":[`;
  let separator = "";
  for (const at of picked) {
    part += separator + write(at);
    separator = ",";
    if (part.length < PART) continue;
    yield part;
    part = "";
  }
  yield `${part}]}\n`;
}
