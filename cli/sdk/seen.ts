// SPDX-License-Identifier: MIT
// What a trial has seen, as a document, as text, and as the lines that test.sh reads. Pure.

import { Errno } from "../bridge/bridge.ts";
import { table } from "../output/table.ts";
import type { WireOption } from "../wire/request.ts";
import type { End, Family } from "./network.ts";
import { ENDS } from "./network.ts";
import type { SocketView } from "./sockets.ts";

/** Options of a segment that Linux does not send by itself, as hex. */
export interface Segments {
  syn: string[];
  syn_ack: string[];
  /** Of all others; each once. */
  later: string[];
}

export interface ConnectionSeen extends Segments {
  family: Family;
  client: SocketView | null;
  server: SocketView | null;
}

/** End of list, no operation, MSS, window scale, SACK, timestamps. */
const LINUX = new Set([0, 1, 2, 3, 4, 5, 8]);
export const isLinuxOption = (option: Uint8Array): boolean => LINUX.has(option[0]!);

const EXPERIMENT = 254;

/** In words. @param options those of the extension */
export function wordsOf(hex: string, options: readonly WireOption[]): string {
  const bytes = Uint8Array.fromHex(hex);
  const exid = bytes.length >= 4 ? (bytes[2]! << 8) | bytes[3]! : -1;
  const ours = options.find(
    ({ kind, identifier }) => kind === bytes[0] && (!identifier || identifier.documented === exid),
  );
  const said = ours?.words(bytes.subarray(ours.identifier ? 4 : 2), { exids: {}, algorithms: [] });
  if (said) return said;
  return bytes[0] === EXPERIMENT && exid >= 0
    ? `experiment 0x${exid.toString(16).padStart(4, "0")}, none of its own`
    : `kind ${bytes[0]}, none of its own`;
}

const SEGMENTS = [
  ["syn", "SYN"],
  ["syn_ack", "SYN-ACK"],
  ["later", "later"],
] as const;

/** The options on the wire. */
export function optionTable(connections: readonly ConnectionSeen[], options: readonly WireOption[]): string {
  const rows = connections.flatMap((connection) =>
    SEGMENTS.flatMap(([key, name]) =>
      connection[key].map((hex) => [connection.family, name, hex, wordsOf(hex, options)]),
    ),
  );
  return rows.length === 0 ? "" : table(["", "SEGMENT", "OPTION", "WHICH IS"], rows);
}

/** By the word that test.sh knows it by. */
function socketWords(view: SocketView): [string, string | number][] {
  return [
    ["congestion", view.congestion_control],
    ["pacing", view.pacing_bytes_per_second ?? "unlimited"],
    ["priority", view.priority],
    ["mark", view.mark],
    ["user-timeout", view.user_timeout_ms],
    ["cwnd", view.cwnd],
    ["rto", view.rto_ms],
  ];
}

export function socketTable(connections: readonly ConnectionSeen[]): string {
  const rows = connections.flatMap((connection) =>
    ENDS.flatMap((end) => {
      const view = connection[end];
      return view ? [[connection.family, end, ...socketWords(view).map(([, value]) => `${value}`)]] : [];
    }),
  );
  const heads = ["CONGESTION", "PACING", "PRIORITY", "MARK", "USER TIMEOUT", "CWND", "RTO"];
  return table(["", "END", ...heads], rows, [3, 4, 5, 6, 7, 8]);
}

export interface EndCounted {
  /** Those that are not 0, by name. */
  counters: Record<string, number>;
  /** The last that the kernel has refused. */
  error: { line: number; code: number } | null;
  /** Options that had not the length of the manifest. */
  tooLong?: Misfit;
  tooShort?: Misfit;
}

export interface Misfit {
  times: number;
  /** Of the longest one. */
  bytes: number;
}

export type Counted = Record<End, EndCounted>;

/** "EPERM". @param code of the kernel, below 0 */
export const nameOf = (code: number): string => new Errno("", -code).code;

/** "client: applied 2", and what was refused at which line. */
export function countedLines(counted: Counted, source: string): string[] {
  return ENDS.flatMap((end) => {
    const { counters, error } = counted[end];
    const all = Object.entries(counters).map(([name, n]) => `${name} ${n}`);
    return [
      ...(all.length > 0 ? [`${end}: ${all.join(", ")}`] : []),
      ...(error
        ? [`${end}: ${source}:${error.line}: the kernel has refused it (${nameOf(error.code)})`]
        : []),
    ];
  });
}

/** For grep: "v4 client pacing 1000000", "v6 syn-ack fe08...", "server applied 2". */
export function seenLines(connections: readonly ConnectionSeen[], counted: Counted | undefined): string[] {
  const lines = connections.flatMap((connection) => [
    ...SEGMENTS.flatMap(([key, name]) =>
      connection[key].map((hex) => `${connection.family} ${name.toLowerCase()} ${hex}`),
    ),
    ...ENDS.flatMap((end) => {
      const view = connection[end];
      return view ? socketWords(view).map((words) => `${connection.family} ${end} ${words.join(" ")}`) : [];
    }),
  ]);
  if (!counted) return lines;
  return [
    ...lines,
    ...ENDS.flatMap((end) =>
      Object.entries(counted[end].counters).map(([name, n]) => `${end} counted ${name} ${n}`),
    ),
  ];
}
