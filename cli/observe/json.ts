// SPDX-License-Identifier: MIT
// Connections for scripts.

import { extensions } from "../extensions/index.ts";
import type { Local, Said, Side } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { Direction, ListFlag } from "../layout/layout.generated.ts";
import { joined } from "../output/document.ts";
import { addressText } from "./address.ts";
import { type Listed, STATES } from "./listed.ts";
import { type Negotiated, perNegotiation } from "./said.ts";

const sideJson = ({ status, asked, granted }: Side) => ({
  status,
  asked: asked?.json ?? null,
  granted: granted?.json ?? null,
});

const localJson = ({ status, rule, applied, reason }: Local) => ({
  status,
  rule: rule?.json ?? null,
  applied: applied?.json ?? null,
  reason,
});

const saidJson = ({ ours, peers, local, members }: Said) => ({
  ours: sideJson(ours),
  peers: sideJson(peers),
  local: localJson(local),
  ...members,
});

/** Members as text, behind a comma. */
function membersText(parts: readonly (object | undefined)[]): string {
  const text = JSON.stringify(Object.assign({}, ...parts)).slice(1, -1);
  return text === "" ? "" : `,${text}`;
}

/** What was negotiated, in the places where it stands: all that repeats. */
function negotiationText({ extensions: all, fallback }: Negotiated) {
  const named = Object.fromEntries(all.map(({ name, said }) => [name, saidJson(said)]));
  return {
    keepalive: membersText(all.map(({ said }) => said.keepalive)),
    rest:
      membersText(all.map(({ said }) => said.connection)) +
      `,"fallback":${fallback !== null},"fallback_reason":${JSON.stringify(fallback)},` +
      `"extensions":${JSON.stringify(named)}`,
  };
}

function keepaliveJson(list: Listed, at: number, more: string): string {
  const keepalive = list.keepalive(at);
  if (!keepalive) return "null";
  const { idleMs, intervalMs, probes } = keepalive;
  return `{"idle_ms":${idleMs},"interval_ms":${intervalMs},"probes":${probes}${more}}`;
}

const endpoint = (list: Listed, at: number, family: number, port: number) =>
  `{"address":"${addressText(list.bytes, at, family)}","port":${port}}`;

/**
 * What writes one connection as JSON; null stands for what is not set, not measured or not known. Put together
 * by hand, because building objects for 100,000 of them takes seconds.
 */
function connectionWriter(list: Listed, among: readonly Extension[]): (at: number) => string {
  const negotiation = perNegotiation(list, negotiationText, among);
  return (at) => {
    const [family, flags] = [list.family(at), list.flags(at)];
    const known = (flags & ListFlag.KNOWN) !== 0;
    const opened = list.direction(at) === Direction.TO;
    const said = negotiation(at);
    return (
      `{"state":"${STATES[list.state(at)] ?? "unknown"}","direction":"${opened ? "opened" : "accepted"}",` +
      `"family":${family},"mapped":${(flags & ListFlag.MAPPED) !== 0},` +
      `"local":${endpoint(list, list.localAt(at), family, list.localPort(at))},` +
      `"peer":${endpoint(list, list.remoteAt(at), family, list.remotePort(at))},` +
      `"netns":${list.netns(at)},"cgroup_id":"${list.cgroup(at)}","scope_id":${known ? `"${list.scope(at)}"` : null},` +
      `"user_timeout_ms":${list.timeoutMs(at) || null},"congestion_control":${JSON.stringify(list.congestion(at))},` +
      `"keepalive":${keepaliveJson(list, at, said.keepalive)},` +
      `"cwnd":${list.cwnd(at)},"rtt_us":${list.rttUs(at) || null},` +
      `"delayed_ack_max_us":${list.delackUs(at) || null},"mark":${list.mark(at)}${said.rest}}`
    );
  };
}

function* pieces(picked: readonly number[], head: object, write: (at: number) => string): Generator<string> {
  yield `${JSON.stringify(head).slice(0, -1)},"connections":[`;
  let separator = "";
  for (const at of picked) {
    yield separator + write(at);
    separator = ",";
  }
  yield "]}\n";
}

/** The document in parts; `head` are its other members, `among` the extensions that it tells of. */
export const connectionDocument = (
  list: Listed,
  picked: readonly number[],
  head: object,
  among: readonly Extension[] = extensions,
): Generator<string> => joined(pieces(picked, head, connectionWriter(list, among)));
