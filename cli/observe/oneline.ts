// SPDX-License-Identifier: MIT
// Connections for grep, awk and `while read`: a line each, whose first 16 words are always there.

import { formatDuration, formatMicros } from "../base/duration.ts";
import { extensions } from "../extensions/index.ts";
import type { Extension } from "../extensions/types.ts";
import { each, joined } from "../output/document.ts";
import { visible } from "../output/safe.ts";
import { type Listed, STATES } from "./listed.ts";
import { endsOf, saidParts } from "./rows.ts";
import { type Negotiated, perNegotiation } from "./said.ts";

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

const saidText = (said: Negotiated) =>
  saidParts(said)
    .map((part) => `, ${part}`)
    .join("");

/** "established 10.0.0.1:40000 > 10.0.0.2:443 netns 7 timeout - ... delack 200ms, iw granted 32 (asked 40)" */
export function connectionLines(
  list: Listed,
  picked: readonly number[],
  among: readonly Extension[] = extensions,
): Generator<string> {
  const said = perNegotiation(list, saidText, among);
  const line = (at: number) => {
    const state = STATES[list.state(at)] ?? "?";
    return `${state} ${endsOf(list, at).join(" ")} ${settings(list, at)}${said(at)}\n`;
  };
  return joined(each(picked, line));
}
