// SPDX-License-Identifier: MIT
// Connections for people: a line for the place (two where IPv6 addresses are long), one for the settings,
// and what was negotiated below; as wide as the terminal, or 80 columns.

import { formatDuration, formatMicros } from "../base/duration.ts";
import { extensions } from "../extensions/index.ts";
import type { Local, Said, Side } from "../extensions/seen.ts";
import type { Extension } from "../extensions/types.ts";
import { Direction } from "../layout/layout.generated.ts";
import { joined } from "../output/document.ts";
import { styled } from "../output/io.ts";
import { visible } from "../output/safe.ts";
import { terminalWidth } from "../output/terminal.ts";
import { endpointText } from "./address.ts";
import { type Listed, STATES } from "./listed.ts";
import { type Negotiated, perNegotiation } from "./said.ts";

const USUAL_WIDTH = 80;
/** Longest name of a state, and two spaces. */
const INDENT = 13;
const BREAK = `\n${" ".repeat(INDENT)}`;

const WORDS_OURS = { granted: "granted", refused: "refused" };
/** Seen from here: what we have done to the peer's wish. */
const WORDS_PEERS = { granted: "gave", refused: "denied" };

function sideText(name: string, side: Side, words: typeof WORDS_OURS): string[] {
  const { status, asked, granted } = side;
  if (status === "none") return [];
  if (status === "no-room") return [`${name} no room`];
  if (status === "not-asked") return [`${name} not asked`];
  const word = status === "granted" || status === "refused" ? words[status] : status;
  const [wish = "", gift = ""] = [asked?.text, granted?.text];
  return [`${name} ${word} ${gift && gift !== wish ? `${gift} (asked ${wish})` : wish}`];
}

/** What our own rule has done. */
function localText(name: string, { status, rule, applied, why }: Local): string[] {
  if (status === "none") return [];
  if (status === "exempt" || rule === null) return [`${name} exempt`];
  const wish = rule.text;
  if (status === "kept") return [`${name} kept (rule ${wish})`];
  if (status === "pending") return [`${name} not yet set ${wish}`];
  if (status === "failed") return [`${name} not set ${wish}: ${why}`];
  const has = applied?.text ?? wish;
  return [`${name} set ${has}${has === wish ? "" : ` (rule ${wish})`}`];
}

function extensionText(name: string, said: Said): string[] {
  const parts = [
    ...sideText(name, said.ours, WORDS_OURS),
    ...sideText(name, said.peers, WORDS_PEERS),
    ...localText(name, said.local),
  ];
  return said.complete?.(parts) ?? parts;
}

const FALLBACK = { loss: ["fallback"], path: ["fallback (path)"] };

/** "cc-request granted cubic" and the like. */
export function saidParts({ extensions: all, fallback }: Negotiated): string[] {
  return [
    ...all.flatMap(({ name, said }) => extensionText(name, said)),
    ...(fallback ? FALLBACK[fallback] : []),
  ];
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

/** Both ends, and between them who opened it. */
export function endsOf(list: Listed, at: number): [local: string, sign: string, remote: string] {
  const { bytes } = list;
  const family = list.family(at);
  return [
    endpointText(bytes, list.localAt(at), family, list.localPort(at)),
    list.direction(at) === Direction.TO ? ">" : "<",
    endpointText(bytes, list.remoteAt(at), family, list.remotePort(at)),
  ];
}

function placeText(list: Listed, at: number, width: number): string {
  const [local, sign, remote] = endsOf(list, at);
  const fits = INDENT + local.length + remote.length + 3 <= width;
  const state = STATES[list.state(at)] ?? "?";
  return `${state.padEnd(INDENT)}${local}${fits ? " " : BREAK}${sign} ${remote}`;
}

/** "" or lines, each behind a line break. */
function saidLines(said: Negotiated, width: number): string {
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

function* rows(list: Listed, picked: readonly number[], netns: boolean, among: readonly Extension[]) {
  const width = terminalWidth() ?? USUAL_WIDTH;
  const said = perNegotiation(list, (made) => saidLines(made, width), among);
  yield `${heading()}\n`;
  let current = -1;
  for (const at of picked) {
    const inode = list.netns(at);
    const where = netns && inode !== current ? `netns ${inode}\n` : "";
    current = inode;
    yield `${where}${placeText(list, at, width)}\n  ${settings(list, at)}${said(at)}\n`;
  }
}

/**
 * The table in parts, of which each ends with a line.
 * @param netns whether rows of several namespaces are to be told apart
 * @param among the extensions that it tells of
 */
export const connectionTable = (
  list: Listed,
  picked: readonly number[],
  netns: boolean,
  among: readonly Extension[] = extensions,
): Generator<string> => joined(rows(list, picked, netns, among));
