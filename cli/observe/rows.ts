// SPDX-License-Identifier: MIT
// Connections for people: a line for the place (two where IPv6 addresses are long), one for the settings,
// and what was negotiated below; as wide as the terminal, or 80 columns.

import { formatDuration, formatMicros } from "../base/duration.ts";
import { Direction } from "../layout/layout.generated.ts";
import { styled } from "../output/io.ts";
import { visible } from "../output/safe.ts";
import { terminalWidth } from "../output/terminal.ts";
import type { AckPair } from "../wire/ack.ts";
import { endpointText } from "./address.ts";
import { type Listed, STATES } from "./listed.ts";
import type { Local, LocalValue, Strategy } from "./local.ts";
import { type KeepaliveNote, type Negotiated, perNegotiation, type Side, type Value } from "./said.ts";

const USUAL_WIDTH = 80;
/** Characters that are written at once. */
const PART = 65_536;
/** Longest name of a state, and two spaces. */
const INDENT = 13;
const BREAK = `\n${" ".repeat(INDENT)}`;

function pairText({ every, divisor }: AckPair): string {
  const parts = [
    every === 1 ? "at once" : every > 0 ? `every ${every}` : "",
    divisor > 0 ? `rtt/${divisor}` : "",
  ];
  return parts.filter(Boolean).join(" ") || "no limit";
}

export function valueText(value: Value, name: string): string {
  if (typeof value === "object") return pairText(value);
  return name === "uto" ? formatDuration(Number(value)) : String(value);
}

const WORDS_OURS = { granted: "granted", refused: "refused" };
/** Seen from here: what we have done to the peer's wish. */
const WORDS_PEERS = { granted: "gave", refused: "denied" };

function sideText(name: string, side: Side, words: typeof WORDS_OURS): string[] {
  const { status, asked, granted } = side;
  if (status === "none") return [];
  if (status === "no-room") return [`${name} no room`];
  if (status === "not-asked") return [`${name} not asked`];
  const word = status === "granted" || status === "refused" ? words[status] : status;
  const [wish, gift] = [asked, granted].map((value) => (value === null ? "" : valueText(value, name)));
  return [`${name} ${word} ${gift && gift !== wish ? `${gift} (asked ${wish})` : wish}`];
}

function strategyText(strategy: Strategy): string {
  const delay = strategy.delayUs > 0 ? [formatMicros(strategy.delayUs)] : [];
  return [...(strategy.every || strategy.divisor ? [pairText(strategy)] : []), ...delay].join(" ");
}

function localValueText(value: LocalValue, name: string): string {
  return typeof value === "object" ? strategyText(value) : valueText(value, name);
}

const FAILED = {
  loss: "a segment was lost",
  late: "data was sent before",
  kernel: "the kernel refused it",
  routes: "no routes for it",
} as const;

/** What our own rule has done. Of ack the strategy says more. */
function localText(name: string, { status, rule, applied, reason }: Local): string[] {
  if (status === "none") return [];
  if (status === "exempt" || rule === null) return [`${name} exempt`];
  const wish = localValueText(rule, name);
  if (status === "kept") return [`${name} kept (rule ${wish})`];
  if (status === "pending") return [`${name} not yet set ${wish}`];
  if (status === "failed") {
    const why = reason === null || reason === "application" || reason === "granted" ? "" : FAILED[reason];
    return [`${name} not set ${wish}: ${why}`];
  }
  const has = applied === null || name === "ack" ? wish : localValueText(applied, name);
  return [`${name} set ${has}${has === wish ? "" : ` (rule ${wish})`}`];
}

/** A strategy is there as soon as the rule was found; what keeps it from working says more. */
function ackText({ ack, strategy }: Negotiated): string[] {
  if (ack.local.status !== "none" && ack.local.status !== "applied") return localText("ack", ack.local);
  return strategy && ack.peers.status !== "granted" ? [`ack set ${strategyText(strategy)}`] : [];
}

/** In the words of `tcpx watch`. */
const KEEPALIVE: Record<KeepaliveNote, string> = {
  lowered: "keep-alive ends it then",
  short: "the first lost keep-alive probe ends it",
  later: "keep-alive would end it earlier",
};

