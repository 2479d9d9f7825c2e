// SPDX-License-Identifier: MIT
// Packets on a device: recorded by tcpdump, decoded by tshark.
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

/** For what is still on its way when a test is through, such as a delayed ACK. */
const QUIET_MS = 100;
/** Where there is no quiet, the packets until then are it. */
const BUSY_MS = 3000;
/** Looks without a change after which what tcpdump has not written is not going to come. */
const LOOKS = 10;

const LISTENS = /listening on/;
const COUNTS =
  /(\d+) packets? captured, (\d+) packets? received by filter, (\d+) packets? dropped by kernel.*\n/;

export class Capture {
  private said = "";
  private readonly chunks: AsyncIterator<Uint8Array>;

  private constructor(
    readonly file: string,
    readonly child: Child,
  ) {
    this.chunks = (child.stderr as ReadableStream<Uint8Array>)[Symbol.asyncIterator]();
  }

  /** That of a tcpdump, once it really listens. */
  static async of(child: Child, file: string): Promise<Capture> {
    const capture = new Capture(file, child);
    await capture.hear(LISTENS);
    return capture;
  }

  /** Waits until tcpdump says this. */
  private async hear(what: RegExp): Promise<string[]> {
    const decoder = new TextDecoder();
    for (;;) {
      const match = what.exec(this.said);
      if (match) {
        this.said = this.said.slice(match.index + match[0].length);
        return match.slice(1);
      }
      const { done, value } = await this.chunks.next();
      if (done) throw new Error(`tcpdump: ${this.said}`);
      this.said += decoder.decode(value, { stream: true });
    }
  }

  /** Packets that it has written, that the kernel has for it, and that found no room. */
  private async counts() {
    this.child.kill("SIGUSR1");
    const [written = 0, received = 0, dropped = 0] = (await this.hear(COUNTS)).map(Number);
    return { written, received, dropped };
  }

  /** Ends the capture once nothing new comes, and all that has come is in the file. */
  async stop(): Promise<void> {
    const end = Date.now() + BUSY_MS;
    let wanted = Number.POSITIVE_INFINITY;
    let last = await this.counts();
    for (let quiet = 0; last.written < wanted; ) {
      await Bun.sleep(QUIET_MS);
      const now = await this.counts();
      quiet = Bun.deepEquals(now, last) ? quiet + 1 : 0;
      last = now;
      // more received than written for good: what came before tcpdump had its filter
      if (quiet > 0 && (now.written === now.received || quiet === LOOKS)) break;
      if (Date.now() > end) wanted = Math.min(wanted, now.received);
    }
    await stop(this.child, "SIGINT");
    if (last.dropped > 0) throw new Error(`${last.dropped} packets are missing in the capture`);
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
