// SPDX-License-Identifier: MIT
// Connections for grep, awk and `while read`: a line each, whose first 16 words are always there.

import { formatDuration, formatMicros } from "../base/duration.ts";
import { Direction } from "../layout/layout.generated.ts";
import { visible } from "../output/safe.ts";
import { endpointText } from "./address.ts";
import { type Listed, STATES } from "./listed.ts";
import { saidParts } from "./rows.ts";
import { perNegotiation } from "./said.ts";

/** Characters that are written at once. */
const PART = 65_536;
const NONE = "-";

function settings(list: Listed, at: number): string {
  const [timeout, rtt, delack] = [list.timeoutMs(at), list.rttUs(at), list.delackUs(at)];
  const pairs = [
    ["netns", list.netns(at)],
    ["timeout", timeout ? formatDuration(timeout) : NONE],
    ["congestion", visible(list.congestion(at)) || NONE],
    ["cwnd", list.cwnd(at)],
    ["rtt", rtt ? formatMicros(rtt) : NONE],
    ["delack", delack ? formatMicros(delack) : NONE],
  ];
  return pairs.flat().join(" ");
}

/** "established 10.0.0.1:40000 > 10.0.0.2:443 netns 7 timeout - ... delack 200ms, iw granted 32 (asked 40)" */
export function* connectionLines(list: Listed, picked: readonly number[]): Generator<string> {
  const said = perNegotiation(list, (made) =>
    saidParts(made)
      .map((part) => `, ${part}`)
      .join(""),
  );
  let lines = "";
  for (const at of picked) {
    const [bytes, family] = [list.bytes, list.family(at)];
    const local = endpointText(bytes, list.localAt(at), family, list.localPort(at));
    const remote = endpointText(bytes, list.remoteAt(at), family, list.remotePort(at));
    const sign = list.direction(at) === Direction.TO ? ">" : "<";
    const state = STATES[list.state(at)] ?? "?";
    lines += `${state} ${local} ${sign} ${remote} ${settings(list, at)}${said(at)}\n`;
    if (lines.length < PART) continue;
    yield lines;
    lines = "";
  }
  yield lines;
}