/** What has come of the user timeout, as its last part; whose wish it is stands before that. */
function keepaliveText(parts: readonly string[], { keepalive, timeoutMs, uto }: Negotiated): string[] {
  if (!keepalive) return [...parts];
  const isTold =
    uto.local.status === "applied" || (uto.local.status === "none" && uto.peers.status === "granted");
  const told = isTold ? parts : [...parts, `uto ${formatDuration(timeoutMs)}`];
  return [...told.slice(0, -1), `${told.at(-1)}: ${KEEPALIVE[keepalive]}`];
}

function extensionText(said: Negotiated, name: "uto" | "cc-request" | "iw" | "ack"): string[] {
  const parts = [
    ...sideText(name, said[name].ours, WORDS_OURS),
    ...sideText(name, said[name].peers, WORDS_PEERS),
    ...(name === "ack" ? ackText(said) : localText(name, said[name].local)),
  ];
  return name === "uto" ? keepaliveText(parts, said) : parts;
}

/** "cc-request granted cubic" and the like. */
export function saidParts(said: Negotiated | undefined): string[] {
  if (!said) return [];
  const parts = (["uto", "cc-request", "iw", "ack"] as const).flatMap((name) => extensionText(said, name));
  const fallback = { loss: ["fallback"], path: ["fallback (path)"] };
  return [...parts, ...(said.fallback ? fallback[said.fallback] : [])];
}

/** As many parts on a line as fit. */
function packed(parts: readonly string[], width: number): string[] {
  const lines: string[] = [];
  for (const part of parts) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 2 + part.length < width)
      lines[lines.length - 1] = `${last}, ${part}`;
    else lines.push(part);
  }
  return lines.map((line, i) => (i < lines.length - 1 ? `${line},` : line));
}

const HEAD = "TIMEOUT  CONGESTION   CWND      RTT  DELACK";

/** Settings of a connection, under HEAD; what is longer than usual moves its own line only. */
function settings(list: Listed, at: number): string {
  const [timeout, rtt, delack] = [list.timeoutMs(at), list.rttUs(at), list.delackUs(at)];
  const before = `${(timeout ? formatDuration(timeout) : "-").padStart(7)}  ${visible(list.congestion(at)).padEnd(10)}`;
  const times = `${(rtt ? formatMicros(rtt) : "-").padStart(7)}  ${(delack ? formatMicros(delack) : "-").padStart(6)}`;
  return `${before}  ${String(list.cwnd(at)).padStart(5)}  ${times}`;
}

function placeText(list: Listed, at: number, state: string, width: number): string {
  const { bytes } = list;
  const family = list.family(at);
  const local = endpointText(bytes, list.localAt(at), family, list.localPort(at));
  const remote = endpointText(bytes, list.remoteAt(at), family, list.remotePort(at));
  const sign = list.direction(at) === Direction.TO ? ">" : "<";
  const fits = INDENT + local.length + remote.length + 3 <= width;
  return `${state.padEnd(INDENT)}${local}${fits ? " " : BREAK}${sign} ${remote}`;
}

/** "" or lines, each behind a line break. */
function saidLines(said: Negotiated | undefined, width: number): string {
  return packed(saidParts(said), width - 4)
    .map((line) => `\n    ${line}`)
    .join("");
}

/** The heading of the table. */
function heading(): string {
  const lines = [
    `${"STATE".padEnd(INDENT)}LOCAL > PEER (we opened it), LOCAL < PEER (we accepted it)`,
    `  ${HEAD}`,
    "    NEGOTIATED (where a rule matched)",
  ];
  return lines.map((line) => styled("bold", line)).join("\n");
}

/**
 * The table in parts, of which each ends with a line.
 * @param netns whether rows of several namespaces are to be told apart
 */
export function* connectionTable(list: Listed, picked: readonly number[], netns: boolean): Generator<string> {
  const width = terminalWidth() ?? USUAL_WIDTH;
  const said = perNegotiation(list, (made) => saidLines(made, width));
  let part = `${heading()}\n`;
  let current = -1;
  for (const at of picked) {
    const inode = list.netns(at);
    if (netns && inode !== current) part += `netns ${inode}\n`;
    current = inode;
    const place = placeText(list, at, STATES[list.state(at)] ?? "?", width);
    part += `${place}\n  ${settings(list, at)}${said(at)}\n`;
    if (part.length < PART) continue;
    yield part;
    part = "";
  }
  yield part;
}
