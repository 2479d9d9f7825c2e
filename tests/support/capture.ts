// SPDX-License-Identifier: MIT
// Packets on a device: recorded by tcpdump, decoded by tshark.
import { statSync } from "node:fs";
import { type Child, run, stop } from "./process.ts";

export interface Option {
  kind: number;
  /** All bytes of the option in hex, kind and length too. */
  hex: string;
}

export interface Packet {
  /** Seconds since the epoch. */
  time: number;
  src: string;
  dst: string;
  sport: number;
  dport: number;
  /** Letters of FSRPAUEC in that order. */
  flags: string;
  seq: number;
  ack: number;
  length: number;
  window: number;
  /** Raw option bytes in hex. */
  options: string;
  optionList: Option[];
  /** The User Timeout Option as tshark understands it. */
  uto: { minutes: boolean; value: number } | undefined;
  /** ExIDs of kinds 253 and 254, as tshark understands them. */
  exids: number[];
}

const FIELDS = [
  "frame.time_epoch",
  "ip.src",
  "ip.dst",
  "ipv6.src",
  "ipv6.dst",
  "tcp.srcport",
  "tcp.dstport",
  "tcp.flags",
  "tcp.seq_raw",
  "tcp.ack_raw",
  "tcp.len",
  "tcp.window_size_value",
  "tcp.options",
  "tcp.options.user_to_granularity",
  "tcp.options.user_to_val",
  "tcp.options.experimental.exid",
];

/** Splits raw options; an illegal length ends the list with what is left. */
export function splitOptions(hex: string): Option[] {
  const list: Option[] = [];
  for (let at = 0; at < hex.length; ) {
    const kind = Number.parseInt(hex.slice(at, at + 2), 16);
    if (kind === 0) break;
    const length = kind === 1 ? 1 : Number.parseInt(hex.slice(at + 2, at + 4), 16);
    const end = kind !== 1 && !(length >= 2) ? hex.length : at + 2 * length;
    if (kind !== 1) list.push({ kind, hex: hex.slice(at, end) });
    at = end;
  }
  return list;
}

function flagLetters(bits: number): string {
  return [..."FSRPAUEC"].filter((_, bit) => bits & (1 << bit)).join("");
}

function decodeLine(line: string): Packet {
  const f = line.split("\t");
  const text = (name: string) => f[FIELDS.indexOf(name)] ?? "";
  const number = (name: string) => Number(text(name));
  const options = text("tcp.options").replaceAll(":", "");
  const granularity = text("tcp.options.user_to_granularity").split(",")[0];
  const timeout = text("tcp.options.user_to_val").split(",")[0];
  const exids = text("tcp.options.experimental.exid");
  return {
    time: number("frame.time_epoch"),
    src: text("ip.src") || text("ipv6.src"),
    dst: text("ip.dst") || text("ipv6.dst"),
    sport: number("tcp.srcport"),
    dport: number("tcp.dstport"),
    flags: flagLetters(number("tcp.flags")),
    seq: number("tcp.seq_raw"),
    ack: number("tcp.ack_raw"),
    length: number("tcp.len"),
    window: number("tcp.window_size_value"),
    options,
    optionList: splitOptions(options),
    uto: timeout
      ? { minutes: granularity === "1" || granularity === "True", value: Number(timeout) }
      : undefined,
    exids: exids ? exids.split(",").map(Number) : [],
  };
}

export class Capture {
  constructor(
    readonly file: string,
    private readonly child: Child,
  ) {}

  /** Ends the capture once nothing new has come for quietMs (3 s at most). */
  async stop(quietMs = 100): Promise<void> {
    for (let size = -1, round = 0; round < 3000 / quietMs; round++) {
      const now = statSync(this.file).size;
      if (now === size) break;
      size = now;
      await Bun.sleep(quietMs);
    }
    await stop(this.child, "SIGINT");
  }

  /** The TCP packets so far, decoded by tshark; the filter is a Wireshark display filter. */
  async packets(filter = "tcp"): Promise<Packet[]> {
    const fields = FIELDS.flatMap((name) => ["-e", name]);
    const text = await run(["tshark", "-n", "-r", this.file, "-Y", filter, "-T", "fields", ...fields]);
    return text
      .split("\n")
      .filter((line) => line !== "")
      .map(decodeLine);
  }
}
